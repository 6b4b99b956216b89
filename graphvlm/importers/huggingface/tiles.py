"""Configs of models whose images are cut into tiles of the size of their tower, and whose tiles are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt
from types import MappingProxyType
from typing import Any

from .fields import Fields, shown
from .llava import LLAVA, PARTS, UNSAID_TOKENS, read_projector
from .multimodal import (
    Family,
    Imported,
    check_tokens,
    drops_class,
    fused_language,
    read_output,
    read_part,
    read_placeholder,
)
from .tables import VISION_TABLES, ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES
from .vision import Vision, read_vision

_RESOLUTIONS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]

LLAVA_NEXT = ConfigTable(
    "llava_next",
    {**LLAVA.understood, "image_grid_pinpoints": None},
    # whether there is a newline is not asked: there is one
    harmless=LLAVA.harmless | {"use_image_newline_parameter"},
)

LLAVA_ONEVISION = ConfigTable(
    "llava_onevision",
    {
        **{name: value for name, value in LLAVA.understood.items() if name != "image_seq_length"},
        "image_token_index": 151646,
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
        "video_token_index": 151647,
        "video_token_id": None,
        "image_grid_pinpoints": None,
        "vision_aspect_ratio": "anyres_max_9",
    },
    harmless=LLAVA.harmless | {"use_image_newline_parameter"},
)

LLAVA_NEXT_VIDEO = ConfigTable(
    "llava_next_video",
    {
        **LLAVA_NEXT.understood,
        "image_token_index": 32001,
        "video_token_index": 32000,
        "video_token_id": None,
        "spatial_pool_mode": "average",
        "spatial_pool_stride": 2,
    },
    # how many tokens a frame has: what makes prompts reads it
    harmless=LLAVA_NEXT.harmless | {"video_seq_length"},
)

_ONEVISION_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "patch_size": 14,
            "image_size": 384,
            "num_hidden_layers": 26,
            "num_attention_heads": 16,
            "vision_use_head": False,
        },
        "text_config": {"model_type": "qwen2"},
    }
)

INPUTS: Mapping[str, Any] = MappingProxyType({"pixel_values": "stack", "image_sizes": "sizes", "input_ids": "tokens"})


_WITH_VIDEOS: Mapping[str, Any] = MappingProxyType({"pixel_values_videos": "video", "input_ids": "tokens"})


def read_llava_next(config: Fields) -> Imported | None:
    """The graph of a LLaVA-NeXT config; None where a part is of an unknown type."""
    return _read(config, PARTS, _RESOLUTIONS)


def read_llava_next_video(config: Fields) -> Imported | None:
    """The graph of a LLaVA-NeXT-Video config; None where a part is of an unknown type.

    Frames of videos have fewer tokens than images: squares of them become one, before the projector.
    """
    return _read(config, PARTS, _RESOLUTIONS, videos=_pooled_frames)


def read_llava_onevision(config: Fields) -> Imported | None:
    """The graph of a LLaVA-OneVision config; None where a part is of an unknown type.

    Large images are scaled down, and in a prompt with several none is cut. Frames of videos are scaled to half.
    """
    ratio = str(config.choice("vision_aspect_ratio", [f"anyres_max_{count}" for count in range(1, 37)]))
    settings = {"max_tiles": int(ratio.removeprefix("anyres_max_"))}
    sides = range(384, 2305, 384)
    resolutions = [[high, wide] for high in sides for wide in sides]
    imported = _read(config, _ONEVISION_PARTS, resolutions, settings, _scaled_frames)
    if imported is None:
        return None
    imported.body["nodes"]["tiles"]["inputs"]["counts"] = "batch_num_images"
    images = {"pixel_values": "stack", "image_sizes": "sizes", "batch_num_images": "counts"}
    return Imported(imported.body, imported.text, {**images, **_WITH_VIDEOS})


def _pooled_frames(config: Fields, vision: Vision) -> dict[str, Any]:
    """The nodes of a video: frames through the tower of the images, pooled, then through their projector."""
    method = {"average": "mean", "max": "max"}[config.choice("spatial_pool_mode", ("average", "max"))]
    stride, side = config.integer("spatial_pool_stride"), isqrt(vision.patches)
    if side % stride:
        config.unsupported(
            "spatial_pool_stride",
            f"`spatial_pool_stride` is {stride}, and the {side} x {side} tokens of a frame do not divide by it; "
            "transformers leaves the last ones out",
            f"write a number that divides {side}",
        )
    pooled = {"kind": "projector", "type": "pool", "window": stride, "method": method, "inputs": "video_vision"}
    return {**_FRAMES, "pooled": pooled, "video_projector": {"module": "projector", "inputs": "pooled"}}


def _scaled_frames(_: Fields, vision: Vision) -> dict[str, Any]:
    """The nodes of a video: frames like images, scaled to half, behind each other, with a newline at the end."""
    side = -(-isqrt(vision.patches) // 2)
    scaled = {"kind": "projector", "type": "pool", "tokens": side**2, "method": "bilinear", "inputs": "video_projector"}
    packed = {"features": "pooled", "video": "pixel_values_videos", "newline": "packed.newline"}
    return {
        **_FRAMES,
        "video_projector": {"module": "projector", "inputs": "video_vision"},
        "pooled": scaled,
        "video_packed": {"kind": "projector", "type": "video_packing", "inputs": packed},
    }


_FRAMES: Mapping[str, Any] = MappingProxyType(
    {
        "frames": {"kind": "encoder", "type": "video_frames", "inputs": "pixel_values_videos"},
        "video_vision": {"module": "vision", "inputs": "frames"},
    }
)


def _read(
    config: Fields,
    parts: Mapping[str, Values],
    resolutions: list[list[int]],
    packing: Mapping[str, Any] = MappingProxyType({}),
    videos: Callable[[Fields, Vision], dict[str, Any]] | None = None,
) -> Imported | None:
    """The graph of any; `resolutions` are those of a config that names none, `packing` more settings of it.

    `videos` makes the nodes that see videos, the last of which gives their features, where the model takes any.
    """
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, parts["text_config"])
    vision_fields = read_part(config, "vision_config", VISION_TABLES, parts["vision_config"])
    if text is None or vision_fields is None:
        return None
    tied = config.boolean("tie_word_embeddings")
    if config.table.model_type != "llava_next":  # the others copy the text's word when their own is false
        tied |= text.boolean("tie_word_embeddings")
    llm = read_decoder(text, "fused", tied=tied)
    llm["head"].pop("softcap", None)  # the head of this class is its own, and does not bound its logits
    vision = read_vision(vision_fields)
    seen = videos(config, vision) if videos else {}
    features = {"image": "packed"} | ({"video": next(reversed(seen))} if seen else {})
    tokens = {
        name: read_placeholder(config, llm["vocab"], f"{name}_token_id", f"{name}_token_index") for name in features
    }
    packed = {"features": "projector", "grid": "tiles.grid", "sizes": "image_sizes"}
    body = {
        "nodes": {
            **read_tower(config, vision, resolutions),
            "packed": {"kind": "projector", "type": "tile_packing", "inputs": packed, **packing},
            **seen,
            **fused_language(read_embedding(text), llm, features, tokens),
        },
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/llava_next"},
    }
    images = {name: what for name, what in INPUTS.items() if name != "input_ids"}
    return Imported(body, text, {**images, **_WITH_VIDEOS} if seen else INPUTS)


def read_tower(config: Fields, vision: Vision, resolutions: list[list[int]]) -> dict[str, Any]:
    """Nodes `tiles`, `vision` and `projector`; `resolutions` are those of a config that names none."""
    size = vision.node["image"]["size"]
    drop = drops_class(config, vision)
    if vision.class_token and not drop:
        config.unsupported(
            "vision_feature_select_strategy",
            "`vision_feature_select_strategy` is `full`, which keeps the class token of each tile, and tiles with one "
            "more token do not fit together; transformers fails here too",
            'write "vision_feature_select_strategy": "default"',
        )
    if "image_seq_length" in config.table.understood:
        check_tokens(config, "image_seq_length", vision.patches, UNSAID_TOKENS)
    output = read_output(config, vision, drop=drop)
    return {
        "tiles": {
            "kind": "encoder",
            "type": "image_stack",
            "inputs": {"stack": "pixel_values", "sizes": "image_sizes"},
            "tiling": {"size": size, "resolutions": _read_resolutions(config, size, resolutions)},
        },
        "vision": vision.node
        | {"inputs": "tiles", "output": output, "checkpoint": {"use": f"checkpoint/{vision.checkpoint}"}},
        "projector": read_projector(config),
    }


def _read_resolutions(config: Fields, size: int, default: list[list[int]]) -> list[list[int]]:
    """What images are scaled to: `image_grid_pinpoints`, each a multiple of the images of the tower."""
    key = "image_grid_pinpoints"
    tree = config.tree.get(key)
    if tree is None or tree.value is None:
        found: Any = default
    else:
        found = tree.plain()
    if not isinstance(found, list) or not found or not all(map(_is_resolution, found)):
        message = f"`{config.name(key)}` must be a list of [height, width] in pixels, not {shown(found)}"
        edit = f"write such as {[[size, 2 * size], [2 * size, size]]}"
        config.problems.error("invalid-config", message, config.span(key), help=edit)
        return [[size, size]]
    for resolution in found:
        if any(side % size for side in resolution):
            config.problems.conflict(
                f"`{config.name(key)}` has {shown(resolution)}, and no whole number of images of the tower, {size} "
                "pixels each, fits there",
                config.span(key),
                help=f"write multiples of {size}",
            )
    return [list(resolution) for resolution in found]


def _is_resolution(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llava_next": Family(LLAVA_NEXT, read_llava_next, PARTS),
        "llava_next_video": Family(LLAVA_NEXT_VIDEO, read_llava_next_video, PARTS),
        "llava_onevision": Family(LLAVA_ONEVISION, read_llava_onevision, _ONEVISION_PARTS),
    }
)
