"""PaliGemma and Gemma 3: tokens of a prefix, or of an image, that see each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import Gemma3Config, Gemma3TextConfig, PaliGemmaConfig

from ..reference import IMAGE_TOKEN, SIZES, Padding, gemma, gemma2, siglip
from .case import Inputs, Multimodal, square_images


def _paligemma(text: Any, **changes: Any) -> Any:
    widths = {"projection_dim": 48, "hidden_size": 48}
    return PaliGemmaConfig(
        vision_config=siglip(), text_config=text, image_token_index=IMAGE_TOKEN, **{**widths, **changes}
    )


def _gemma3(**changes: Any) -> Any:
    """Windows shorter than an image and its text, and two images that stand side by side."""
    layers = ["sliding_attention", "full_attention", "sliding_attention"]
    ropes = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 700.0},
        "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 3.0},
    }
    settings = {"sliding_window": 6, "layer_types": layers, "query_pre_attn_scalar": 30, "rope_parameters": ropes}
    return Gemma3Config(
        vision_config=siglip(image_size=86),  # six rows of patches, and two pixels
        text_config=Gemma3TextConfig(**{**SIZES, **settings}),
        image_token_index=IMAGE_TOKEN,
        mm_tokens_per_image=9,
        **changes,
    )


def _nine(config: Any) -> int:
    return 9


def _typed(config: Any, padding: Padding, generator: Generator) -> Inputs:
    """All of the prompt is prefix, as the processor types it, but the end of the first row, as in training."""
    inputs = square_images(_nine)(config, padding, generator)
    types = torch.zeros_like(inputs["input_ids"])
    end = int(inputs["attention_mask"][0].nonzero().max()) + 1
    types[0, end - 5 :] = 1
    return inputs | {"token_type_ids": types}


def _untyped(config: Any, padding: Padding, generator: Generator) -> Inputs:
    return square_images(_nine)(config, padding, generator)


def _images_typed(inputs: Inputs) -> Inputs:
    """What the processor of Gemma 3 adds: without it, the reference lets images see backwards alone."""
    return inputs | {"token_type_ids": (inputs["input_ids"] == IMAGE_TOKEN).long()}


CASES = {
    "paligemma_gemma": Multimodal(lambda: _paligemma(gemma()), _typed),
    "paligemma_gemma2": Multimodal(lambda: _paligemma(gemma2(), tie_word_embeddings=False), _typed),
    "paligemma_untyped": Multimodal(lambda: _paligemma(gemma(num_key_value_heads=1)), _untyped),
    "gemma3": Multimodal(_gemma3, _untyped, reference=_images_typed),
    "gemma3_untied": Multimodal(lambda: _gemma3(tie_word_embeddings=False), _untyped, reference=_images_typed),
}
