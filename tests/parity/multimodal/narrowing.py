"""Families whose tower merges patches between its layers: images in patches side by side, and videos the same way."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Generator
from transformers import MiniCPMOcrConfig, MiniCPMV4_6Config, Qwen3_5TextConfig

from ..reference import IMAGE_TOKEN, SIZES, Padding
from .case import VIDEO_TOKEN, Inputs, Multimodal, prompts

# Rows and columns of patches: of images, and of the frames of videos.
GRIDS: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {"image": ((4, 12), (8, 4), (4, 4)), "video": ((4, 4), (4, 4), (8, 8))}
)
# Which stand in each prompt, and in which order.
MIXED_ROWS = (("image", "video"), ("video", "image", "video", "image"), ())


def narrowing(make: Any = MiniCPMV4_6Config, vision: Mapping[str, Any] = MappingProxyType({}), **changes: Any) -> Any:
    sizes = {name: size for name, size in SIZES.items() if name != "intermediate_size"}
    linear = {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 10,
        "linear_value_head_dim": 14,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    }
    rope = {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.6}
    settings: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 20, "num_hidden_layers": 4}
    settings |= {"num_attention_heads": 3}
    settings |= {"image_size": 28, "patch_size": 4, "num_channels": 2, "layer_norm_eps": 2e-3}
    return make(
        text_config=Qwen3_5TextConfig(**sizes, intermediate_size=56, rope_parameters=rope, **linear),
        vision_config={**settings, **vision},
        image_token_id=IMAGE_TOKEN,
        video_token_id=VIDEO_TOKEN,
        **{"insert_layer_id": 1, **changes},
    )


def seen(kinds: tuple[str, ...], config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Prompts with images or videos of different sizes, or both, and their patches side by side."""
    vision = config.vision_config
    group = (2 if config.downsample_mode == "16x" else 1) * 2**config.merger_times
    left = {kind: iter(sizes) for kind, sizes in GRIDS.items()}

    def run(kind: str) -> list[int]:
        rows, columns = next(left[kind])
        return [{"image": IMAGE_TOKEN, "video": VIDEO_TOKEN}[kind]] * (rows * columns // group**2)

    made = prompts(generator, padding, [[run(kind) for kind in row if kind in kinds] for row in MIXED_ROWS])
    for kind, end in (("image", ""), ("video", "_videos")):
        if kind in kinds:
            width = sum(rows * columns for rows, columns in GRIDS[kind]) * vision.patch_size
            made[f"pixel_values{end}"] = torch.randn(
                1, vision.num_channels, vision.patch_size, width, generator=generator
            )
            made[f"target_sizes{end}"] = torch.tensor(GRIDS[kind])
    return made


def _case(make: Any = MiniCPMV4_6Config, **changes: Any) -> Multimodal:
    alone = {kind: partial(seen, (kind,)) for kind in ("image", "video")}
    return Multimodal(lambda: narrowing(make, **changes), partial(seen, ("image", "video")), alone=alone)


CASES = {
    "minicpmv4_6": _case(),
    "minicpmv4_6_4x": _case(downsample_mode="4x", merger_times=2, vision={"hidden_act": "quick_gelu"}),
    "minicpm_ocr": _case(MiniCPMOcrConfig),
}
