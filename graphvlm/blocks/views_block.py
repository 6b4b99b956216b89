"""Finished view models of one layer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .views_ops import Given


@dataclass(frozen=True, slots=True)
class SublayerView:
    """What a block builds for one sublayer: constructors, or nothing."""

    name: str
    class_name: str
    arguments: str
    norm: str
    post_norm: str
    gate: str
    gate_init: str
    scale: str
    skip: str
    join: str = ""


@dataclass(frozen=True, slots=True)
class BlockView:
    """One `Block` class: what it is given, what it builds, and the lines of its `forward`.

    If `numbered`, it is told which layer it is.
    """

    name: str
    given: Given
    sublayers: tuple[SublayerView, ...]
    lines: tuple[str, ...]
    numbered: bool

    @property
    def made(self) -> tuple[str, ...]:
        """The parameters of its constructor, beside the config."""
        read = any(sublayer.arguments.endswith(", layer") for sublayer in self.sublayers)
        return (f"{'' if read else '_'}layer: int",) if self.numbered else ()

    @property
    def gated(self) -> bool:
        """Whether it has parameters of its own."""
        return any(sublayer.gate for sublayer in self.sublayers)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`. All layers are called alike: the name of what this one does not read says so."""
        own, *given = self.given.block_parameters
        values = [line.partition(" = ")[2] or line for line in self.lines]
        read = {name for value in values for name in re.findall(r"(?<![.\w])[a-z]\w*", value)}
        if not any(", chosen = " in line for line in self.lines):  # it is handed on as it is
            read.add("chosen")
        parts = (re.fullmatch(r"(\**)((\w+).*)", each) for each in given)
        return (own, *(f"{part[1]}{'' if part[3] in read else '_'}{part[2]}" for part in parts if part))
