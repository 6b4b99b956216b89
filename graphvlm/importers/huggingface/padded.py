"""Mistral 3 and LightOnOCR as graphs: images padded to one size, the patches of which are merged and projected."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported, fused_language, read_part, read_placeholder
from .native_tables import NATIVE_TABLES
from .native_vision import read_padded
from .tables import ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES

MISTRAL3 = ConfigTable(
    "mistral3",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_index": 10,
        "image_token_id": None,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -1,
        "multimodal_projector_bias": False,
        "spatial_merge_size": 2,
        "tie_word_embeddings": True,
    },
)

LIGHTON_OCR = ConfigTable(
    "lighton_ocr",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_id": 151655,
        "spatial_merge_size": 2,
        "tie_word_embeddings": True,
    },
)

PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {
            "model_type": "pixtral",
            "intermediate_size": 4096,
            "hidden_size": 1024,
            "patch_size": 14,
            "image_size": 1540,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 32000,
            "head_dim": 64,
            "hidden_act": "gelu",
        },
        "text_config": {
            "model_type": "mistral",
            "attention_dropout": 0.0,
            "head_dim": 128,
            "hidden_act": "silu",
            "hidden_size": 5120,
            "initializer_range": 0.02,
            "intermediate_size": 32768,
            "max_position_embeddings": 131072,
            "num_attention_heads": 32,
            "num_hidden_layers": 40,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-05,
            "rope_theta": 1000000000.0,
            "sliding_window": None,
            "use_cache": True,
            "vocab_size": 131072,
        },
    }
)

_LIGHTON_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {**PARTS["vision_config"], "hidden_act": "silu"},
        "text_config": {
            "model_type": "qwen3",
            "head_dim": 128,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "max_position_embeddings": 40960,
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000,
            "sliding_window": None,
            "vocab_size": 151936,
        },
    }
)

_INPUTS: Values = MappingProxyType({"pixel_values": "image", "image_sizes": "sizes", "input_ids": "tokens"})


def read_mistral3(config: Fields) -> Imported | None:
    """The graph of a Mistral 3 config; None where a part is of an unknown type."""
    settings = {
        "activation": config.activation("projector_hidden_act"),
        "bias": config.boolean("multimodal_projector_bias"),
    }
    return _read(config, PARTS, settings, "checkpoint/mistral3")


def read_lighton_ocr(config: Fields) -> Imported | None:
    """The graph of a LightOnOCR config; None where a part is of an unknown type."""
    return _read(config, _LIGHTON_PARTS, {"activation": "gelu", "bias": False}, "checkpoint/lighton_ocr")


def _read(config: Fields, parts: Mapping[str, Values], settings: dict[str, Any], checkpoint: str) -> Imported | None:
    """The graph of either; `settings` are those of its projector."""
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, parts["text_config"])
    vision = read_part(config, "vision_config", NATIVE_TABLES, parts["vision_config"])
    if text is None or vision is None:
        return None
    group = config.integer("spatial_merge_size")
    patches, tower = read_padded(vision, group)
    llm = read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    other = "image_token_index" if config.knows("image_token_index") else ""
    token = read_placeholder(config, llm["vocab"], "image_token_id", other)
    merger = {
        "kind": "projector",
        "type": "patch_merger",
        "group": group,
        "norm": {"type": "rms", "eps": llm["norm"]["eps"]},
        "order": "channels",
        "layers": 1,
        "out": tower["dim"],
        "bias": False,
        "inputs": _features(config, tower) if config.knows("vision_feature_layer") else "vision",
        "checkpoint": {"names": {"linear_1": "patch_merger.merging_layer"}},
    }
    projector = {
        "kind": "projector",
        "type": "mlp",
        "layers": 2,
        **settings,
        "inputs": "merger",
    }
    towers = {"patches": patches, "vision": tower, "merger": merger, "projector": projector}
    language = fused_language(read_embedding(text), llm, {"image": "projector"}, {"image": token})
    body = {
        "nodes": {**towers, **language},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": checkpoint},
    }
    return Imported(body, text, _INPUTS)


def _features(config: Fields, tower: dict[str, Any]) -> str:
    """The hidden states that are merged: those of one layer."""
    key, count = "vision_feature_layer", tower["layers"]
    tree = config.tree.get(key)
    layer = -1 if tree is None else tree.plain()
    if type(layer) is not int or not -count <= layer <= count or layer == 0:
        message = (
            f"`{key}` is {layer}: the states after one of the {count} layers are read, 1 to {count} or from the end"
        )
        config.unsupported(key, message, "write one number; -1 is the last layer")
        return "vision"
    place = layer if layer > 0 else count + 1 + layer
    if place == count:
        return "vision"
    tower["output"] = {"taps": [place]}
    return f"vision.layer_{place}"


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "mistral3": Family(MISTRAL3, read_mistral3, PARTS),
        "lighton_ocr": Family(LIGHTON_OCR, read_lighton_ocr, _LIGHTON_PARTS),
    }
)
