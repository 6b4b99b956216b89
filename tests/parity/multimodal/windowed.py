"""Towers that see windows of patches: alone (GOT-OCR 2), and beside one for small images (DeepSeek-VL, hybrid)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import DeepseekVLHybridConfig, GotOcr2Config

from ..reference import IMAGE_TOKEN, Padding, llama, qwen2, siglip
from .case import IMAGES, Inputs, Multimodal, prompts

TOWER: dict[str, Any] = {
    "hidden_size": 24,
    "output_channels": 10,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "mlp_dim": 44,
    "layer_norm_eps": 2e-3,
}


def got_ocr2(**changes: Any) -> Any:
    """Seven rows of patches in windows of three: those at the edges are filled up."""
    tower = TOWER | {"image_size": 56, "patch_size": 8, "window_size": 3, "global_attn_indexes": [1]}
    text = qwen2().to_dict()
    return GotOcr2Config(vision_config=tower | changes, text_config=text, image_token_index=IMAGE_TOKEN)


def deepseek_vl_hybrid(**changes: Any) -> Any:
    """Three rows of patches of the small image; the others are stretched to twelve first."""
    high = TOWER | {"model_type": "sam_vision_model", "image_size": 40, "patch_size": 8, "window_size": 3}
    high |= {"global_attn_indexes": [1]}
    return DeepseekVLHybridConfig(
        vision_config=siglip(vision_use_head=False).to_dict(),
        high_res_vision_config=high | changes,
        text_config=llama().to_dict(),
        image_token_id=IMAGE_TOKEN,
        tie_word_embeddings=False,
    )


def pixels(config: Any, generator: Generator) -> torch.Tensor:
    return torch.randn(sum(IMAGES), 3, config.image_size, config.image_size, generator=generator)


def one_image(config: Any, padding: Padding, generator: Generator) -> Inputs:
    vision = config.vision_config
    side = -(-(vision.image_size // vision.patch_size) // 4)
    run = [IMAGE_TOKEN] * side**2
    inputs = prompts(generator, padding, [[run] * images for images in IMAGES])
    return inputs | {"pixel_values": pixels(vision, generator)}


def two_sizes(config: Any, padding: Padding, generator: Generator) -> Inputs:
    vision, high = config.vision_config, config.high_res_vision_config
    run = [IMAGE_TOKEN] * (vision.image_size // vision.patch_size) ** 2
    inputs = prompts(generator, padding, [[run] * images for images in IMAGES])
    inputs["pixel_values"] = pixels(vision, generator)
    return inputs | {"high_res_pixel_values": pixels(high, generator)}


CASES = {
    "got_ocr2": Multimodal(got_ocr2, one_image),
    "got_ocr2_plain": Multimodal(
        lambda: got_ocr2(use_rel_pos=False, use_abs_pos=False, qkv_bias=False, image_size=48, window_size=2), one_image
    ),
    "deepseek_vl_hybrid": Multimodal(deepseek_vl_hybrid, two_sizes),
}
