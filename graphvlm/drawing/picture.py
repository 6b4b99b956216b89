"""What a drawing shows: boxes and wires in words, without places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["input", "encoder", "projector", "fusion", "decoder", "head", "output"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Box:
    """One node of the drawing. `id` is what wires name; `title` is what is written."""

    id: str
    kind: Kind
    title: str
    lines: tuple[str, ...] = ()
    parameters: int = 0
    frozen: bool = False
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """An edge between two boxes, named by their ids.

    `label` (usually a shape) belongs to the value, so it is written once where the value leaves its source, however
    many boxes read it. `port` is the input port of the target, `source_port` the output port of the source; they are
    written inside a box only where it has more than one.
    """

    source: str
    target: str
    label: str = ""
    port: str = ""
    source_port: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole drawing. The wires must not form a cycle, and must end at boxes that exist: ValueError if they do not."""

    title: str
    subtitle: str = ""
    boxes: tuple[Box, ...] = ()
    wires: tuple[Wire, ...] = ()

    def __post_init__(self) -> None:
        known = {box.id for box in self.boxes}
        if len(known) != len(self.boxes):
            raise ValueError("two boxes of a picture have the same id")
        for wire in self.wires:
            if wire.source not in known or wire.target not in known:
                raise ValueError(f"a wire from {wire.source!r} to {wire.target!r} ends at no box")

    @property
    def parameters(self) -> int:
        return sum(box.parameters for box in self.boxes)

    @property
    def frozen_parameters(self) -> int:
        return sum(box.parameters for box in self.boxes if box.frozen)

    def kinds(self) -> Iterator[Kind]:
        """The kinds that occur, in the order of `KINDS`."""
        present = {box.kind for box in self.boxes}
        return (kind for kind in KINDS if kind in present)


def human_count(count: int) -> str:
    """A count in at most four digits: 842, 12.8 k, 303.5 M, 7.06 B.

    >>> human_count(303_507_456)
    '303.5 M'
    """
    if count < 1000:
        return str(count)
    if count >= 10**15:
        return "over 999 T"
    value, units = float(count), iter("kMBT")
    suffix = ""
    while value >= 999.95:  # and not 1000: 999.96 would be rounded to the five digits of "1000.0"
        value, suffix = value / 1000, next(units)
    return f"{value:.2f} {suffix}" if value < 9.995 else f"{value:.1f} {suffix}"
