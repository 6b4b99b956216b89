"""Llama 3.2 Vision as transformers keeps it: images of several tiles, which layers of the decoder attend to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import MllamaConfig

from ..reference import SIZES, VOCAB, Padding
from .case import Inputs, Multimodal, prompts

RATIOS = [[1, 1], [1, 2], [2, 1], [1, 3]]
# Arrangements of the images of each row, counted from 1; 0 where a row has fewer images than others.
IMAGES = ((4, 1), (2, 0), (0, 0))


def mllama(**changes: Any) -> Any:
    vision = {
        "hidden_size": 24,
        "intermediate_size": 28,
        "num_hidden_layers": 5,
        "num_global_layers": 2,
        "attention_heads": 3,
        "image_size": 28,
        "patch_size": 14,
        "num_channels": 2,
        "intermediate_layers_indices": [1, 3],
        "vision_output_dim": 72,
        "max_num_tiles": 3,
        "supported_aspect_ratios": RATIOS,
        **changes,
    }
    own = ("head_dim", "bos_token_id", "num_hidden_layers")
    text = {name: size for name, size in SIZES.items() if name not in own}
    text |= {"bos_token_id": 1, "num_hidden_layers": 5, "cross_attention_layers": [1, 3]}
    return MllamaConfig(vision_config=vision, text_config=text, image_token_index=VOCAB)


def tiled(config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Tokens see the images that stand before them; those before the first image, and the last row, see none."""
    vision = config.vision_config
    made = prompts(generator, padding, [[[VOCAB]] * sum(map(bool, images)) for images in IMAGES])
    tiles = torch.zeros(len(IMAGES), len(IMAGES[0]), vision.max_num_tiles, dtype=torch.long)
    tiles[:, :, 0] = 1
    for row, images in enumerate(IMAGES):
        for image, number in enumerate(images):
            if number:
                tiles[row, image, : RATIOS[number - 1][0] * RATIOS[number - 1][1]] = 1
    before = (made["input_ids"] == VOCAB).cumsum(1)  # images up to each token
    numbers = torch.arange(tiles.size(1))
    seen = (numbers < before[:, :, None])[..., None] & tiles[:, None].bool()
    size, shape = vision.image_size, tiles.shape
    pixels = torch.randn(*shape, vision.num_channels, size, size, generator=generator) * tiles[..., None, None, None]
    return made | {
        "pixel_values": pixels,
        "aspect_ratio_ids": torch.tensor(IMAGES),
        "aspect_ratio_mask": tiles,
        "cross_attention_mask": seen.long(),
    }


CASES = {
    "mllama": Multimodal(mllama, tiled),
    "mllama_plain": Multimodal(
        lambda: mllama(intermediate_layers_indices=[2], vision_output_dim=48, norm_eps=3e-3), tiled
    ),
}
