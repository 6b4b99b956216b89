"""Models with two linear maps behind the end of a SigLIP tower: DeepSeek-VL."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .fields import Fields
from .multimodal import (
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

DEEPSEEK_VL = ConfigTable(
    "deepseek_vl",
    {"vision_config": None, "text_config": None, "image_token_id": 100015, "tie_word_embeddings": True},
)
DEEPSEEK_VL_PARTS: Mapping[str, Values] = MappingProxyType(
    {"vision_config": {"model_type": "siglip_vision_model"}, "text_config": {"model_type": "llama"}}
)


def read_deepseek_vl(config: Fields) -> Imported | None:
    """The tower with its last norm, an aligner of two linear maps, a Llama."""
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, DEEPSEEK_VL_PARTS["text_config"])
    vision = read_part(config, "vision_config", VISION_TABLES, DEEPSEEK_VL_PARTS["vision_config"])
    if text is None or vision is None:
        return None
    llm = read_llm(text, tied=read_tied(config, text))
    names = {"names": {"linear_1": "linear1", "linear_2": "linear2"}}
    seen = {
        "vision": read_vision(vision).tower({}),
        "projector": {**mlp_projector("vision", layers=2, activation="gelu"), "checkpoint": names},
    }
    token = read_placeholder(config, llm["vocab"], "image_token_id")
    nodes = image_text(text, seen, "projector", llm, token)
    checkpoint = {"use": "checkpoint/deepseek_vl"}
    return Imported({"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": checkpoint}, text)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {"deepseek_vl": Family(DEEPSEEK_VL, read_deepseek_vl, DEEPSEEK_VL_PARTS)}
)
