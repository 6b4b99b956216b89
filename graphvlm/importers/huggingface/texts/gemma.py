"""Decoders whose norm weights are what is added to one, with scaled embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..rope import read_position_by_type
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import TextKind

_NORM: Mapping[str, Any] = MappingProxyType({"type": "rms", "unit_offset": True})
_SCALED: Mapping[str, Any] = MappingProxyType({"scale": "sqrt_dim"})

GEMMA = ConfigTable(
    "gemma",
    {
        "vocab_size": 256000,
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
        "attention_bias": False,
        **ROPE,
    },
    # a newer name of the activation, which the class does not read
    harmless=frozenset({"hidden_activation"}),
    neutral={"use_bidirectional_attention": None},
)

GEMMA2 = ConfigTable(
    "gemma2",
    {
        "vocab_size": 256000,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "layer_types": None,
        "final_logit_softcapping": 30.0,
        "attn_logit_softcapping": 50.0,
        **ROPE,
    },
    nullable=frozenset({"sliding_window", "layer_types", "final_logit_softcapping", "attn_logit_softcapping"}),
    # an older name of the activation, which the class does not read; the cache of the original code
    harmless=frozenset({"hidden_act", "cache_implementation"}),
    neutral={"use_bidirectional_attention": None},
    called={"hidden_act": "hidden_activation"},
)

GEMMA3 = ConfigTable(
    "gemma3_text",
    {
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,  # not a field of the class, which makes layer types of it
        "layer_types": None,
        "final_logit_softcapping": None,
        "attn_logit_softcapping": None,
        **ROPE,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
    },
    nullable=frozenset({"sliding_window", "layer_types", "final_logit_softcapping", "attn_logit_softcapping"}),
    harmless=frozenset({"hidden_act", "cache_implementation", "_sliding_window_pattern"}),
    neutral={"use_bidirectional_attention": False},
    called={"hidden_act": "hidden_activation"},
)

KINDS = (
    TextKind(
        GEMMA,
        bias="attention_bias",
        norm=_NORM,
        activations={"gelu": "gelu_tanh"},  # what the first files call by the other's name
        embedding=_SCALED,
    ),
    TextKind(
        GEMMA2,
        bias="attention_bias",
        window="even",
        norm={**_NORM, "place": "sandwich"},
        embedding=_SCALED,
        checkpoint="checkpoint/gemma",
    ),
    TextKind(
        GEMMA3,
        bias="attention_bias",
        qk_norm="head",
        window="pattern",
        norm={**_NORM, "place": "sandwich"},
        embedding=_SCALED,
        position=read_position_by_type,
        checkpoint="checkpoint/gemma",
    ),
)
