"""Families that take images of any size: patches and grids, positions of three numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Generator
from transformers import (
    CohereCompassConfig,
    Glm4vConfig,
    Glm4vMoeConfig,
    Glm46VConfig,
    GlmgaConfig,
    GlmOcrConfig,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3_5Config,
    Qwen3_5MoeConfig,
    Qwen3VLConfig,
    Qwen3VLMoeConfig,
)

from ..reference import IMAGE_TOKEN, MIXED, SIZES, Padding
from .case import VIDEO_TOKEN, Inputs, Multimodal, prompts

# Frames, rows and columns of patches: as wide as high or not, one block alone, two frames of a video.
GRIDS = ((1, 4, 6), (1, 2, 2), (2, 6, 4))
FILMS = ((2, 4, 2), (3, 2, 4))
SECONDS = (0.7, 1.3)  # between their frames
# Which stand in each prompt, and in which order.
MIXED_ROWS = (("image", "video"), ("video", "image", "image"), ())
# Videos of these have the token of images between two others, and the class takes images or videos, never both.
ALIKE = ("glm4v", "glm46v", "glmga", "glm4v_moe", "glm_ocr")
START, END = 2, 0  # these two: no words of a prompt
# These have the times of frames as text between them.
APART = ("cohere_compass", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")


def seen(kinds: tuple[str, ...], config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Prompts with images or videos of different sizes, or both, and their patches."""
    # GLM-4V's own tower takes images of one frame alone
    images = [(1 if config.model_type in ALIKE else t, h, w) for t, h, w in GRIDS]
    grids = {"image": images, "video": list(FILMS)}
    left = {kind: iter(sizes) for kind, sizes in grids.items()}
    rows = [[kind for kind in row if kind in kinds] for row in MIXED_ROWS]
    made = prompts(generator, padding, [[run for kind in row for run in _runs(config, kind, left)] for row in rows])
    for kind, pixels in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        if kind in kinds:
            made |= {pixels: _patches(config, grids[kind], generator), f"{kind}_grid_thw": torch.tensor(grids[kind])}
    timed = "video" in kinds and config.model_type == "qwen2_5_vl"
    return made | ({"second_per_grid_ts": torch.tensor(SECONDS)} if timed else {})


def _runs(config: Any, kind: str, left: Mapping[str, Iterator[tuple[int, ...]]]) -> list[list[int]]:
    """The tokens of the next image or video: one run, or one for each frame."""
    frames, rows, columns = next(left[kind])
    tokens = rows * columns // config.vision_config.spatial_merge_size**2
    if kind == "image":
        return [[IMAGE_TOKEN] * (frames * tokens)]
    if config.model_type in ALIKE:  # a frame stands alone, behind it its time
        return [[START, *([IMAGE_TOKEN] * tokens + [5]) * frames, END]]
    return [[VIDEO_TOKEN] * tokens] * frames if config.model_type in APART else [[VIDEO_TOKEN] * (frames * tokens)]


def _patches(config: Any, grids: Sequence[tuple[int, ...]], generator: Generator) -> torch.Tensor:
    vision = config.vision_config
    numbers = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    return torch.randn(sum(t * h * w for t, h, w in grids), numbers, generator=generator)


def marked(given: Inputs) -> Inputs:
    """With the type of each token, which the processors of these families return."""
    if not {"image_grid_thw", "video_grid_thw"} & {*given}:
        return given
    ids = given["input_ids"]
    alike = (ids == IMAGE_TOKEN) & ((ids == START).cumsum(1) > (ids == END).cumsum(1))
    return given | {"mm_token_type_ids": (ids == IMAGE_TOKEN).int() + 2 * (ids == VIDEO_TOKEN).int() + alike.int()}


_TOKENS = {
    "image_token_id": IMAGE_TOKEN,
    "video_token_id": VIDEO_TOKEN,
    "vision_start_token_id": 2,
    "vision_end_token_id": 3,
}
_VISION = {"depth": 3, "hidden_size": 48, "num_heads": 3, "patch_size": 4, "in_channels": 2}


def _text(sections: list[int], **changes: Any) -> dict[str, Any]:
    sizes = {name: size for name, size in SIZES.items() if name != "head_dim"}
    rope = {"rope_type": "default", "mrope_section": sections, "rope_theta": 5000.0}
    return {**sizes, "rope_parameters": rope, **changes}


def qwen2_vl(**changes: Any) -> Any:
    vision = {**_VISION, "embed_dim": 60, "mlp_ratio": 2, "temporal_patch_size": 1 + 1}
    return Qwen2VLConfig(text_config=_text([1, 2, 1], **changes), vision_config=vision, **_TOKENS)


def qwen2_5_vl(vision: Mapping[str, Any] = MappingProxyType({}), **changes: Any) -> Any:
    windows = {"intermediate_size": 40, "window_size": 20, "fullatt_block_indexes": [1], "out_hidden_size": 48}
    settings = {**_VISION, "hidden_size": 60, **windows, **vision}
    return Qwen2_5_VLConfig(text_config=_text([2, 1, 1], **changes), vision_config=settings, **_TOKENS)


def qwen3_vl(vision: Mapping[str, Any] = MappingProxyType({}), **changes: Any) -> Any:
    settings = {**_VISION, "hidden_size": 60, "intermediate_size": 40, "out_hidden_size": 48, **vision}
    settings = {"num_position_embeddings": 49, "deepstack_visual_indexes": [0, 2], **settings}
    text = _text([4, 3, 3], head_dim=20, **changes)
    return Qwen3VLConfig(text_config=text, vision_config=settings, **_TOKENS)


