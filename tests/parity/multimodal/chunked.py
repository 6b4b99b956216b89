"""Llama 4: images of several tiles each, whose tokens reach over several chunks of the text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import Llama4Config

from ..families import FAMILIES
from ..reference import IMAGE_TOKEN, Padding
from .case import Inputs, Multimodal, prompts

TILES = ((3,), (1, 2), ())  # of each image of each row
VISION: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 24,
    "patch_size": 6,
    "num_channels": 2,
    "projector_input_dim": 40,
    "projector_output_dim": 40,
    "vision_output_dim": 40,
}


def llama4(text: str, **changes: Any) -> Any:
    vision = {**VISION, "rope_parameters": {"rope_type": "default", "rope_theta": 700.0}, **changes}
    return Llama4Config(vision_config=vision, text_config=FAMILIES[text]().to_dict(), image_token_index=IMAGE_TOKEN)


def tiled(config: Any, padding: Padding, generator: Generator) -> Inputs:
    """A word stands between the tiles of an image."""
    vision = config.vision_config
    side = int(vision.image_size / vision.patch_size * vision.pixel_shuffle_ratio)
    tile = [IMAGE_TOKEN] * side**2
    rows = [[[*tile, *[9, *tile] * (count - 1)] for count in images] for images in TILES]
    pixels = torch.randn(
        sum(map(sum, TILES)), vision.num_channels, vision.image_size, vision.image_size, generator=generator
    )
    return prompts(generator, padding, rows) | {"pixel_values": pixels}


def placed(inputs: Inputs) -> Inputs:
    """With the places of tokens in their rows."""
    if "attention_mask" not in inputs:
        return inputs
    return inputs | {"position_ids": (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)}


CASES = {
    "llama4": Multimodal(lambda: llama4("llama4_text"), tiled, reference=placed),
    "llama4_quarter": Multimodal(
        lambda: llama4("llama4_text_apart", pixel_shuffle_ratio=0.25, intermediate_size=384), tiled, reference=placed
    ),
}
