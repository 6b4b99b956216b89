"""What it means that two implementations agree."""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 1e-5  # of the scale of the reference, in float32


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """The largest difference, in units of the largest value of the reference."""
    assert ours.shape == reference.shape
    return float((ours.float() - reference.float()).abs().max() / reference.float().abs().max())


def attended(inputs: dict[str, Tensor]) -> Tensor:
    """The positions that are not padding: at the others, implementations are free."""
    return inputs["attention_mask"].bool()


def to_bfloat16(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs with images in bfloat16."""
    return {
        name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()
    }
