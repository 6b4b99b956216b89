"""Decoders whose norms stand after the operations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import TextKind

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

_NORM: Mapping[str, Any] = MappingProxyType({"type": "rms", "place": "branch"})

KINDS = (
    TextKind(
        OLMO2,
        bias="attention_bias",
        qk_norm="all",
        norm={"type": "rms", "place": "branch"},
        checkpoint="checkpoint/olmo2",
    ),
)
