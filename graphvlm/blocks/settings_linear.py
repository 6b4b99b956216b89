"""Values of linear attention: what keeps a state of fixed size in place of keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .settings_norm import Norm


@dataclass(frozen=True, slots=True)
class Delta:
    """Linear attention by the gated delta rule: a state [key_dim, value_dim] in place of a sequence of keys and values.

    Each token lets the state of a head fade, overwrites what it holds at the token's key, by up to `beta_max`, and
    reads it with its query. `value_heads` states share `key_heads` queries and keys. A causal convolution of `conv`
    tokens and an activation stand before; `norm` and a gate, by head, after. `apart`: none of its matrices are joined.
    With `context`, ranks have some tokens each, and all tokens of some heads inside.
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int
    activation: str
    beta_max: float
    norm: Norm
    apart: bool = False
    context: bool = False


@dataclass(frozen=True, slots=True)
class Fading:
    """Linear attention whose states fade at a rate of their own: 2 ** (-8 h / heads) a token for head h, counted from
    1, and less the later the layer, down to nothing.

    Each token adds to the state [key_dim, value_dim] of each of the `heads`, and reads it. An activation stands behind
    what makes queries, keys and values; `norm`, over all heads, and a gate behind what is read. `apart` and `context`
    are as in `Delta`.
    """

    heads: int
    key_dim: int
    value_dim: int
    activation: str
    norm: Norm
    apart: bool = False
    context: bool = False


Linear: TypeAlias = Delta | Fading
