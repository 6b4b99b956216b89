"""Decoders whose norms stand after the operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..experts import plain_experts
from ..fields import Fields
from ..rope import read_position, read_position_by_type
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import Position, TextKind

OLMO2 = ConfigTable(
    "olmo2",
    {
        "vocab_size": 50304,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": 50279,
        "tie_word_embeddings": False,
        "attention_bias": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads"}),
)

OLMO = ConfigTable(
    "olmo",
    {
        "vocab_size": 50304,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": 50279,
        "tie_word_embeddings": False,
        "attention_bias": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim"}),
    neutral={"clip_qkv": None},
)

OLMO3 = ConfigTable(
    "olmo3",
    {
        "vocab_size": 50304,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": 50279,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "sliding_window": 4096,
        "layer_types": None,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim", "sliding_window", "layer_types"}),
)

OLMOE = ConfigTable(
    "olmoe",
    {
        "vocab_size": 50304,
        "hidden_size": 2048,
        "intermediate_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": None,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": 50279,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "num_experts_per_tok": 8,
        "num_experts": 64,
        "norm_topk_prob": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim"}),
    harmless=ROUTER_LOSS,
    neutral={"clip_qkv": None},
)

EXAONE4 = ConfigTable(
    "exaone4",
    {
        "vocab_size": 102400,
        "hidden_size": 4096,
        "intermediate_size": 16384,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "sliding_window": 4096,
        "sliding_window_pattern": 4,
        "layer_types": None,
        **ROPE,
    },
    nullable=frozenset({"head_dim", "sliding_window", "sliding_window_pattern", "layer_types"}),
)


def _wide_nope(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Beside layers with a window, those that see everything know no positions."""
    found = read_position(text, kind, head_dim)
    if text.integer_or_none("sliding_window") is None:
        return found
    return replace(found, full="none", sliding=found.setting)


_NORM: Mapping[str, Any] = MappingProxyType({"type": "rms", "place": "branch"})

KINDS = (
    TextKind(
        OLMO2,
        bias="attention_bias",
        qk_norm="all",
        norm=_NORM,
        checkpoint="checkpoint/olmo2",
    ),
    TextKind(OLMO, bias="attention_bias", norm={"type": "layer", "eps": 1e-5, "weight": False}),
    TextKind(
        OLMO3,
        bias="attention_bias",
        qk_norm="all",
        window="pattern",
        every=4,
        norm=_NORM,
        position=read_position_by_type,
        checkpoint="checkpoint/olmo2",
    ),
    TextKind(OLMOE, bias="attention_bias", qk_norm="all", experts=plain_experts, checkpoint="checkpoint/qwen_moe"),
    TextKind(
        EXAONE4,
        qk_norm="head",
        window="pattern",
        norm=_NORM,
        position=_wide_nope,
        checkpoint="checkpoint/olmo2",
    ),
)
