"""Configs of models whose images are cut into tiles of the size of their tower, and whose tiles are put together."""

from __future__ import annotations

from collections.abc import Mapping
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
        "image_grid_pinpoints": None,
        "vision_aspect_ratio": "anyres_max_9",
    },
    # videos are not read
    harmless=LLAVA.harmless | {"use_image_newline_parameter", "video_token_index", "video_token_id"},
)

LLAVA_NEXT_VIDEO = ConfigTable(
    "llava_next_video",
    {**LLAVA_NEXT.understood, "image_token_index": 32001, "spatial_pool_mode": "average"},
    # videos are not read
    harmless=LLAVA_NEXT.harmless | {"video_token_index", "video_token_id", "video_seq_length", "spatial_pool_stride"},
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


def read_llava_next(config: Fields) -> Imported | None:
    """The graph of a LLaVA-NeXT config; None where a part is of an unknown type."""
    return _read(config, PARTS, _RESOLUTIONS)


def read_llava_next_video(config: Fields) -> Imported | None:
    """The graph of a LLaVA-NeXT-Video config, of its images; None where a part is of an unknown type."""
    config.choice("spatial_pool_mode", ("average", "max"))  # what pools videos has no weights then
    return _read(config, PARTS, _RESOLUTIONS)


def read_llava_onevision(config: Fields) -> Imported | None:
    """The graph of a LLaVA-OneVision config, of its images; None where a part is of an unknown type.

    Large images are scaled down, and in a prompt with several none is cut.
    """
    ratio = str(config.choice("vision_aspect_ratio", [f"anyres_max_{count}" for count in range(1, 37)]))
    settings = {"max_tiles": int(ratio.removeprefix("anyres_max_"))}
    sides = range(384, 2305, 384)
    imported = _read(config, _ONEVISION_PARTS, [[high, wide] for high in sides for wide in sides], settings)
    if imported is None:
        return None
    imported.body["nodes"]["tiles"]["inputs"]["counts"] = "batch_num_images"
    inputs = {"pixel_values": "stack", "image_sizes": "sizes", "batch_num_images": "counts", "input_ids": "tokens"}
    return Imported(imported.body, imported.text, inputs)


def _read(
    config: Fields,
    parts: Mapping[str, Values],
    resolutions: list[list[int]],
    packing: Mapping[str, Any] = MappingProxyType({}),
) -> Imported | None:
    """The graph of either; `resolutions` are those of a config that names none, `packing` more settings of it."""
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
    token = read_placeholder(config, llm["vocab"], "image_token_id", "image_token_index")
    packed = {"features": "projector", "grid": "tiles.grid", "sizes": "image_sizes"}
    body = {
        "nodes": {
            **read_tower(config, vision, resolutions),
            "packed": {"kind": "projector", "type": "tile_packing", "inputs": packed, **packing},
            **fused_language(read_embedding(text), llm, {"image": "packed"}, {"image": token}),
        },
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/llava_next"},
    }
    return Imported(body, text, INPUTS)


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
