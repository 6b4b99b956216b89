"""Decoders that turn pairs of neighbours in the first half of each head."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import TextKind

_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": 151552,
        "hidden_size": 4096,
        "intermediate_size": 13696,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1.5625e-07,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "attention_bias": True,
        **ROPE,
        "partial_rotary_factor": 0.5,
    }
)
GLM = ConfigTable("glm", _FIELDS, nullable=frozenset({"num_key_value_heads", "head_dim"}))
GLM4 = ConfigTable("glm4", _FIELDS)

_BIAS: Mapping[str, bool | str] = MappingProxyType(dict.fromkeys("qkv", "attention_bias") | {"o": False})

KINDS = (
    TextKind(GLM, bias=_BIAS, style="interleaved", partial=True, checkpoint="checkpoint/glm"),
    TextKind(
        GLM4,
        bias=_BIAS,
        norm={"type": "rms", "place": "sandwich"},
        style="interleaved",
        partial=True,
        checkpoint="checkpoint/glm4",
    ),
)
