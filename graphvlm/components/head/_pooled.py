"""What heads over one vector a sample have in common: which of its tokens that vector is."""

from __future__ import annotations

from typing import Literal, TypeAlias

Pool: TypeAlias = Literal["first", "mean", "none"]


def pooled(pool: Pool) -> str:
    """The expression for what a head reads of tokens `x`."""
    return {"first": "x[:, 0]", "mean": "x.mean(dim=1)", "none": "x"}[pool]


def words(pool: Pool) -> str:
    """What it reads, in a summary."""
    return {"first": "first token", "mean": "mean of tokens", "none": "each token"}[pool]
