"""Models whose images, a stack for each prompt, a perceiver reads into a number of tokens: Idefics 2."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported, image_text, mlp_projector, read_part, read_placeholder
from .stacks import INPUTS
from .stacks import VISION_TABLES as STACKED
from .tables import ConfigTable, Values
from .text import read_decoder
from .text_tables import TEXT_TABLES
from .vision import read_vision

IDEFICS2 = ConfigTable(
    "idefics2",
    {
        "vision_config": None,
        "perceiver_config": None,
        "text_config": None,
        "image_token_id": 32001,
        "tie_word_embeddings": False,
    },
)

VISION = ConfigTable(
    "idefics2_vision",
    {**STACKED["idefics3_vision"].understood, "hidden_size": 768, "num_attention_heads": 12},
    harmless=STACKED["idefics3_vision"].harmless,
)
PERCEIVER = ConfigTable(
    "idefics2_perceiver",
    {
        "hidden_act": "silu",
        "hidden_size": 4096,
        "rms_norm_eps": 1e-6,
        "resampler_n_latents": 64,
        "resampler_depth": 3,
        "resampler_n_heads": 16,
        "resampler_head_dim": 96,
        "num_key_value_heads": 4,
    },
)
RESAMPLED_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {table.model_type: table for table in (VISION, PERCEIVER)}
)

PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {"model_type": "idefics2_vision"},
        "perceiver_config": {"model_type": "idefics2_perceiver"},
        "text_config": {
            "model_type": "mistral",
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-5,
            "pad_token_id": 0,
        },
    }
)


def read_idefics2(config: Fields) -> Imported | None:
    """The tower at its end, a gated map to the width of the text, and a perceiver over what is no padding."""
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, PARTS["text_config"])
    vision_fields = read_part(config, "vision_config", _named(VISION), PARTS["vision_config"])
    perceiver = read_part(config, "perceiver_config", _named(PERCEIVER), PARTS["perceiver_config"])
    if text is None or vision_fields is None or perceiver is None:
        return None
    llm = read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    for key in ("softcap", "scale"):  # the head of this class is its own
        llm["head"].pop(key, None)
    vision = read_vision(vision_fields)
    tower = vision.tower({}) | {
        "inputs": {"image": "images", "pixel_mask": "images.pixel_mask"},
        "patch": {**vision.node["patch"], "partial": "hidden"},
        "position": "bucketed",
    }
    widened = mlp_projector(
        "vision",
        gated=True,
        hidden=text.integer("intermediate_size"),
        activation=text.activation("hidden_act"),
        bias=False,
        checkpoint={"names": {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}},
    )
    stack = {"stack": "pixel_values", "stack_mask": "pixel_attention_mask"}
    seen = {
        "images": {"kind": "encoder", "type": "image_stack", "inputs": stack},
        "vision": tower,
        "widened": widened,
        "latents": _latents(perceiver, text, llm["dim"]),
    }
    token = read_placeholder(config, llm["vocab"], "image_token_id")
    nodes = image_text(text, seen, "latents", llm, token)
    body = {"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": "checkpoint/idefics2"}}
    return Imported(body, text, INPUTS)


def _named(table: ConfigTable) -> Mapping[str, ConfigTable]:
    """The table under the type of the part, and under that of the whole, which published files have there."""
    return {table.model_type: table, "idefics2": table}


def _latents(perceiver: Fields, text: Fields, dim: int) -> dict[str, Any]:
    """A perceiver as wide as the text; of another width it would be given that, and the eps of the text."""
    perceiver.check_names()
    own = perceiver.integer("hidden_size") == dim
    heads, kv_heads = perceiver.integer("resampler_n_heads"), perceiver.integer("num_key_value_heads")
    if heads % kv_heads:
        perceiver.problems.conflict(
            f"`{perceiver.name('num_key_value_heads')}`: {heads} heads cannot share {kv_heads} of keys and values",
            perceiver.span("num_key_value_heads"),
        )
    return {
        "kind": "projector",
        "type": "transformer",
        "inputs": {"image": "widened", "image_mask": "vision.seen"},
        "segments": {"latent": {"learned": perceiver.integer("resampler_n_latents")}},
        "dim": dim,
        "layers": {"count": perceiver.integer("resampler_depth"), "each": ["cross", "mlp"]},
        "norm": {"type": "rms", "eps": (perceiver if own else text).number("rms_norm_eps")},
        "mlp": {
            "hidden": 4 * dim,
            "activation": perceiver.activation("hidden_act"),
            "gated": True,
            "bias": False,
        },
        "sublayers": {
            "cross": {
                "op": "attention",
                "heads": heads,
                "kv_heads": kv_heads,
                "head_dim": perceiver.integer("resampler_head_dim"),
                "bias": False,
                "kv": {"concat": ["image", "self"]},
                "kv_norm": "rms",
                "mask": {"present": "image_mask"},
            }
        },
        "checkpoint": {"use": "checkpoint/idefics2_perceiver"},
    }


FAMILIES: Mapping[str, Family] = MappingProxyType({"idefics2": Family(IDEFICS2, read_idefics2, PARTS)})
