"""A directory that `transformers` loads by the code in it: the profile `hf` with weights, checked."""

from __future__ import annotations

from .export import Exported, Options, export

__all__ = ["Exported", "Options", "export"]
