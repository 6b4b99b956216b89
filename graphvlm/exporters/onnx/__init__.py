"""ONNX: a model for each program, a manifest, profiles for TensorRT, a script that generates text from the files."""

from __future__ import annotations

from .export import Exported, Options, export
from .lacking import lacking
from .survey import survey

__all__ = ["Exported", "Options", "export", "lacking", "survey"]
