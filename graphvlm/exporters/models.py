"""The model that is exported: with the weights of a checkpoint, or with random ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import torch
from torch import nn

from ..cache import imported
from ..ir import Graph


def loaded(graph: Graph, weights: Path | None, seed: int, dtype: str | None) -> tuple[ModuleType, nn.Module]:
    """The package of a graph and its model, in float32 unless `dtype` names another type of torch.

    Raises ValueError for a checkpoint that does not fit, with a line for each key.
    """
    package = imported(graph)
    number = getattr(torch, dtype or "float32")
    if weights is not None:
        return package, cast("nn.Module", package.from_pretrained(weights, dtype=number)).eval()
    model = cast("nn.Module", package.Model()).to(number).eval()
    randomise(model, seed)
    return package, model


def randomise(model: nn.Module, seed: int) -> None:
    """Every parameter random, those too that start at zero: a gate that is shut hides what is behind it."""
    for _ in random_weights(model, seed):
        pass


def random_weights(model: nn.Module, seed: int) -> Iterator[str]:
    """The same, one after the other: the name of each that has its numbers."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            parameter.copy_(1 + 0.2 * noise if parameter.ndim < 2 else noise * parameter[0].numel() ** -0.5)
        yield name
