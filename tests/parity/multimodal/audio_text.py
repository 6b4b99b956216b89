"""Models of sound and text: clips of one length, padded at their ends or not, some rows with none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import VoxtralConfig

from ..reference import IMAGE_TOKEN, Padding, llama
from .case import IMAGES, Inputs, Multimodal, prompts

CLIPS = sum(IMAGES)


def voxtral(**changes: Any) -> Any:
    """Four tokens of a clip in one, which is as wide as the feed-forward of the tower."""
    tower = {
        "model_type": "voxtral_encoder",
        "hidden_size": 24,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "num_mel_bins": 10,
        "max_source_positions": 20,
        **changes,
    }
    return VoxtralConfig(audio_config=tower, text_config=llama().to_dict(), audio_token_id=IMAGE_TOKEN)


def clips(config: Any, generator: Generator) -> torch.Tensor:
    tower = config.audio_config
    return torch.randn(CLIPS, tower.num_mel_bins, 2 * tower.max_source_positions, generator=generator)


def whole_clips(config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Every clip fills its length."""
    tower = config.audio_config
    run = [IMAGE_TOKEN] * (tower.max_source_positions * tower.hidden_size // tower.intermediate_size)
    inputs = prompts(generator, padding, [[run] * count for count in IMAGES])
    return inputs | {"input_features": clips(config, generator)}


CASES = {
    "voxtral": Multimodal(voxtral, whole_clips, "VoxtralForConditionalGeneration"),
}
