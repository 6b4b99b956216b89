"""Finished view models of what tells the segments of a sequence apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .segments import marked_segment
from .settings import Attention, Mlp, Stack
from .settings_norm import Norm


@dataclass(frozen=True, slots=True)
class PartsView:
    """How the code treats the segments `names`.

    `marked` is the one of two that flags mark in one sequence, `rest` the other; without them, segments are stretches.
    With `weights`, modules have one of each; with `scoped`, a sublayer is called for marked tokens alone. `heads` if
    they normalise the heads of queries and keys; `tp` if ranks hold parts of matrices.
    """

    names: tuple[str, ...]
    marked: str
    rest: str
    weights: bool
    scoped: bool
    heads: bool
    tp: bool


def parts_type(stack: Stack) -> tuple[str, str]:
    """Name and type of what tells blocks which tokens are of which segment."""
    return ("marked", "Tensor | None") if marked_segment(stack.segments) else ("sizes", "list[int]")


def parts_view(stack: Stack, norms: Iterable[Norm | None], tp: int) -> PartsView | None:
    """The view of the segments of a stack; None where the tokens are all alike."""
    if not stack.segments:
        return None
    marked = marked_segment(stack.segments)
    names = tuple(segment.name for segment in stack.segments)
    sublayers = [sublayer for kind in stack.kinds for sublayer in kind.sublayers]
    ops = [each.op for each in sublayers if isinstance(each.op, Attention | Mlp) and each.op.by]
    return PartsView(
        names=names,
        marked=marked.name if marked else "",
        rest=next(name for name in names if name != marked.name) if marked else "",
        weights=bool(ops) or any(norm is not None and norm.by for norm in norms),
        scoped=any(sublayer.scope for sublayer in sublayers),
        heads=any(isinstance(op, Attention) and op.qk_norm and op.norm_heads for op in ops),
        tp=tp > 1,
    )


@dataclass(frozen=True, slots=True)
class LimitView:
    """How many tokens back a query sees (`window`), or how long runs are that see themselves alone (`chunk`).

    It `varies` with the layers, or all have the same; `always` if each has one.
    """

    name: str
    varies: bool
    always: bool

    @property
    def field(self) -> str:
        """The config field, and the attribute of the node."""
        return f"{self.name}s" if self.varies else self.name

    @property
    def type(self) -> str:
        """The type of its value for a layer."""
        return "int" if self.always else "int | None"
