"""Finished view models of the modules that layers of a stack have together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..code import display, literal
from .parameters import shared_layers
from .settings import Stack


@dataclass(frozen=True, slots=True)
class SharedView:
    """What layers have together with an earlier one: the heads of two loops, over pairs of layers, over names."""

    pairs: str
    modules: str


def shared_views(stack: Stack) -> Iterator[SharedView]:
    """The views of a stack: modules that the same layers have together in one."""
    found: dict[tuple[tuple[int, int], ...], list[str]] = {}
    for module, runs in shared_layers(stack).items():
        pairs = tuple((run[0], other) for run in runs for other in run[1:])
        found.setdefault(pairs, []).append(module)
    for pairs, modules in found.items():
        heads = display("for first, other in ", tuple(map(str, pairs)), "()", 8, ":")
        names = display("for name in ", tuple(map(literal, modules)), "()", 12, ":")
        yield SharedView(heads, names)
