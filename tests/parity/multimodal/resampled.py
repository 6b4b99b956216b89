"""Perceivers over images in stacks: Idefics 2."""

from __future__ import annotations

from typing import Any

from transformers import Idefics2Config

from ..reference import IMAGE_TOKEN, llama, mistral
from .case import Multimodal
from .stacks import VISION, stacked_as

_PERCEIVER = {
    "resampler_n_latents": 5,
    "resampler_depth": 2,
    "resampler_n_heads": 6,
    "resampler_head_dim": 10,
    "num_key_value_heads": 2,
}


def _config(text: Any, **perceiver: Any) -> Any:
    return Idefics2Config(
        vision_config={**VISION, "image_size": 84},
        perceiver_config={**_PERCEIVER, **perceiver},
        text_config=text.to_dict(),
        image_token_id=IMAGE_TOKEN,
        pad_token_id=None,
    )


def _tokens(config: Any) -> int:
    return int(config.perceiver_config.resampler_n_latents)


CASES = {
    "idefics2": Multimodal(lambda: _config(mistral()), stacked_as(_tokens)),
    "idefics2_unmasked": Multimodal(
        lambda: _config(llama(), hidden_size=48, rms_norm_eps=2e-3, num_key_value_heads=6, hidden_act="gelu"),
        stacked_as(_tokens, masked=False),
    ),
}
