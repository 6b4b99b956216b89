"""Programs of `torch.export`, and each as a library that AOTInductor compiled, checked in a process of its own."""

from __future__ import annotations

from .export import Exported, Options, export

__all__ = ["Exported", "Options", "export"]
