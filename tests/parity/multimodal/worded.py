"""Families that take images and videos of any size, whose tokens have positions like words: one number each."""

from __future__ import annotations

from functools import partial
from typing import Any

from transformers import Exaone4_5_Config, HyperCLOVAXVisionV2Config

from ..reference import IMAGE_TOKEN, SIZES
from .case import VIDEO_TOKEN, Multimodal
from .native import seen

_TOKENS = {"image_token_id": IMAGE_TOKEN, "video_token_id": VIDEO_TOKEN, "tie_word_embeddings": False}
_VISION: dict[str, Any] = {
    "depth": 3,
    "hidden_size": 48,
    "num_heads": 6,
    "patch_size": 4,
    "in_channels": 2,
    "temporal_patch_size": 2,
    "intermediate_size": 40,
    "window_size": 20,
    "fullatt_block_indexes": [1],
}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}


def exaone4_5() -> Any:
    """Heads of the tower share keys and values; layers of the text that see everything know no positions."""
    layers = ["sliding_attention", "full_attention", "sliding_attention"]
    text = {"model_type": "exaone4", **SIZES, **_ROPE, "sliding_window": 5, "layer_types": layers}
    return Exaone4_5_Config(
        text_config=text,
        vision_config={**_VISION, "num_key_value_heads": 2, "out_hidden_size": 48},
        **_TOKENS,
    )


def hyperclovax() -> Any:
    """Factors in many places, and features of another width than the text."""
    factors = {"embedding_multiplier": 3.0, "attention_multiplier": 0.5, "residual_multiplier": 0.4}
    text = {"model_type": "hyperclovax", **SIZES, **_ROPE, **factors, "logits_scaling": 1.7}
    vision = {"model_type": "qwen2_5_vl_vision", **_VISION, "out_hidden_size": 36}
    return HyperCLOVAXVisionV2Config(text_config=text, vision_config=vision, **_TOKENS)


def _case(config: Any) -> Multimodal:
    alone = {kind: partial(seen, (kind,)) for kind in ("image", "video")}
    return Multimodal(config, partial(seen, ("image", "video")), alone=alone)


CASES = {"exaone4_5": _case(exaone4_5), "hyperclovax_vision_v2": _case(hyperclovax)}
