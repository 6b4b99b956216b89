"""Models of sound and text: clips of one length, padded at their ends or not, some rows with none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator
from transformers import AudioFlamingo3Config, Qwen2AudioConfig, VoxtralConfig

from ..reference import IMAGE_TOKEN, Padding, llama, qwen2
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


SIZES: dict[str, Any] = {"num_mel_bins": 10, "max_source_positions": 22}
FRAMES = (44, 31, 18)  # of each clip; what is behind them is padding


def qwen2_audio(**changes: Any) -> Any:
    """Its tower has names of its own for the sizes."""
    tower = {"d_model": 24, "encoder_ffn_dim": 44, "encoder_layers": 2, "encoder_attention_heads": 3, **SIZES}
    tower |= {"model_type": "qwen2_audio_encoder", **changes}
    return Qwen2AudioConfig(audio_config=tower, text_config=qwen2().to_dict(), audio_token_index=IMAGE_TOKEN)


def audio_flamingo3(**changes: Any) -> Any:
    tower = {"hidden_size": 24, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 3, **SIZES}
    tower |= {"model_type": "audioflamingo3_encoder", "activation_function": "gelu_pytorch_tanh"}
    return AudioFlamingo3Config(
        audio_config=tower, text_config=qwen2().to_dict(), audio_token_id=IMAGE_TOKEN, **changes
    )


def padded_clips(mask: str) -> Callable[[Any, Padding, Generator], Inputs]:
    """Clips of several lengths; `mask` is the name of the input that says so."""

    def build(config: Any, padding: Padding, generator: Generator) -> Inputs:
        runs = iter([IMAGE_TOKEN] * ((frames + 1) // 2 // 2) for frames in FRAMES)
        inputs = prompts(generator, padding, [[next(runs) for _ in range(count)] for count in IMAGES])
        places = torch.arange(2 * config.audio_config.max_source_positions)
        valid = (places < torch.tensor(FRAMES)[:, None]).long()
        return inputs | {"input_features": clips(config, generator), mask: valid}

    return build


CASES = {
    "qwen2_audio": Multimodal(
        qwen2_audio, padded_clips("feature_attention_mask"), "Qwen2AudioForConditionalGeneration"
    ),
    "audioflamingo3": Multimodal(
        lambda: audio_flamingo3(projector_bias=False, projector_hidden_act="silu"),
        padded_clips("input_features_mask"),
        "AudioFlamingo3ForConditionalGeneration",
    ),
    "voxtral": Multimodal(voxtral, whole_clips, "VoxtralForConditionalGeneration"),
}
