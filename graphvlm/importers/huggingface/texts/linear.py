"""Decoders with linear attention in most layers, and an output gate on the attention of the others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..experts import all_shared, everywhere, some_dense
from ..fields import Fields
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import Node, TextKind, Variant
from ..text_layers import layers_of_type
from .experts import MIXTRAL

_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "layer_types": None,
        "full_attention_interval": 4,  # not a field of the classes, which make layer types of it
        **ROPE,
        "partial_rotary_factor": 0.25,
    }
)
_EXPERTS = {
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_experts_per_tok": 10,
    "num_experts": 512,
}
_NULLABLE = frozenset({"layer_types"})

QWEN3_NEXT = ConfigTable(
    "qwen3_next",
    {**_FIELDS, **_EXPERTS, "decoder_sparse_step": 1, "mlp_only_layers": None, "norm_topk_prob": True},
    nullable=_NULLABLE | {"mlp_only_layers"},
    harmless=ROUTER_LOSS,
)

# Heads that predict further tokens, which the classes leave out; and the type of numbers in a kernel of another code.
_OTHER_CODE = frozenset({"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mamba_ssm_dtype"})
# Of a text alone all three positions are one.
_THREE = frozenset({"mrope_section", "mrope_interleaved"})

QWEN3_5 = ConfigTable(
    "qwen3_5_text",
    {
        **_FIELDS,
        "vocab_size": 248320,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 32,
        "num_key_value_heads": 4,
    },
    nullable=_NULLABLE,
    harmless=_OTHER_CODE,
    neutral={"attn_output_gate": True},
    rotary=_THREE,
)

QWEN3_5_MOE = ConfigTable(
    "qwen3_5_moe_text",
    {
        **{name: value for name, value in _FIELDS.items() if name != "intermediate_size"},
        **_EXPERTS,
        "vocab_size": 248320,
        "num_hidden_layers": 40,
        "num_experts_per_tok": 8,
        "num_experts": 256,
    },
    nullable=_NULLABLE,
    harmless=ROUTER_LOSS | _OTHER_CODE | {"intermediate_size"},  # of layers without experts, which there are none
    neutral={"attn_output_gate": True},
    called={"intermediate_size": "moe_intermediate_size"},
    rotary=_THREE,
)


def _full(text: Fields) -> tuple[int, ...]:
    """The layers whose attention is not linear."""
    count = text.integer("num_hidden_layers")
    listed = layers_of_type(text, count, {"full_attention": True, "linear_attention": False})
    if listed is None:
        step = text.integer("full_attention_interval")
        return tuple(index for index in range(count) if not (index + 1) % step)
    return tuple(listed)


def _variants(text: Fields) -> tuple[Variant, ...]:
    full = _full(text)
    some = 0 < len(full) < text.integer("num_hidden_layers")
    return (Variant("full", full, {"attention": {"linear": None}}),) if some else ()


def _adapt(text: Fields, node: Node) -> None:
    """The attention of both kinds of layers, as far as there are any."""
    full = _full(text)
    node["attention"]["gate"] = "sigmoid"
    if not full:
        node["attention"], node["position"] = {}, "none"
    if len(full) < text.integer("num_hidden_layers"):
        node["attention"]["linear"] = _linear(text)


def _linear(text: Fields) -> Node:
    activation = text.activation("hidden_act")
    return {
        "key_heads": text.integer("linear_num_key_heads"),
        "value_heads": text.integer("linear_num_value_heads"),
        "key_dim": text.integer("linear_key_head_dim"),
        "value_dim": text.integer("linear_value_head_dim"),
        "conv": text.integer("linear_conv_kernel_dim"),
        **({"activation": activation} if activation != "silu" else {}),
    }


_COMMON: Mapping[str, Any] = MappingProxyType(
    {
        "bias": "attention_bias",
        "qk_norm": "head",
        "norm": MappingProxyType({"type": "rms", "unit_offset": True}),
        "partial": True,
        "variants": _variants,
        "adapt": _adapt,
    }
)
MINIMAX = ConfigTable(
    "minimax",
    {
        **MIXTRAL.understood,
        "rms_norm_eps": 1e-5,
        "layer_types": None,
        "full_attn_alpha_factor": 1,
        "full_attn_beta_factor": 1,
        "linear_attn_alpha_factor": 1,
        "linear_attn_beta_factor": 1,
        "mlp_alpha_factor": 1,
        "mlp_beta_factor": 1,
        "rotary_dim": None,  # of the original, which turns a part of each head; the class turns all of it
    },
    nullable=MIXTRAL.nullable | {"layer_types", "rotary_dim"},
    # how many tokens are read at once, which changes nothing
    harmless=MIXTRAL.harmless | {"block_size"},
)
_EPS = 1e-6  # of the norm over all heads, whatever the config says


def _turning_full(text: Fields) -> tuple[int, ...]:
    """The layers whose attention is not linear: every other one where the file does not list them."""
    count = text.integer("num_hidden_layers")
    listed = layers_of_type(text, count, {"full_attention": True, "linear_attention": False})
    return tuple(range(0, count, 2) if listed is None else listed)


def _fading_variants(text: Fields) -> tuple[Variant, ...]:
    full = _turning_full(text)
    some = 0 < len(full) < text.integer("num_hidden_layers")
    own = _kept(text, "full_attn")
    changes = {"linear": None, **({} if own == _kept(text, "linear_attn") else {"residual": own})}
    return (Variant("full", full, {"attention": changes}),) if some else ()


def _kept(text: Fields, part: str) -> Node:
    """What tokens and results are multiplied with before they are added."""
    return {"skip": text.number(f"{part}_alpha_factor"), "scale": text.number(f"{part}_beta_factor")}


def _adapt_fading(text: Fields, node: Node) -> None:
    """Norms that the tokens go through, and linear attention in some layers."""
    full, count = _turning_full(text), text.integer("num_hidden_layers")
    node["norm"]["place"] = "through"
    node["mlp"]["residual"] = _kept(text, "mlp")
    attention = node["attention"]
    if len(full) < count:
        heads = attention["heads"]
        linear = {"rule": "fading", "key_heads": heads, "key_dim": attention.get("head_dim", node["dim"] // heads)}
        activation = text.activation("hidden_act")
        linear |= {"activation": activation} if activation != "silu" else {}
        linear |= {"norm": {"eps": _EPS}} if node["norm"]["eps"] != _EPS else {}
        node["attention"] = {"linear": linear} if not full else {**attention, "linear": linear}
        node["attention"]["residual"] = _kept(text, "linear_attn")
    else:
        attention["residual"] = _kept(text, "full_attn")
    if not full:
        node["position"] = "none"


KINDS = (
    TextKind(
        MINIMAX,
        window="all",
        partial=True,
        experts=everywhere,
        variants=_fading_variants,
        adapt=_adapt_fading,
        checkpoint="checkpoint/minimax",
    ),
    TextKind(QWEN3_NEXT, experts=some_dense, checkpoint="checkpoint/qwen3_next", **_COMMON),
    TextKind(QWEN3_5, checkpoint="checkpoint/qwen3_5", **_COMMON),
    TextKind(QWEN3_5_MOE, experts=all_shared, checkpoint="checkpoint/qwen3_5", **_COMMON),
)
