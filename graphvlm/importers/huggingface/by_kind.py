"""Models of images and videos of any size whose frames are merged in pairs, and whose tokens have experts by kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported, called_again, read_part
from .native import language_of, placeholders
from .native_vision import Native, check_heads, rotation_base
from .tables import ConfigTable, Values
from .text import read_decoder
from .text_tables import TEXT_TABLES

ERNIE_VL = ConfigTable(
    "ernie4_5_vl_moe",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_id": 100295,
        "video_token_id": 103367,
        "tie_word_embeddings": True,
    },
    # which tokens go through the experts of images, the caller says
    harmless=frozenset(
        {"image_start_token_id", "image_end_token_id", "video_start_token_id", "video_end_token_id"},
    ),
)
_VISION = ConfigTable(
    "ernie4_5_vl_moe_vision",
    {
        "depth": 32,
        "hidden_size": 1280,
        "hidden_act": "quick_gelu",
        "intermediate_size": 4 * 1280,
        "num_heads": 16,
        "in_channels": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_merge_size": 2,
        "rms_norm_eps": 1e-6,
        "rope_parameters": None,
    },
)
VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType({_VISION.model_type: _VISION})
_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {"model_type": "ernie4_5_vl_moe_vision"},
        "text_config": {"model_type": "ernie4_5_vl_moe_text"},
    }
)
_IMAGES: Values = MappingProxyType({"pixel_values": "patches", "image_grid_thw": "grid"})
_VIDEOS: Values = MappingProxyType({"pixel_values_videos": "patches", "video_grid_thw": "grid"})
_PAIR = 2


def _read(config: Fields) -> Imported | None:
    config.check_names()
    text_table = {name: TEXT_TABLES[name] for name in (_PARTS["text_config"]["model_type"],)}
    text = read_part(config, "text_config", text_table, _PARTS["text_config"])
    vision = read_part(config, "vision_config", VISION_TABLES, _PARTS["vision_config"])
    if text is None or vision is None:
        return None
    llm = read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    native = _tower(vision, llm["norm"]["eps"])
    tokens = placeholders(config, llm["vocab"])
    again = called_again(native.nodes, dict(zip(_IMAGES, _VIDEOS, strict=True)))
    language = language_of(text, llm, native, tokens, {"merged_frames": _PAIR})
    body = {
        "nodes": {**native.nodes, **again, **language},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/ernie4_5_vl"},
    }
    kinds = {"moe_mm_token_type_ids": "mask"} if "segments" in llm else {}
    return Imported(body, text, {**_IMAGES, **_VIDEOS, "input_ids": "tokens", **kinds})


def _tower(vision: Fields, eps: float) -> Native:
    """The tower, and its resampler: blocks of patches as tokens, then pairs of frames, then the width of the text."""
    vision.check_names()
    dim, heads, group = (vision.integer(name) for name in ("hidden_size", "num_heads", "spatial_merge_size"))
    check_heads(vision, "hidden_size", dim, heads)
    if vision.integer("temporal_merge_size") != _PAIR:
        key = "temporal_merge_size"
        message = f"`{vision.name(key)}`: the class of transformers merges pairs of frames, whatever this says"
        vision.unsupported(key, message, f"write {_PAIR}")
    norm, width = {"type": "layer", "eps": vision.number("rms_norm_eps")}, dim * group**2
    activation = vision.activation("hidden_act")
    tower = {
        "kind": "encoder",
        "type": "native_vit",
        "inputs": {"patches": "pixel_values", "grid": "image_grid_thw"},
        "patch": {"size": vision.integer("patch_size"), "channels": vision.integer("in_channels"), "group": group},
        "position": {"type": "rope2d", "theta": rotation_base(vision)},
        "dim": dim,
        "layers": vision.integer("depth"),
        "norm": norm,
        "attention": {"heads": heads, "bias": True},
        "mlp": {"hidden": vision.integer("intermediate_size"), "activation": activation, "bias": True},
        "checkpoint": {"use": "checkpoint/ernie4_5_vl_vision"},
    }
    return Native({"vision": tower, **resampler(width, group, norm, eps)}, ("hidden_size", 0), group)


def resampler(width: int, group: int, norm: Mapping[str, Any], eps: float) -> dict[str, dict[str, Any]]:
    """The nodes between the tower and the text, `width` wide inside."""
    two = {"layers": 2, "activation": "gelu", "out": width, "out_norm": dict(norm)}
    names = {"linear_1": "0", "linear_2": "2", "out_norm": "3"}
    return {
        "spatial": {
            "kind": "projector",
            "type": "patch_merger",
            "group": group,
            **two,
            "inputs": "vision",
            "checkpoint": {"names": names},
        },
        "pairs": {
            "kind": "projector",
            "type": "frame_merger",
            "frames": _PAIR,
            "group": group,
            "inputs": {"features": "spatial", "grid": "image_grid_thw"},
        },
        "temporal": {"kind": "projector", "type": "mlp", **two, "inputs": "pairs", "checkpoint": {"names": names}},
        "projector": {
            "kind": "projector",
            "type": "linear",
            "out_norm": {"type": "rms", "eps": eps},
            "inputs": "temporal",
            "checkpoint": {"names": {"linear": "mlp", "norm": "after_norm"}},
        },
    }


FAMILIES: Mapping[str, Family] = MappingProxyType({"ernie4_5_vl_moe": Family(ERNIE_VL, _read, _PARTS)})
