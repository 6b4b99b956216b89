"""Decoders most of whose layers see chunks of the text, and whose others see all of it without positions."""

from __future__ import annotations

from typing import Any

from ..experts import check_top
from ..fields import Fields
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import Experts, Node, TextKind, Variant
from ..text_layers import layers_of_type
from .plain import layers_without_positions

LLAMA4_TEXT = ConfigTable(
    "llama4_text",
    {
        "vocab_size": 202048,
        "hidden_size": 5120,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 4096 * 32,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "num_experts_per_tok": 1,
        "num_local_experts": 16,
        "moe_layers": None,
        "interleave_moe_layer_step": 1,
        "use_qk_norm": True,
        "no_rope_layers": None,
        "no_rope_layer_interval": 4,
        "attention_chunk_size": 8192,
        "layer_types": None,
        "attn_temperature_tuning": True,
        "floor_scale": 8192,
        "attn_scale": 0.1,
        "attention_bias": False,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"attention_chunk_size", "moe_layers", "no_rope_layers", "layer_types"}),
    harmless=ROUTER_LOSS | {"router_jitter_noise", "for_llm_compressor"},  # noise of training
)

_TYPES = {"full_attention": True, "chunked_attention": False}


def _experts(text: Fields, mlp: Node) -> Experts:
    """Experts, which read the input times their score, beside one for all tokens; some layers have neither."""
    count, step = text.integer("num_hidden_layers"), text.integer("interleave_moe_layer_step")
    sparse = text.integers("moe_layers") if text.has("moe_layers") else list(range(step - 1, count, step))
    dense = tuple(layer for layer in range(count) if layer not in sparse)
    moe = {"experts": text.integer("num_local_experts"), "top": text.integer("num_experts_per_tok")}
    check_top(text, moe)
    shared: dict[str, Any] = {"shared": {"hidden": mlp["hidden"]}, "router": {"score": "sigmoid", "apply": "input"}}
    alone = {**mlp, "hidden": text.integer("intermediate_size_mlp")}
    if len(dense) == count:
        return Experts(alone)
    changes = {"mlp": {"hidden": alone["hidden"], "moe": None}}
    return Experts({**mlp, "moe": moe | shared}, (Variant("dense", dense, changes),) if dense else ())


def _adapt(text: Fields, node: Node) -> None:
    """Chunks and norms of queries and keys are what most layers have."""
    chunk = text.integer_or_none("attention_chunk_size")
    if chunk is None:
        key = "attention_chunk_size"
        message = f"`{text.name(key)}` is null, and the class of transformers cannot do without it"
        text.unsupported(key, message, "write how many tokens a chunk has")
    node["attention"]["mask"] = {"chunk": chunk}
    if text.boolean("use_qk_norm"):
        node["attention"]["qk_norm"] = {
            "type": "rms",
            "eps": text.number("rms_norm_eps"),
            "weight": False,
            "after_rope": True,
        }


def _variants(text: Fields) -> tuple[Variant, ...]:
    """Layers that see everything, and layers without positions; as a rule these are the same."""
    nope = layers_without_positions(text)
    wide = layers_of_type(text, text.integer("num_hidden_layers"), _TYPES)
    full = nope if wide is None else tuple(wide)
    unplaced: Node = {"qk_norm": "none"} if text.boolean("use_qk_norm") else {}
    if text.boolean("attn_temperature_tuning"):
        unplaced["temperature"] = {"floor": text.integer("floor_scale"), "scale": text.number("attn_scale")}
    seen: Node = {"mask": None}
    if full == nope:
        together = {"position": "none", "attention": {**unplaced, **seen}}
        return (Variant("nope", nope, together),) if nope else ()
    found = (
        Variant("nope", nope, {"position": "none", "attention": unplaced}),
        Variant("full", full, {"attention": seen}),
    )
    return tuple(variant for variant in found if variant.layers)


KINDS = (
    TextKind(
        LLAMA4_TEXT,
        bias="attention_bias",
        style="interleaved",
        experts=_experts,
        variants=_variants,
        adapt=_adapt,
        checkpoint="checkpoint/llama4",
    ),
)
