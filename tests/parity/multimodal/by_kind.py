"""Families whose text and images have experts of their own: images, and videos whose frames are merged in pairs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Generator
from transformers import Ernie4_5_VLMoeConfig

from ..reference import IMAGE_TOKEN, SIZES, Padding
from .case import VIDEO_TOKEN, Inputs, Multimodal, prompts

# Frames, rows and columns of patches; the reference takes even numbers of frames alone.
GRIDS = ((1, 4, 6), (1, 2, 2), (1, 6, 4))
FILMS = ((4, 4, 2), (2, 2, 4))
# Which stand in each prompt, and in which order.
MIXED_ROWS = (("image", "video"), ("video", "image", "image"), ())
STARTS = {"image": (2, 3), "video": (4, 5)}  # tokens before and after, which count as those of images


def ernie(vision: dict[str, Any] | None = None, **changes: Any) -> Any:
    sizes = {name: size for name, size in SIZES.items() if name != "head_dim"}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 5000.0}
    experts = {"moe_intermediate_size": [20, 12], "moe_k": 3, "moe_num_experts": 5, "moe_num_shared_experts": 2}
    settings: dict[str, Any] = {"depth": 2, "hidden_size": 60, "num_heads": 3, "patch_size": 4, "in_channels": 2}
    settings |= {"intermediate_size": 40, "rms_norm_eps": 2e-3, **(vision or {})}
    return Ernie4_5_VLMoeConfig(
        text_config={**sizes, "rope_parameters": rope, **experts, **changes},
        vision_config=settings,
        image_token_id=IMAGE_TOKEN,
        video_token_id=VIDEO_TOKEN,
        image_start_token_id=2,
        image_end_token_id=3,
        video_start_token_id=4,
        video_end_token_id=5,
        tie_word_embeddings=False,
    )


def seen(kinds: tuple[str, ...], config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Prompts with images or videos of different sizes, or both, their patches, and which tokens are not text."""
    grids = {"image": GRIDS, "video": FILMS}
    left = {kind: iter(sizes) for kind, sizes in grids.items()}
    group = config.vision_config.spatial_merge_size**2

    def run(kind: str) -> list[int]:
        frames, rows, columns = next(left[kind])
        start, end = STARTS[kind]
        token = {"image": IMAGE_TOKEN, "video": VIDEO_TOKEN}[kind]
        return [start, *[token] * (max(frames // 2, 1) * rows * columns // group), end]

    made = prompts(generator, padding, [[run(kind) for kind in row if kind in kinds] for row in MIXED_ROWS])
    numbers = config.vision_config.in_channels * config.vision_config.patch_size**2
    for kind, pixels in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        if kind in kinds:
            count = sum(t * h * w for t, h, w in grids[kind])
            made[pixels] = torch.randn(count, numbers, generator=generator)
            made[f"{kind}_grid_thw"] = torch.tensor(grids[kind])
    ids = made["input_ids"]
    types = (ids == IMAGE_TOKEN).int() + 2 * (ids == VIDEO_TOKEN).int()
    for number, (start, end) in enumerate(STARTS.values(), start=1):
        types += number * ((ids == start) | (ids == end)).int()
    return made | {"moe_mm_token_type_ids": types * made["attention_mask"].int()}


def marked(given: Inputs) -> Inputs:
    """With the type of each token alone, which positions are made of."""
    ids = given["input_ids"]
    if not {"image_grid_thw", "video_grid_thw"} & {*given}:
        return given
    return given | {"mm_token_type_ids": (ids == IMAGE_TOKEN).int() + 2 * (ids == VIDEO_TOKEN).int()}


def _case(**changes: Any) -> Multimodal:
    alone = {kind: partial(seen, (kind,)) for kind in ("image", "video")}
    return Multimodal(lambda: ernie(**changes), partial(seen, ("image", "video")), reference=marked, alone=alone)


CASES = {
    "ernie4_5_vl_moe": _case(),
    "ernie4_5_vl_moe_biased": _case(
        use_bias=True, moe_num_shared_experts=0, mlp_layer_types=["sparse", "dense", "sparse"]
    ),
}
