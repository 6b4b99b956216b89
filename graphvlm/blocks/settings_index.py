"""Values of an indexer: what chooses the keys that a query looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .settings_norm import Norm


@dataclass(frozen=True, slots=True)
class Index:
    """A query looks at the `top` keys to which `heads` small heads, `head_dim` wide, give the highest scores.

    They share one key a token, which `norm` brings to one scale. `style` is how rotary positions pair their numbers.
    """

    heads: int
    head_dim: int
    top: int
    norm: Norm
    style: Literal["half", "interleaved"]
