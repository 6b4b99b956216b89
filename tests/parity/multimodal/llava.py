"""LLaVA: both towers, every decoder of its first days, and which hidden states the projector reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Generator
from transformers import GraniteConfig, LlavaConfig, VideoLlavaConfig, VipLlavaConfig

from ..reference import (
    IMAGE_TOKEN,
    MIXED,
    SIZES,
    Padding,
    clip,
    gemma,
    gemma2,
    llama,
    mistral,
    qwen2,
    qwen3,
    qwen3_moe,
    siglip,
)
from .case import IMAGES, VIDEO_TOKEN, Inputs, Multimodal, prompts, square_images


def tokens(config: Any) -> int:
    """How many tokens the tower makes of one image, as the reference counts them."""
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    has_class = config.vision_config.model_type == "clip_vision_model"
    strategy = getattr(config, "vision_feature_select_strategy", "default")
    return int(patches + (has_class and strategy == "full"))


def llava(vision: Any, text: Any, **changes: Any) -> Any:
    strategy = "default" if vision.model_type == "clip_vision_model" else "full"
    settings = {"image_token_index": IMAGE_TOKEN, "vision_feature_select_strategy": strategy, **changes}
    return LlavaConfig(vision_config=vision, text_config=text, **settings)


def granite() -> Any:
    """Its factor on embeddings is one on images too."""
    sizes = {name: size for name, size in SIZES.items() if name != "head_dim"}
    factors = {"embedding_multiplier": 3.0, "attention_multiplier": 0.5, "residual_multiplier": 0.4}
    return GraniteConfig(**sizes, **factors, logits_scaling=1.7)


_CONFIGS: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "clip_qwen3_moe": lambda: llava(clip(), qwen3_moe()),
        "siglip_gemma": lambda: llava(siglip(), gemma(hidden_act="gelu")),
        "siglip_gemma2": lambda: llava(siglip(), gemma2()),
        "clip_llama": lambda: llava(clip(), llama()),
        "clip_mistral": lambda: llava(clip(), mistral()),
        "clip_qwen2": lambda: llava(clip(), qwen2()),
        "clip_qwen3": lambda: llava(clip(), qwen3()),
        "siglip_granite": lambda: llava(siglip(), granite()),
        "siglip_llama": lambda: llava(siglip(), llama()),
        "siglip_mistral": lambda: llava(siglip(vision_use_head=False), mistral()),
        "siglip_qwen2": lambda: llava(siglip(), qwen2(tie_word_embeddings=True)),
        "siglip_qwen3": lambda: llava(siglip(), qwen3(use_sliding_window=True, sliding_window=6, layer_types=MIXED)),
        "clip_full_last": lambda: llava(
            clip(), llama(), vision_feature_select_strategy="full", vision_feature_layer=-1
        ),
        "siglip_last": lambda: llava(siglip(), llama(), vision_feature_layer=-1),
        "clip_embeddings": lambda: llava(
            clip(hidden_act="gelu"), llama(), vision_feature_layer=-5
        ),  # 0 itself fails in 5.23
        "clip_third_plain_projector": lambda: llava(
            clip(),
            llama(),
            vision_feature_layer=3,
            multimodal_projector_bias=False,
            projector_hidden_act="gelu_pytorch_tanh",
            tie_word_embeddings=True,
        ),
    }
)

_SEVERAL: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "clip_two_layers": lambda: llava(clip(), llama(), vision_feature_layer=[-2, 3]),
        "vipllava": lambda: VipLlavaConfig(
            vision_config=clip(),
            text_config=llama(),
            image_token_index=IMAGE_TOKEN,
            vision_feature_layer=[-2, 1, -2],
            projector_layernorm_eps=2e-3,
        ),
        "vipllava_one_layer": lambda: VipLlavaConfig(
            vision_config=clip(), text_config=qwen2(), image_token_index=IMAGE_TOKEN, vision_feature_layer=-3
        ),
    }
)

FRAMES = 2
VIDEOS = (1, 1, 0)


def video_llava(**changes: Any) -> Any:
    tokens = {"image_token_index": IMAGE_TOKEN, "video_token_index": VIDEO_TOKEN}
    return VideoLlavaConfig(vision_config=clip(), text_config=llama(), **tokens, **changes)


def seen(kinds: tuple[str, ...], config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Images and videos, each through a tower of its own; frames have their class token too."""
    size = config.vision_config.image_size
    runs = {"image": [IMAGE_TOKEN] * tokens(config)}
    runs["video"] = [VIDEO_TOKEN] * (FRAMES * ((size // config.vision_config.patch_size) ** 2 + 1))
    counts = {"image": IMAGES, "video": VIDEOS}
    rows = [[runs[kind] for kind in kinds for _ in range(counts[kind][row])] for row in range(len(IMAGES))]
    pixels = {
        "pixel_values": torch.randn(sum(IMAGES), 3, size, size, generator=generator),
        "pixel_values_videos": torch.randn(sum(VIDEOS), FRAMES, 3, size, size, generator=generator),
    }
    names = {"image": "pixel_values", "video": "pixel_values_videos"}
    return prompts(generator, padding, rows) | {names[kind]: pixels[names[kind]] for kind in kinds}


_FILMED: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "video_llava": video_llava,
        "video_llava_full": lambda: video_llava(vision_feature_select_strategy="full", vision_feature_layer=-1),
    }
)

_KINDS = ("image", "video")
CASES = {name: Multimodal(config, square_images(tokens)) for name, config in {**_CONFIGS, **_SEVERAL}.items()}
CASES |= {
    name: Multimodal(config, partial(seen, _KINDS), alone={kind: partial(seen, (kind,)) for kind in _KINDS})
    for name, config in _FILMED.items()
}
