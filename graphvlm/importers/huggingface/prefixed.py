"""SigLIP in front of a Gemma, whose image or prefix tokens see each other: PaliGemma and Gemma 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import (
    IMAGE_INPUTS,
    Family,
    Imported,
    image_text,
    mlp_projector,
    read_llm,
    read_part,
    read_placeholder,
    read_tied,
)
from .tables import VISION_TABLES, ConfigTable, Values
from .text_tables import TEXT_TABLES
from .vision import read_vision

_SIGLIP = {"siglip_vision_model": VISION_TABLES["siglip_vision_model"]}

PALIGEMMA = ConfigTable(
    "paligemma",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_index": 256000,
        "image_token_id": None,
        "projection_dim": 2048,
        "tie_word_embeddings": True,
    },
    # copies of sizes of the text, and the label that the loss ignores
    harmless=frozenset({"vocab_size", "hidden_size", "ignore_index"}),
)
PALIGEMMA_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {
            "model_type": "siglip_vision_model",
            "intermediate_size": 4096,
            "hidden_size": 1152,
            "patch_size": 14,
            "image_size": 224,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "vocab_size": 257152,
            "vision_use_head": False,
        },
        "text_config": {
            "model_type": "gemma",
            "hidden_size": 2048,
            "num_hidden_layers": 18,
            "intermediate_size": 16384,
            "num_attention_heads": 8,
            "num_key_value_heads": 1,
            "is_encoder_decoder": False,
            "vocab_size": 257152,
        },
    }
)

GEMMA3 = ConfigTable(
    "gemma3",
    {
        "vision_config": None,
        "text_config": None,
        "mm_tokens_per_image": 256,
        "image_token_index": 262144,
        "image_token_id": None,
        "tie_word_embeddings": True,
    },
    # what the processor puts around an image
    harmless=frozenset({"boi_token_index", "eoi_token_index", "boi_token_id", "eoi_token_id"}),
)
GEMMA3_PARTS: Mapping[str, Values] = MappingProxyType(
    {"vision_config": {"model_type": "siglip_vision_model"}, "text_config": {"model_type": "gemma3_text"}}
)


# The class writes two fields into the text config: a number, and a word on masks, which it makes itself.
_GEMMAS = {
    name: replace(
        TEXT_TABLES[name],
        harmless=TEXT_TABLES[name].harmless | {"num_image_tokens", "use_bidirectional_attention"},
        neutral={},
    )
    for name in ("gemma", "gemma2")
}


def read_paligemma(config: Fields) -> Imported | None:
    """The end of the tower, one linear map; tokens of type 0 see each other, as its processor types the prompt."""
    parts = _parts(config, PALIGEMMA_PARTS, _GEMMAS, bounds=True)
    if parts is None:
        return None
    text, vision, llm = parts
    width = config.integer("projection_dim")
    if width != llm["dim"]:
        config.problems.conflict(
            f"`projection_dim` is {width}, and the text is {llm['dim']} wide",
            config.span("projection_dim"),
            help=f"write {llm['dim']}, the `hidden_size` of `text_config`",
        )
    _mask(llm, {"prefix": "types"})
    llm["inputs"] = {"features": "fused", "types": "token_type_ids"}
    seen = {"vision": vision, "projector": {"kind": "projector", "type": "linear", "inputs": "vision"}}
    inputs = {**IMAGE_INPUTS, "token_type_ids": "mask"}
    return Imported(_body(config, text, seen, llm), text, inputs)


def read_gemma3(config: Fields) -> Imported | None:
    """Tokens averaged, a norm and one linear map; the tokens of an image see each other."""
    parts = _parts(config, GEMMA3_PARTS, {"gemma3_text": TEXT_TABLES["gemma3_text"]}, bounds=False)
    if parts is None:
        return None
    text, vision, llm = parts
    _mask(llm, {"spans": "spans"})
    llm["inputs"] = {"features": "fused", "spans": "fused.places"}
    norm = {"type": "rms", "eps": vision["norm"]["eps"], "unit_offset": True}
    names = {"norm": "mm_soft_emb_norm", "linear_1.weight": "mm_input_projection_weight"}
    seen = {
        "vision": vision,
        "pooled": {"kind": "projector", "type": "pool", "window": _window(config, vision), "inputs": "vision"},
        "projector": {
            **mlp_projector("pooled", norm=norm, layers=1, bias=False),
            "checkpoint": {"names": names, "transposed": ["linear_1"]},
        },
    }
    return Imported(_body(config, text, seen, llm), text)


def _parts(
    config: Fields, parts: Mapping[str, Values], texts: Mapping[str, ConfigTable], *, bounds: bool
) -> tuple[Fields, dict[str, Any], dict[str, Any]] | None:
    """The text config, the tower read at its end, and the decoder."""
    config.check_names()
    text = read_part(config, "text_config", texts, parts["text_config"])
    vision = read_part(config, "vision_config", _SIGLIP, parts["vision_config"])
    if text is None or vision is None:
        return None
    return text, read_vision(vision).tower({}), read_llm(text, tied=read_tied(config, text), bounds=bounds)


def _mask(llm: dict[str, Any], term: dict[str, str]) -> None:
    """Tokens that see each other in every layer, whatever their order."""
    llm["attention"] = {**llm["attention"], "mask": {"any": ["causal", term]}}


def _window(config: Fields, vision: dict[str, Any]) -> int:
    """The side of the squares that are averaged, for as many tokens as the config says."""
    tokens = config.integer("mm_tokens_per_image")
    rows, side = vision["image"]["size"] // vision["patch"]["size"], isqrt(tokens)
    if side * side == tokens and side <= rows and rows % side == 0:
        return int(rows // side)
    config.problems.conflict(
        f"`mm_tokens_per_image` is {tokens}, and {rows} x {rows} patches are not averaged to so many evenly",
        config.span("mm_tokens_per_image"),
        help=f"use the square of a number that divides {rows}",
    )
    return 1


def _body(config: Fields, text: Fields, seen: dict[str, Any], llm: dict[str, Any]) -> dict[str, Any]:
    token = read_placeholder(config, llm["vocab"], "image_token_id", "image_token_index")
    nodes = image_text(text, seen, "projector", llm, token)
    return {"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": "checkpoint/llava"}}


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "paligemma": Family(PALIGEMMA, read_paligemma, PALIGEMMA_PARTS),
        "gemma3": Family(GEMMA3, read_gemma3, GEMMA3_PARTS),
    }
)
