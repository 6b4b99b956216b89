"""A LLaVA config as a graph: tower, projector, embedded text with image features in place of placeholders, decoder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import (
    Family,
    Imported,
    check_tokens,
    drops_class,
    fused_language,
    image_text,
    mlp_projector,
    read_llm,
    read_output,
    read_part,
    read_placeholder,
)
from .tables import VISION_TABLES, ConfigTable, Values
from .text import read_embedding
from .text_tables import TEXT_TABLES
from .vision import Vision, read_vision

UNSAID_TOKENS = 576  # transformers writes this class default of `image_seq_length` whatever the images are

LLAVA = ConfigTable(
    "llava",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_index": 32000,
        "image_token_id": None,
        "image_seq_length": UNSAID_TOKENS,
        "projector_hidden_act": "gelu",
        "vision_feature_select_strategy": "default",
        "vision_feature_layer": -2,
        "multimodal_projector_bias": True,
        "tie_word_embeddings": False,
    },
    # the label that the loss ignores, and a vocabulary that the class does not read
    harmless=frozenset({"ignore_index", "vocab_size"}),
)

PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {
            "model_type": "clip_vision_model",
            "intermediate_size": 4096,
            "hidden_size": 1024,
            "patch_size": 14,
            "image_size": 336,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 32000,
            "projection_dim": 768,
        },
        "text_config": {"model_type": "llama"},
    }
)


VIPLLAVA = ConfigTable(
    "vipllava",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_index": 32000,
        "image_token_id": None,
        "image_seq_length": UNSAID_TOKENS,
        "projector_hidden_act": "gelu",
        "projector_layernorm_eps": 1e-5,
        "vision_feature_layer": (-2, -5, -8, -11, 6),
        "vision_feature_layers": None,
        "tie_word_embeddings": False,
    },
    harmless=LLAVA.harmless,
)


VIDEO_LLAVA = ConfigTable(
    "video_llava",
    {
        **LLAVA.understood,
        "image_seq_length": 256,
        "video_token_index": 32001,
        "video_token_id": None,
    },
    # how many tokens a video has: what makes prompts reads it
    harmless=LLAVA.harmless | {"video_seq_length"},
)

VIDEO_PARTS: Mapping[str, Values] = MappingProxyType(
    {**PARTS, "vision_config": {**PARTS["vision_config"], "image_size": 224}}
)


def read_llava(config: Fields) -> Imported | None:
    """The graph of a LLaVA config; None where a part is of an unknown type."""
    return _read(config, read_projector(config))


def read_vipllava(config: Fields) -> Imported | None:
    """The same with several hidden states of the tower, and a norm before the projector."""
    norm = {"type": "layer", "eps": config.number("projector_layernorm_eps")}
    projector = mlp_projector("vision", norm=norm, layers=2, activation=config.activation("projector_hidden_act"))
    return _read(config, {**projector, "checkpoint": {"names": {"norm": "projector_layernorm"}}})


def read_projector(config: Fields) -> dict[str, Any]:
    """Two linear projections of every token."""
    projector = mlp_projector("vision", layers=2, activation=config.activation("projector_hidden_act"))
    return projector if config.boolean("multimodal_projector_bias") else projector | {"bias": False}


def _read(config: Fields, projector: dict[str, Any]) -> Imported | None:
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, PARTS["text_config"])
    vision_fields = read_part(config, "vision_config", VISION_TABLES, PARTS["vision_config"])
    if text is None or vision_fields is None:
        return None
    # either place ties the embedding; the config class copies the text's word when its own is false
    llm = read_llm(text, tied=config.boolean("tie_word_embeddings") | text.boolean("tie_word_embeddings"))
    vision = read_vision(vision_fields)
    tower = vision.tower(_output(config, vision))
    token = read_placeholder(config, llm["vocab"], "image_token_id", "image_token_index")
    nodes = image_text(text, {"vision": tower, "projector": projector}, "projector", llm, token)
    return Imported(
        {"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": "checkpoint/llava"}}, text
    )


def read_video_llava(config: Fields) -> Imported | None:
    """The graph of a Video-LLaVA config: images and videos have a tower each, and one projector.

    Frames keep their class token.
    """
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, VIDEO_PARTS["text_config"])
    vision_fields = read_part(config, "vision_config", VISION_TABLES, VIDEO_PARTS["vision_config"])
    if text is None or vision_fields is None:
        return None
    llm = read_llm(text, tied=config.boolean("tie_word_embeddings"))
    vision = read_vision(vision_fields)
    output = _output(config, vision)
    whole = {key: value for key, value in output.items() if key != "drop_cls"}
    features = {"image": "projector", "video": "video_projector"}
    tokens = {
        name: read_placeholder(config, llm["vocab"], f"{name}_token_id", f"{name}_token_index") for name in features
    }
    nodes = {
        "vision": vision.tower(output),
        "projector": read_projector(config),
        "frames": {"kind": "encoder", "type": "video_frames", "inputs": "pixel_values_videos"},
        "video_vision": {**vision.tower(whole), "inputs": "frames"},
        "video_projector": {"module": "projector", "inputs": "video_vision"},
        **fused_language(read_embedding(text), llm, features, tokens),
    }
    body = {"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": "checkpoint/video_llava"}}
    return Imported(body, text, {"pixel_values": "image", "pixel_values_videos": "video", "input_ids": "tokens"})


def _output(config: Fields, vision: Vision) -> dict[str, Any]:
    """Which hidden states the projector reads, and whether without the class token."""
    drop = drops_class(config, vision)
    unsaid = config.table.understood["image_seq_length"]
    check_tokens(config, "image_seq_length", vision.patches + (vision.class_token and not drop), unsaid)
    key = "vision_feature_layers" if config.has("vision_feature_layers") else "vision_feature_layer"
    return read_output(config, vision, drop=drop, key=key)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llava": Family(LLAVA, read_llava, PARTS),
        "vipllava": Family(VIPLLAVA, read_vipllava, PARTS),
        "video_llava": Family(VIDEO_LLAVA, read_video_llava, VIDEO_PARTS),
    }
)
