"""The methods of a stack of learned tokens: one for each way in which calls run its segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ...blocks.sequence import Way, read_way, unread_of
from ...blocks.settings import Stack
from ...dims import Dim
from ...ir import Node
from ...settings import Settings
from ._beside import Beside
from ._sources import Shown, shown_sources


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `returned` are the segments that it gives; it `keeps` keys and values, if so.

    `sizes` are how many tokens each segment of the stack has, none where it is not in the sequence.
    `seen` says what limits which keys a token sees: the `padding` of a text, an `order` of the tokens, or nothing.
    """

    name: str
    way: Way
    shown: Shown
    returned: tuple[str, ...]
    keeps: bool
    seen: Literal["", "padding", "order"]
    masked: bool
    sizes: str

    @property
    def reads(self) -> tuple[str, ...]:
        """The ports whose values it is called with."""
        return tuple(parameter.partition(":")[0] for parameter in self.shown.parameters[1:])

    @property
    def order(self) -> tuple[str, ...]:
        """Its segments."""
        return self.way.sequence

    @property
    def result(self) -> str:
        """The type of what it returns."""
        count = len(self.returned) + self.keeps
        return "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"


@dataclass(frozen=True, slots=True)
class Run:
    """What all methods of a stack have in common: its blocks, the segment that is learned and what stands beside it.

    `mask` is the type of the mask that layers are given, `cached` if they are given what keeps keys and values.
    """

    stack: Stack
    segment: str
    beside: Beside | None
    mask: str
    cached: bool


def ways_of(calls: tuple[Node, ...]) -> dict[Way, list[Node]]:
    """The ways in which calls run a stack, each with those calls; that of the node which owns it comes first."""
    found: dict[Way, list[Node]] = {}
    for call in calls:
        found.setdefault(read_way(Settings(call.tree)), []).append(call)
    return found


def methods_of(run: Run, calls: tuple[Node, ...], ports: tuple[str, ...], kept: frozenset[str]) -> Iterator[Method]:
    """The methods for these calls, each once; `ports` are all that the stack has, in their order."""
    ways = ways_of(calls)
    for number, (way, found) in enumerate(ways.items()):
        shapes = {port: call.signature.inputs[port].shape for call in found for port in call.inputs}
        yield _method(
            "forward" if number == 0 else way.method,
            run,
            way,
            {port: shapes[port] for port in ports if port in shapes},
            optional=frozenset(each for call in found for each in _optional(call, run.beside)),
            keeps=any(call.name in kept for call in found),
        )


def _optional(node: Node, beside: Beside | None) -> Iterator[str]:
    """The ports of masks that the caller may leave out, or that a sampler of texts passes on from one."""
    for port, ref in node.inputs.items():
        text = beside is not None and port == f"{beside.name}_mask" and ref.port == "mask"
        if node.signature.inputs[port].what == "mask" and (text or not ref.port):
            yield port


def _method(
    name: str, run: Run, way: Way, shapes: Mapping[str, tuple[Dim, ...]], *, optional: frozenset[str], keeps: bool
) -> Method:
    beside, both = run.beside, run.beside is not None and len(way.sequence) > 1
    masked = beside is not None and beside.masked and beside.name in way.sequence
    always = run.mask == "Tensor"
    ordered = way.causal or (way.after and (masked or always)) or (always and not masked)
    seen: Literal["", "padding", "order"] = "order" if ordered else "padding" if masked else ""
    before = (
        *(("visible" if seen else "None",) if run.mask else ()),
        *(("kept" if keeps or way.after else "None",) if run.cached else ()),
        *(("sizes",) if run.stack.parted else ()),
    )
    returned = way.sequence
    if both and beside:
        returned = (run.segment, beside.name) if beside.read else (run.segment,)
    others = (beside.name,) if beside else ()
    every = (*others, run.segment) if beside and beside.before else (run.segment, *others)
    sizes = ", ".join(f"{name}.size(1)" if name in way.sequence else "0" for name in every)
    shown = shown_sources(run.stack, shapes, optional, before)
    return Method(name, way, shown, returned, keeps, seen, masked, sizes)


def unread_by(calls: tuple[Node, ...]) -> frozenset[str]:
    """The ports that some of these calls do not read, and others do."""
    return frozenset(port for call in calls for port in unread_of(Settings(call.tree)))
