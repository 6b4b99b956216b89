"""A tower whose pairs turn by column and row by turns, on a stretched square, against that of Kimi-K2.5.

Only the tower: its model is not imported yet. The reference takes patches row by row, ours block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from torch import Tensor

import graphvlm
from graphvlm.diagnostics import Source

from ..running import packaged
from .agreement import LIMIT, relative_error
from .reference import randomise

pytestmark = pytest.mark.slow

GRAPH = """
version: 1
name: turning
inputs: {pixel_values: patches, image_grid_thw: grid}
nodes:
  vision:
    kind: encoder
    type: native_vit
    inputs: {patches: pixel_values, grid: image_grid_thw}
    patch: {size: 14, group: 2, bias: true}
    position:
      - {type: learned, side: 8, interpolation: bicubic, align: corners}
      - {type: rope2d, theta: 10000.0, order: turns}
    dim: 48
    layers: 3
    norm: {type: layer, eps: 1.0e-5}
    attention: {heads: 4, bias: true}
    mlp: {hidden: 40, activation: gelu_tanh, bias: true}
outputs: {features: vision}
"""
NAMES = {"attn_norm": "norm1", "mlp_norm": "norm2", "attn.wo": "attn.proj", "mlp.up": "mlp.fc1", "mlp.down": "mlp.fc2"}


def tower() -> Any:
    from transformers.models.kimi_k25.configuration_kimi_k25 import Kimi_K25VisionConfig
    from transformers.models.kimi_k25.modeling_kimi_k25 import Kimi_K25VisionModel

    sizes = {"hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4}
    config: Any = Kimi_K25VisionConfig
    make: Any = Kimi_K25VisionModel
    model = make(config(**sizes, patch_size=14, pos_emb_height=8, pos_emb_width=8)).eval()
    randomise(model, 3)
    return model


def theirs(path: str, weights: dict[str, Tensor]) -> Tensor:
    """What the reference has for one of our parameters."""
    if path.startswith("patch."):
        return weights[f"patch_embed.proj.{path.removeprefix('patch.')}"]
    if path == "position.weight":
        return weights["patch_embed.pos_emb.position_embeddings"].flatten(0, 1)
    if path.startswith("norm."):
        return weights[f"final_{path.replace('norm', 'layernorm')}"]
    _, layer, *middle, leaf = path.split(".")
    module = ".".join(middle)
    if module == "attn.wqkv":
        return torch.cat([weights[f"layers.{layer}.attn.{each}_proj.{leaf}"] for each in "qkv"])
    return weights[f"layers.{layer}.{NAMES[module]}.{leaf}"]


def by_block(grid: Tensor) -> Iterator[Tensor]:
    """Where the patches of each image, which stand row by row, go block by block."""
    start = 0
    for _, rows, columns in grid.tolist():
        index = torch.arange(start, start + rows * columns)
        yield index.reshape(rows // 2, 2, columns // 2, 2).transpose(1, 2).flatten()
        start += rows * columns


def test_images_of_several_sizes() -> None:
    reference = tower()
    ours = packaged(graphvlm.load(Source("turning.yaml", GRAPH))).Model().eval()
    weights = dict(reference.named_parameters())
    with torch.no_grad():
        for path, parameter in ours.vision.named_parameters():
            parameter.copy_(theirs(path, weights))
        grid = torch.tensor([[1, 4, 6], [1, 10, 2], [1, 8, 8]])
        patches = torch.randn(int(grid.prod(dim=1).sum()), 3 * 14 * 14, generator=torch.Generator().manual_seed(5))
        order = torch.cat(list(by_block(grid)))
        expected = reference(patches.reshape(-1, 3, 14, 14), grid_thw=grid).last_hidden_state[order]
        assert relative_error(ours(patches[order], grid).features.reshape(expected.shape), expected) <= LIMIT
