"""The packages that make engines, and which of them is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Backend:
    """One package: what it is called here, as a module and for pip. `aims` if it builds for GPUs that are not here."""

    name: str
    module: str
    install: str
    aims: bool

    def installed(self) -> bool:
        """Whether it can be imported; nothing is."""
        return find_spec(self.module) is not None

    def load(self) -> ModuleType:
        """The module. Raises `NoBackend` where it is installed and does not start, as without a driver."""
        try:
            return import_module(self.module)
        except (ImportError, OSError, RuntimeError) as problem:
            raise NoBackend(f"{self.name} is installed and does not start: {problem}") from problem


class NoBackend(Exception):
    """No package is here that could make an engine; the message says what to install."""


# In the order of preference.
BACKENDS = (
    Backend("torch-tensorrt", "torch_tensorrt", "torch-tensorrt", aims=False),
    Backend("tensorrt", "tensorrt", "tensorrt", aims=False),
    Backend("tensorrt-rtx", "tensorrt_rtx", "tensorrt-rtx", aims=True),
)


def chosen(wanted: str | None, targets: tuple[str, ...], cuda: Callable[[], bool]) -> Backend:
    """The backend asked for, or the first that is installed and can do it; `cuda` tells whether a GPU is here."""
    fit = [each for each in BACKENDS if each.name == wanted] if wanted else [*BACKENDS]
    if targets:
        fit = [each for each in fit if each.aims]
        if not fit:
            raise NoBackend(f"{wanted} builds for the GPU that is here; engines for others are made by tensorrt-rtx")
    here = [each for each in fit if each.installed() and (each.aims or wanted or cuda())]
    if here:
        return here[0]
    names = ", or ".join(f"`pip install {each.install}`" for each in fit)
    index = "from NVIDIA's index, https://pypi.nvidia.com"
    raise NoBackend(f"no TensorRT is installed that could build these engines: {names} ({index})")