def qwen3_vl_moe(**changes: Any) -> Any:
    settings: dict[str, Any] = {**_VISION, "hidden_size": 60, "intermediate_size": 40, "out_hidden_size": 48}
    settings |= {"num_position_embeddings": 25, "deepstack_visual_indexes": [1]}
    experts = {"num_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 20, "mlp_only_layers": [1]}
    text = _text([4, 3, 3], head_dim=20, **experts, **changes)
    return Qwen3VLMoeConfig(text_config=text, vision_config=settings, **_TOKENS)


def cohere_compass() -> Any:
    """Layers with a window turn queries and keys by three numbers; the others know no positions."""
    settings: dict[str, Any] = {**_VISION, "hidden_size": 60, "intermediate_size": 40, "out_hidden_size": 48}
    settings |= {"num_position_embeddings": 25, "deepstack_visual_indexes": [1, 2]}
    rope = {"rope_type": "default", "rope_theta": 5000.0, "mrope_section": [2, 1, 1]}
    text = _text([], num_attention_heads=6, layer_types=MIXED, sliding_window=7, layer_norm_eps=2e-3, logit_scale=0.4)
    text |= {"rope_parameters": {"full_attention": None, "sliding_attention": rope}}
    del text["rms_norm_eps"]
    return CohereCompassConfig(text_config=text, vision_config=settings, **_TOKENS)


def qwen3_5(config: Any = Qwen3_5Config, **changes: Any) -> Any:
    """Linear attention beside full attention, of whose heads three fifths turn by three positions."""
    settings: dict[str, Any] = {**_VISION, "hidden_size": 60, "intermediate_size": 40, "out_hidden_size": 48}
    linear = {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 10,
        "linear_value_head_dim": 14,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    }
    text = _text([3, 2, 1], head_dim=20, **linear, **changes)
    text["rope_parameters"] |= {"partial_rotary_factor": 0.6, "mrope_interleaved": True}
    return config(text_config=text, vision_config=settings | {"num_position_embeddings": 36}, **_TOKENS)


def qwen3_5_moe() -> Any:
    experts = {"num_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 20}
    return qwen3_5(Qwen3_5MoeConfig, shared_expert_intermediate_size=24, **experts)


def glm4v(make: Any = Glm4vConfig, sections: Sequence[int] = (1, 2, 1), **changes: Any) -> Any:
    settings: dict[str, Any] = {
        **_VISION,
        "hidden_size": 60,
        "intermediate_size": 44,
        "out_hidden_size": 48,
        "image_size": 22,
    }
    settings |= {"rms_norm_eps": 2e-3, "depth": 2}
    rope = {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5}
    rope |= {"mrope_section": list(sections)}
    text = _text([], hidden_size=48, num_attention_heads=3, num_key_value_heads=1, rope_parameters=rope, **changes)
    tokens = {name: token for name, token in _TOKENS.items() if not name.startswith("vision")}
    tokens |= {"video_start_token_id": START, "video_end_token_id": END}
    if make in (Glm46VConfig, GlmgaConfig):  # whose parts are those of the other
        settings["model_type"], text["model_type"] = "glm4v_vision", "glm4v_text"
    return make(text_config=text, vision_config=settings, **tokens)


def glm_ocr() -> Any:
    """Norms of queries and keys in the tower, which has no learned positions; heads of a width of their own."""
    settings: dict[str, Any] = {**_VISION, "hidden_size": 60, "intermediate_size": 44, "out_hidden_size": 48}
    rope = {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5, "mrope_section": [2, 2, 1]}
    text = _text([], hidden_size=48, num_attention_heads=3, num_key_value_heads=1, head_dim=20, rope_parameters=rope)
    tokens = {name: token for name, token in _TOKENS.items() if not name.startswith("vision")}
    return GlmOcrConfig(
        text_config=text,
        vision_config=settings | {"rms_norm_eps": 2e-3, "depth": 2},
        video_start_token_id=START,
        video_end_token_id=END,
        **tokens,
    )


_ROUTED: Mapping[str, Any] = MappingProxyType(
    {
        "n_routed_experts": 6,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 20,
        "n_group": 3,
        "topk_group": 2,
        "routed_scaling_factor": 1.7,
    }
)

_CONFIGS: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "qwen2_vl": lambda: qwen2_vl(use_sliding_window=True, sliding_window=6, layer_types=MIXED),
        "qwen2_5_vl": qwen2_5_vl,
        "qwen2_5_vl_full": lambda: qwen2_5_vl({"fullatt_block_indexes": [0, 1, 2], "temporal_patch_size": 1}),
        "qwen3_vl": lambda: qwen3_vl(attention_bias=True),
        "qwen3_vl_moe": qwen3_vl_moe,
        "cohere_compass": cohere_compass,
        "qwen3_5": qwen3_5,
        "qwen3_5_moe": qwen3_5_moe,
        "glm4v": glm4v,
        "glm46v": lambda: glm4v(Glm46VConfig),
        "glmga": lambda: glm4v(GlmgaConfig),
        "glm_ocr": glm_ocr,
        "glm4v_moe": lambda: glm4v(Glm4vMoeConfig, (3, 2, 1), head_dim=24, **_ROUTED),
    }
)


def _case(name: str, config: Callable[[], Any]) -> Multimodal:
    if name in ALIKE:
        return Multimodal(
            config, partial(seen, ("image",)), reference=marked, alone={"video": partial(seen, ("video",))}
        )
    alone = {kind: partial(seen, (kind,)) for kind in ("image", "video")}
    return Multimodal(config, partial(seen, ("image", "video")), reference=marked, alone=alone)


CASES = {name: _case(name, config) for name, config in _CONFIGS.items()}
