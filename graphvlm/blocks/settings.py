"""What a block is, once decided: immutable values without defaults that depend on anything else.

A stack is a list of layers; a layer is an ordered list of residual sublayers; a sublayer is an operation with a norm
before it. Layers that differ only by position in the stack share one `LayerKind`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

NormType = Literal["rms", "layer"]


@dataclass(frozen=True, slots=True)
class Norm:
    """Root-mean-square or layer normalisation over the last axis."""

    type: NormType
    eps: float
    bias: bool


@dataclass(frozen=True, slots=True)
class Bias:
    """Which projections of an attention carry a bias."""

    q: bool
    k: bool
    v: bool
    o: bool


@dataclass(frozen=True, slots=True)
class Attention:
    """Self-attention: `heads` queries share `kv_heads` keys and values of `head_dim` each.

    `qk_norm` normalises each head's query and key before the rotary positions. `window` is how many keys a query sees,
    itself included. `merged` keeps the three input projections in one matrix.
    """

    heads: int
    kv_heads: int
    head_dim: int
    bias: Bias
    qk_norm: Norm | None
    window: int | None
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Mlp:
    """`down(act(up(x)))`, or gated: `down(act(gate(x)) * up(x))`. `merged` keeps gate and up in one matrix."""

    hidden: int
    activation: str
    gated: bool
    bias: bool
    merged: bool = False


Op: TypeAlias = Attention | Mlp


@dataclass(frozen=True, slots=True)
class Sublayer:
    """`x + op(norm(x))`; `name` is the attribute in the generated block."""

    name: str
    op: Op
    norm: Norm


@dataclass(frozen=True, slots=True)
class LayerKind:
    """One distinct layer of a stack; `name` is empty for the usual one."""

    name: str
    sublayers: tuple[Sublayer, ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """`len(order)` layers of width `dim`; layer i is `kinds[order[i]]`."""

    dim: int
    kinds: tuple[LayerKind, ...]
    order: tuple[int, ...]

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The attention window of each layer."""
        per_kind = [
            next((s.op.window for s in kind.sublayers if isinstance(s.op, Attention)), None) for kind in self.kinds
        ]
        return tuple(per_kind[index] for index in self.order)

    def resolved(self) -> dict[str, Any]:
        """The sizes that follow from others, as settings; nothing where layers differ and would inherit them."""
        if len(self.kinds) != 1:
            return {}
        attention = self.attention()
        return {"attention": {"kv_heads": attention.kv_heads, "head_dim": attention.head_dim}}

    def attention(self, kind: int = 0) -> Attention:
        """The self-attention of a kind of layer."""
        return next(s.op for s in self.kinds[kind].sublayers if isinstance(s.op, Attention))

    def map_ops(self, change: Callable[[Op], Op]) -> Stack:
        """The same stack with every operation changed."""
        return replace(
            self,
            kinds=tuple(
                replace(kind, sublayers=tuple(replace(s, op=change(s.op)) for s in kind.sublayers))
                for kind in self.kinds
            ),
        )

    def first(self, count: int) -> Stack:
        """The first `count` layers; kinds that no longer occur are dropped."""
        order = self.order[:count]
        used = sorted(set(order))
        return replace(
            self, kinds=tuple(self.kinds[index] for index in used), order=tuple(used.index(index) for index in order)
        )


RopeType = Literal["default", "linear", "dynamic", "llama3", "yarn"]


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions over pairs (i, i + head_dim / 2).

    `scaling` holds the numbers that the type of scaling needs. `table` keeps cos and sin of all `max_tokens` positions
    as buffers; without it they are computed once in each forward.
    """

    head_dim: int
    max_tokens: int
    theta: float
    type: str = "default"
    scaling: tuple[tuple[str, float], ...] = ()
    table: bool = False

    def number(self, name: str) -> float:
        """A number of the scaling."""
        return dict(self.scaling)[name]
