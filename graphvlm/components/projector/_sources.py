"""What a stack of learned tokens is given beside them, as the node's `forward` prepares it once for all layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...blocks.settings import Attention, Cross, Stack
from ...blocks.views_cross import is_masked, places_of, reads, seen_name
from ...dims import Dim, show


@dataclass(frozen=True, slots=True)
class Prepared:
    """How flags over the runs of keys of `port` become masks: of the keys (`seen`), of these and the tokens (`own`).

    A name is empty where nobody reads the mask. `repeated` if a flag stands for several keys, `rows` is the variable
    with the images of which something is seen. `optional` if there may be no flags: then all is seen.
    """

    port: str
    present: str
    seen: str
    own: str
    rows: str
    repeated: bool
    optional: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """The parameters of a method, the arguments of a layer, the first port and its shape, and the masks to make."""

    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    first: str
    shape: str
    masks: tuple[Prepared, ...]


def shown_sources(
    stack: Stack, shapes: Mapping[str, tuple[Dim, ...]], optional: frozenset[str], before: tuple[str, ...] = ()
) -> Shown:
    """What the template of a node with such a stack places; `shapes` are those of the input ports that it reads.

    `optional` are those that may bring nothing; `before` is what layers are given before what they read.
    """
    crosses = _crosses(stack)
    rows = tuple(dict.fromkeys(s.rows for kind in stack.kinds for s in kind.sublayers if s.rows))
    arguments: dict[str, str] = {}  # name -> what is given
    for cross in crosses:
        names = [cross.port, *([seen_name(cross)] if is_masked(cross) else [])]
        arguments |= {name: name if cross.port in shapes else "None" for name in names}
        arguments |= {name: f"self.places.{name}" for name in places_of(cross)}
    arguments |= {f"{port}_rows": f"{port}_rows" if port in shapes else "None" for port in rows}
    first = next((port for port in shapes if port in {cross.port for cross in crosses}), next(iter(shapes)))
    return Shown(
        parameters=("self", *(f"{port}: Tensor{' | None' if port in optional else ''}" for port in shapes)),
        arguments=(*before, *arguments.values()),
        first=first,
        shape=f"[{', '.join(map(show, shapes[first]))}]",
        masks=tuple(_prepared([each for each in crosses if each.port in shapes], rows, shapes, optional)),
    )


def open_names(stack: Stack, ports: frozenset[str]) -> frozenset[str]:
    """What layers are told of these ports."""
    names = (name for cross in _crosses(stack) for name, _ in reads(cross) if cross.port in ports)
    return frozenset((*names, *(f"{port}_rows" for port in ports))) - {"query_places", "key_places"}


def _crosses(stack: Stack) -> list[Cross]:
    ops = (s.op for kind in stack.kinds for s in kind.sublayers)
    return list(dict.fromkeys(op.cross for op in ops if isinstance(op, Attention) and op.cross))


def _prepared(
    crosses: list[Cross], rows: tuple[str, ...], shapes: Mapping[str, tuple[Dim, ...]], optional: frozenset[str]
) -> Iterator[Prepared]:
    masked = [cross for cross in crosses if is_masked(cross)]
    for port in dict.fromkeys(cross.port for cross in masked):
        found = [cross for cross in masked if cross.port == port]
        present = found[0].present
        yield Prepared(
            port=port,
            present=present,
            seen=next((seen_name(cross) for cross in found if not cross.own), ""),
            own=next((seen_name(cross) for cross in found if cross.own), ""),
            rows=f"{port}_rows" if port in rows else "",
            repeated=shapes[present][1] != shapes[port][1],
            optional=present in optional,
        )
