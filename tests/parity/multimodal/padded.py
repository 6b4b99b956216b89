"""Mistral 3: images of different sizes padded to one, of which the tower sees what is no padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import LightOnOcrConfig, Mistral3Config

from ..reference import IMAGE_TOKEN, SIZES, Padding, qwen3
from .case import IMAGES, Inputs, Multimodal, prompts

SIZES_OF_IMAGES = ((16, 24), (8, 8), (40, 16))


def inputs(config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Prompts with images of different sizes, padded on the right and below with what must not be seen."""
    block = config.vision_config.patch_size * config.spatial_merge_size
    counts = iter([(height // block) * (width // block) for height, width in SIZES_OF_IMAGES])
    runs = [[[IMAGE_TOKEN] * next(counts) for _ in range(number)] for number in IMAGES]
    made = prompts(generator, padding, runs)
    pixels = torch.randn(sum(IMAGES), 2, 40, 24, generator=generator)
    return made | {"pixel_values": pixels, "image_sizes": torch.tensor(SIZES_OF_IMAGES)}


VISION: dict[str, Any] = {
    "model_type": "pixtral",
    "hidden_size": 60,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_channels": 2,
    "image_size": 40,
    "patch_size": 4,
}


def mistral3(**changes: Any) -> Any:
    text = {"model_type": "mistral", **SIZES, "sliding_window": None}
    settings = {"image_token_index": IMAGE_TOKEN, "tie_word_embeddings": False, **changes}
    return Mistral3Config(vision_config=VISION, text_config=text, **settings)


def lighton_ocr(**changes: Any) -> Any:
    settings = {"image_token_id": IMAGE_TOKEN, "tie_word_embeddings": False, **changes}
    return LightOnOcrConfig(vision_config=VISION, text_config=qwen3().to_dict(), **settings)


CASES = {
    "lighton_ocr": Multimodal(lighton_ocr, inputs),
    "lighton_ocr_tied": Multimodal(lambda: lighton_ocr(tie_word_embeddings=True, spatial_merge_size=1), inputs),
    "mistral3": Multimodal(mistral3, inputs),
    "mistral3_tapped": Multimodal(
        lambda: mistral3(vision_feature_layer=-2, multimodal_projector_bias=True, tie_word_embeddings=True), inputs
    ),
}
