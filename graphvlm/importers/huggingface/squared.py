"""Models whose patches come apart, row by row, and become tokens by squares behind the tower."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported, read_part, read_placeholder
from .native import language_of
from .native_vision import Native, check_heads, rotation_base
from .tables import ConfigTable, Values
from .text import read_decoder
from .text_tables import TEXT_TABLES

PADDLE = ConfigTable(
    "paddleocr_vl",
    {"vision_config": None, "text_config": None, "image_token_id": 100295, "tie_word_embeddings": True},
    # the class takes no videos, and tokens before and after an image are ordinary ones
    harmless=frozenset({"video_token_id", "vision_start_token_id", "vision_end_token_id"}),
)
VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "paddleocr_vl_vision": ConfigTable(
            "paddleocr_vl_vision",
            {
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_hidden_layers": 27,
                "num_attention_heads": 16,
                "num_channels": 3,
                "image_size": 384,
                "patch_size": 14,
                "hidden_act": "gelu_pytorch_tanh",
                "layer_norm_eps": 1e-6,
                "spatial_merge_size": 2,
                "rope_parameters": None,
            },
        )
    }
)
_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {"model_type": "paddleocr_vl_vision"},
        "text_config": {"model_type": "paddleocr_vl_text"},
    }
)
_TEXTS = {name: TEXT_TABLES[name] for name in ("paddleocr_vl_text",)}


def _read(config: Fields) -> Imported | None:
    config.check_names()
    text = read_part(config, "text_config", _TEXTS, _PARTS["text_config"])
    vision = read_part(config, "vision_config", VISION_TABLES, _PARTS["vision_config"])
    if text is None or vision is None:
        return None
    tied = config.boolean("tie_word_embeddings") or text.boolean("tie_word_embeddings")
    llm = read_decoder(text, "fused", tied=tied)
    tokens = {"image": read_placeholder(config, llm["vocab"], "image_token_id")}
    native = _seen(vision)
    body = {
        "nodes": {**native.nodes, **language_of(text, llm, native, tokens, {})},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/paddleocr_vl"},
    }
    return Imported(body, text, {"pixel_values": "image", "image_grid_thw": "grid", "input_ids": "tokens"})


def _seen(vision: Fields) -> Native:
    """Patches, tower and merger."""
    vision.check_names()
    dim, heads, size = (vision.integer(name) for name in ("hidden_size", "num_attention_heads", "patch_size"))
    check_heads(vision, "hidden_size", dim, heads)
    group, patch = vision.integer("spatial_merge_size"), {"size": size, "channels": vision.integer("num_channels")}
    side = vision.integer("image_size") // size
    mlp = {"hidden": vision.integer("intermediate_size"), "activation": vision.activation("hidden_act"), "bias": True}
    nodes: dict[str, dict[str, Any]] = {
        "patches": {
            "kind": "encoder",
            "type": "patches",
            "inputs": {"image": "pixel_values"},
            "patch": patch,
            "cut": "apart",
        },
        "vision": {
            "kind": "encoder",
            "type": "native_vit",
            "inputs": {"patches": "patches", "grid": "image_grid_thw"},
            "patch": {**patch, "bias": True},
            "position": [
                {"type": "learned", "side": side, "align": "corners"},
                {"type": "rope2d", "theta": rotation_base(vision)},
            ],
            "dim": dim,
            "layers": vision.integer("num_hidden_layers"),
            "norm": {"type": "layer", "eps": vision.number("layer_norm_eps")},
            "attention": {"heads": heads, "bias": True},
            "mlp": mlp,
            "checkpoint": {"use": "checkpoint/paddleocr_vision"},
        },
        "merger": {
            "kind": "projector",
            "type": "patch_merger",
            "inputs": {"features": "vision", "grid": "image_grid_thw"},
            "group": group,
            "norm": {"type": "layer", "eps": 1e-5},
            "activation": "gelu",
            "checkpoint": {"names": {"norm": "pre_norm"}},
        },
    }
    return Native(nodes, ("hidden_size", 0), group)


FAMILIES: Mapping[str, Family] = MappingProxyType({"paddleocr_vl": Family(PADDLE, _read, _PARTS)})
