"""TensorRT: an engine for each ONNX model and its profile, by whichever of its Python packages is installed."""

from __future__ import annotations

from .backends import BACKENDS, Backend, NoBackend, chosen
from .build import Built, Order, Refused, build
from .operators import unsupported

__all__ = ["BACKENDS", "Backend", "Built", "NoBackend", "Order", "Refused", "build", "chosen", "unsupported"]
