"""The lines of a block's `forward`: what each sublayer does to the tokens `x`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from ..code import WIDTH
from .settings import Attention, LayerKind, Mlp, Stack, Sublayer
from .views_ops import Given


@dataclass(frozen=True, slots=True)
class Passed:
    """What a block hands on, after the tokens: to its self-attention, one that asks where its tokens stand, a linear
    one, and attention over a port.

    `optional` are the ports that may bring nothing.
    """

    own: tuple[str, ...]
    placed: tuple[str, ...]
    linear: tuple[str, ...]
    crossed: tuple[str, ...]
    optional: frozenset[str]


def passed(stack: Stack, given: Given, linear: Given) -> Passed:
    """What the blocks of `stack` hand on of what they are given; `linear` is that for linear attention."""
    optional = frozenset(cross.port for cross in stack.crossed if stack.skipped(cross.port))
    own, placed = (replace(given, placed=placed).names for placed in (False, True))
    return Passed(own, placed, linear.names, ("cache",) if given.cached else (), optional)


def block_lines(kind: LayerKind, given: Passed) -> tuple[str, ...]:
    """All lines, relative to the body of `forward`. What depends on a port that may bring nothing stands in an `if`."""
    found: list[str] = []
    for port, groups in groupby(kind.groups, key=lambda group: _guard(group, given)):
        pad = "    " if port else ""
        found += [f"if {port} is not None:"] if port else []
        found += [f"{pad}{line}" for group in groups for line in _group_lines(group, given, _ROOM - len(pad))]
    return tuple(found)


def _guard(group: tuple[Sublayer, ...], given: Passed) -> str:
    """The port without which a group changes nothing, if there is one."""
    rows = {sublayer.rows for sublayer in group}
    return rows.pop() if len(rows) == 1 and rows <= given.optional else ""


_ROOM = WIDTH - 8


def _group_lines(group: tuple[Sublayer, ...], given: Passed, room: int) -> Iterator[str]:
    """The lines of sublayers that read the same `x`."""
    if len(group) == 1:
        yield from _update(group[0], given, room)
        return
    source = ""
    if any(sublayer.place == "shared" for sublayer in group):
        yield f"h = self.{group[0].name}_norm(x)"
        source = "h"
    terms = [f"{_factor(each)}{_branch(each, _read(each, source), given)}" for each in group]
    line = f"x = x + {' + '.join(terms)}"
    if len(line) <= room:
        yield line
        return
    for sublayer, term in zip(group, terms, strict=True):
        yield f"{sublayer.name} = {term}"
    yield f"x = x + {' + '.join(sublayer.name for sublayer in group)}"


def _update(sublayer: Sublayer, given: Passed, room: int) -> Iterator[str]:
    """`x` after one sublayer; in two lines where one would be long."""
    factor = _factor(sublayer)
    for inner in (_call(sublayer, _read(sublayer, ""), given), "h"):
        whole = _placed(sublayer, inner)
        line = f"x = x + {factor}{whole}"
        if sublayer.place == "post":
            line = f"x = self.{sublayer.name}_norm(x + {factor}{inner})"
        if len(line) <= room or inner == "h":
            yield line
            return
        yield f"h = {inner}"


def _branch(sublayer: Sublayer, read: str, given: Passed) -> str:
    return _placed(sublayer, _call(sublayer, read, given))


def _call(sublayer: Sublayer, read: str, given: Passed) -> str:
    op, more = sublayer.op, given.linear
    if isinstance(op, Attention):
        own = given.placed if op.temperature else given.own
        more = (op.cross.port, *given.crossed) if op.cross else own
    elif isinstance(op, Mlp):
        more = ()
    return f"self.{sublayer.name}({', '.join((read, *more))})"


def _read(sublayer: Sublayer, shared: str) -> str:
    """What the operation reads; `shared` is the variable of a norm that several have together."""
    if sublayer.place in ("pre", "sandwich", "shared"):
        return shared or f"self.{sublayer.name}_norm(x)"
    return "x"


def _placed(sublayer: Sublayer, value: str) -> str:
    """The result of the operation, through the norm that stands after it."""
    if sublayer.place == "sandwich":
        return f"self.{sublayer.name}_post_norm({value})"
    return f"self.{sublayer.name}_norm({value})" if sublayer.place == "branch" else value


def _factor(sublayer: Sublayer) -> str:
    """What the result is multiplied with."""
    gate = {"tanh": "_gate.tanh() * ", "alpha": "_gate * ", "layer_scale": "_gate * ", None: ""}
    text = gate[sublayer.residual.gate]
    scale = f"self.{sublayer.name}_scale * " if sublayer.residual.scale != 1 else ""
    rows = f"{sublayer.rows}.rows * " if sublayer.rows else ""
    return scale + (f"self.{sublayer.name}{text}" if text else "") + rows
