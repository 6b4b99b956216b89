"""A tower of native resolution with a class token for each image, as that of LLaVA-OneVision 1.5 (RICE), against MLCD.

MLCD is the same tower for images of one size; RICE has no class in `transformers`.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

import graphvlm
from graphvlm.diagnostics import Source

from ..running import packaged
from .agreement import LIMIT, relative_error
from .reference import randomise

pytestmark = pytest.mark.slow

GRAPH = """
version: 1
name: class_tokens
inputs: {pixel_values: patches, image_grid_thw: grid}
nodes:
  vision:
    kind: encoder
    type: native_vit
    inputs: {patches: pixel_values, grid: image_grid_thw}
    patch: {size: 14}
    position: {type: rope2d, theta: 10000.0}
    class_token: true
    input_norm: true
    dim: 48
    layers: 3
    norm: {type: layer, eps: 2.0e-3}
    attention: {heads: 4, bias: true}
    mlp: {hidden: 40, activation: gelu, bias: true}
    final_norm: false
outputs: {features: vision}
"""
NAMES = {
    "patch": "embeddings.patch_embedding",
    "input_norm": "pre_layrnorm",
    "attn.wo": "self_attn.out_proj",
    "attn_norm": "layer_norm1",
    "mlp_norm": "layer_norm2",
    "mlp.up": "mlp.fc1",
    "mlp.down": "mlp.fc2",
}


def tower() -> Any:
    from transformers import MLCDVisionConfig, MLCDVisionModel

    sizes = {"hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4}
    config: Any = MLCDVisionConfig(**sizes, image_size=42, patch_size=14, layer_norm_eps=2e-3, num_key_value_groups=1)
    make: Any = MLCDVisionModel
    model = make(config).eval()
    randomise(model, 3)
    return model


def theirs(path: str, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the reference has for one of our parameters."""
    module, _, leaf = path.rpartition(".")
    if path == "class_token":
        return weights["embeddings.class_embedding"]
    if path == "class_angle":
        return weights["class_pos_emb"][0]
    if not path.startswith("layers."):
        return weights[f"{NAMES[module]}.{leaf}"]
    _, layer, *middle, leaf = path.split(".")
    inner = ".".join(middle)
    before = f"encoder.layers.{layer}."
    if inner == "attn.wqkv":
        return torch.cat([weights[f"{before}self_attn.{each}_proj.{leaf}"] for each in "qkv"])
    return weights[f"{before}{NAMES[inner]}.{leaf}"]


def test_two_images() -> None:
    reference = tower()
    ours: Any = packaged(graphvlm.load(Source("class_tokens.yaml", GRAPH))).Model().eval()
    weights = {name.removeprefix("vision_model."): each for name, each in reference.named_parameters()}
    images = torch.randn(2, 3, 42, 42, generator=torch.Generator().manual_seed(5))
    patches = images.reshape(2, 3, 3, 14, 3, 14).permute(0, 2, 4, 1, 3, 5).reshape(18, -1)
    with torch.no_grad():
        for path, parameter in ours.vision.named_parameters():
            parameter.copy_(theirs(path, weights))
        expected = reference(images).last_hidden_state[:, 1:].flatten(0, 1)
        made = ours(patches, torch.tensor([[1, 3, 3], [1, 3, 3]])).features[0]
    assert relative_error(made, expected) <= LIMIT
