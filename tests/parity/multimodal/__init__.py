"""Multimodal families: each module of this folder has `CASES`, case name -> `Multimodal`; nothing lists the modules."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from .case import Multimodal

MULTIMODAL: Mapping[str, Multimodal] = MappingProxyType(
    {
        name: case
        for module in sorted(iter_modules(__path__), key=lambda module: module.name)
        for name, case in getattr(import_module(f"{__name__}.{module.name}"), "CASES", {}).items()
    }
)
