"""Families whose patches come apart, row by row, and become tokens by squares."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import PaddleOCRVLConfig

from ..reference import IMAGE_TOKEN, SIZES, Padding
from .case import Inputs, Multimodal, prompts

# One frame, rows and columns of patches.
GRIDS = ((1, 4, 6), (1, 2, 2), (1, 6, 4))
IMAGES = (1, 2, 0)  # of each row


def paddle(**changes: Any) -> Any:
    rope = {"rope_type": "default", "mrope_section": [4, 3, 3], "rope_theta": 5000.0}
    vision = {"hidden_size": 36, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 3}
    vision |= {"image_size": 30, "patch_size": 4, "num_channels": 2}
    return PaddleOCRVLConfig(
        text_config={**SIZES, "rope_parameters": rope, "tie_word_embeddings": False, **changes},
        vision_config={**vision, "layer_norm_eps": 2e-3},
        image_token_id=IMAGE_TOKEN,
        video_token_id=1,
        vision_start_token_id=2,
        tie_word_embeddings=False,
    )


def seen(config: Any, padding: Padding, generator: Generator) -> Inputs:
    vision, left = config.vision_config, iter(GRIDS)
    group = vision.spatial_merge_size**2
    runs = [[[IMAGE_TOKEN] * (h * w // group) for _, h, w in (next(left) for _ in range(count))] for count in IMAGES]
    made = prompts(generator, padding, runs)
    patches = sum(rows * columns for _, rows, columns in GRIDS)
    size = (patches, vision.num_channels, vision.patch_size, vision.patch_size)
    return made | {"pixel_values": torch.randn(size, generator=generator), "image_grid_thw": torch.tensor(GRIDS)}


def marked(given: Inputs) -> Inputs:
    """With the type of each token, which the processor returns."""
    if "image_grid_thw" not in given:
        return given
    return given | {"mm_token_type_ids": (given["input_ids"] == IMAGE_TOKEN).int()}


CASES = {"paddleocr_vl": Multimodal(lambda: paddle(use_bias=True), seen, reference=marked)}
