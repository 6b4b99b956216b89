"""Mixtures of experts, once decided: how many there are, and who chooses whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Router:
    """How each token chooses its experts.

    `projection_bias` is that of the router itself. `score` turns its output into weights. `bias` adds a buffer to the
    scores for the choice alone. With `groups`, a token first chooses `top_groups` of them, by their best score or
    (`top2`) the sum of their two best. `normalize` makes the chosen weights sum to one, and `scale` multiplies them.
    They multiply what an expert gives, or (`apply`) what it reads. With a `capacity` it is the experts that choose:
    each takes this share of all tokens, and `noise` disturbs their choice in training.
    """

    score: Literal["softmax", "sigmoid"]
    bias: bool
    groups: int
    top_groups: int
    group_score: Literal["max", "top2"]
    normalize: bool
    scale: float
    projection_bias: bool = False
    apply: Literal["input", "output"] = "output"
    capacity: float | None = None
    noise: bool = False


@dataclass(frozen=True, slots=True)
class Moe:
    """`experts` feed-forwards of which each token takes `top`, if tokens choose; `shared` is the width of one that all
    tokens take, gated by the token itself if `shared_gate`. Gate and up of each expert are one matrix, with `halves` as
    an axis of its own. `spread` experts lie on different ranks."""

    experts: int
    top: int
    router: Router
    shared: int | None = None
    shared_gate: bool = False
    halves: bool = False
    spread: bool = False
