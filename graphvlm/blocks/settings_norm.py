"""The settings of a norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NormType = Literal["rms", "layer"]


@dataclass(frozen=True, slots=True)
class Norm:
    """Root-mean-square or layer normalisation over the last axis; the weight is `1 + w` with `unit_offset`.

    Without `weight` nothing of it is learned. Each segment of `by` has weights of its own.
    """

    type: NormType
    eps: float
    bias: bool
    unit_offset: bool = False
    weight: bool = True
    by: tuple[str, ...] = ()
