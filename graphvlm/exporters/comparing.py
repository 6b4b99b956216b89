"""What was exported against the package: at which sizes, and how far one tensor is from another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from ..ir import Graph

# One of everything; more than was traced; a batch with few images.
SIZES: tuple[Mapping[str, int], ...] = (
    {"batch": 1, "seq": 4, "images": 1, "tokens": 3, "clips": 1, "tiles": 1, "height": 84, "width": 84},
    {"batch": 3, "seq": 13, "images": 5, "tokens": 9, "clips": 3, "tiles": 3, "height": 84, "width": 126},
    {"batch": 4, "seq": 5, "images": 2, "tokens": 6, "clips": 2, "tiles": 2, "height": 126, "width": 84},
)


def sizes(graph: Graph) -> Iterator[Mapping[str, int]]:
    """The sizes that a graph is compared at; what is computed chunk by chunk gets some chunks once."""
    stacks = [node.spec.stack for node in graph.nodes.values()]
    chunks = any(any(stack.linear) for stack in stacks if stack is not None)
    for number, each in enumerate(SIZES):
        yield {**each, "seq": each["seq"] + 128} if chunks and number == 1 else each


# Of the largest number that comes out, by the type of the weights.
TOLERANCE: Mapping[str, float] = MappingProxyType({"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1})


def as_long(made: Tensor, expected: Tensor) -> Tensor:
    """The beginning of a longer tensor."""
    for axis in range(min(made.ndim, expected.ndim)):
        made = made.narrow(axis, 0, min(made.size(axis), expected.size(axis)))
    return made


def difference(made: Tensor, expected: Tensor) -> float:
    """The largest difference, in parts of the largest number expected; infinite if shapes or whole numbers differ."""
    if made.shape != expected.shape or made.dtype != expected.dtype:
        return math.inf
    if not expected.is_floating_point():
        return 0.0 if torch.equal(made, expected) else math.inf
    if not expected.numel():
        return 0.0
    scale = max(float(expected.abs().max()), 1e-30)
    worst = float((made - expected).abs().max()) / scale
    return worst if math.isfinite(worst) else math.inf
