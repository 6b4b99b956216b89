"""What positions of a stack are, once decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RopeStyle = Literal["half", "interleaved"]
RopeLayout = Literal["contiguous", "interleaved", "turns"]


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions over the first `dim` numbers of a head: pairs (i, i + dim / 2), or (2i, 2i + 1) `interleaved`.

    With `sections`, positions have three numbers (frame, row, column), and so many pairs turn by each: one section
    behind the other, every third pair (`interleaved`), or a row and a column in turn and then the frames (`turns`).
    `whole` if that is all of the head. `scaling` holds the numbers that the type of scaling needs, for some of them one
    a pair. `table` keeps cos and sin of all `max_tokens` positions as buffers; without it they are computed once in
    each forward.
    """

    dim: int
    max_tokens: int
    theta: float
    type: str = "default"
    scaling: tuple[tuple[str, float | tuple[float, ...]], ...] = ()
    style: RopeStyle = "half"
    whole: bool = True
    table: bool = False
    sections: tuple[int, ...] = ()
    layout: RopeLayout = "contiguous"

    @property
    def varies(self) -> bool:
        """Whether angles depend on how long the sequence is, not on the position alone."""
        return self.type in ("dynamic", "longrope")

    @property
    def attention_factor(self) -> float:
        """What cos and sin are multiplied with."""
        factor = dict(self.scaling).get("attention_factor", 1.0)
        return factor if isinstance(factor, float) else 1.0


@dataclass(frozen=True, slots=True)
class Learned:
    """A learned vector for each position, added to the embeddings; the table has `offset` rows before the first."""

    rows: int
    offset: int


@dataclass(frozen=True, slots=True)
class Relative:
    """A learned number for each of `heads`, added to scores, by how far a key lies from its query.

    Distances fall into `buckets`: half of them have one each, the others share ever wider ones up to `max_distance`.
    With `both` directions, half of the buckets are for later keys.
    """

    buckets: int
    max_distance: int
    heads: int
    both: bool

    @property
    def learned(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Alibi:
    """What each of `heads` takes from scores for every token that a key lies away from its query: a slope of its own.

    Slopes fall by the same factor from head to head, down to 2 ** -`max_bias`. With `both` directions, later keys lose
    like earlier ones.
    """

    max_bias: float
    heads: int
    both: bool

    @property
    def learned(self) -> bool:
        return False

    @property
    def even(self) -> bool:
        """Whether heads are a power of two: their slopes are one series. Others take from that of the next larger."""
        return self.heads & (self.heads - 1) == 0
