"""Decoders whose attention and feed-forward stand side by side behind one norm without bias, with scaled logits."""

from __future__ import annotations

from dataclasses import replace

from ..fields import Fields
from ..rope import read_position
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, Position, TextKind
from ..text_layers import parallel

COHERE = ConfigTable(
    "cohere",
    {
        "vocab_size": 256000,
        "hidden_size": 8192,
        "intermediate_size": 22528,
        "logit_scale": 0.0625,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "num_key_value_heads": None,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 5,
        "eos_token_id": 255001,
        "tie_word_embeddings": True,
        "attention_bias": False,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"logit_scale", "num_key_value_heads", "head_dim", "layer_norm_eps"}),
    neutral={"use_qk_norm": False},
    called={"rms_norm_eps": "layer_norm_eps"},
)

COHERE2 = ConfigTable(
    "cohere2",
    {
        "vocab_size": 256000,
        "hidden_size": 8192,
        "intermediate_size": 22528,
        "logit_scale": 0.0625,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "num_key_value_heads": None,
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 5,
        "eos_token_id": 255001,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "sliding_window": 4096,
        "sliding_window_pattern": 4,  # not a field of the class, which makes layer types of it
        "layer_types": None,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "sliding_window", "layer_types"}),
    # the class makes the width of a head itself; the rest says in other words what is read from other fields
    harmless=frozenset({"head_dim", "cache_implementation", "layer_switch", "use_embedding_sharing"}),
    neutral={
        "order_of_interleaved_layers": "local_attn_first",
        "position_embedding_type": "rope_gptj",
        "rotary_pct": 1.0,
        "use_gated_activation": True,
        "use_parallel_block": True,
        "use_parallel_embedding": False,
    },
    called={"rms_norm_eps": "layer_norm_eps"},
)


def _nope(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Layers that see everything know no positions."""
    found = read_position(text, kind, head_dim)
    return replace(found, full="none", sliding=found.setting)


def _adapt(text: Fields, node: Node) -> None:
    parallel(node, shared=True)
    node["head"]["scale"] = text.number("logit_scale")


_NORM = {"type": "layer", "bias": False}

KINDS = (
    TextKind(
        COHERE, bias="attention_bias", norm=_NORM, style="interleaved", adapt=_adapt, checkpoint="checkpoint/llama"
    ),
    TextKind(
        COHERE2,
        bias="attention_bias",
        window="pattern",
        norm=_NORM,
        style="interleaved",
        position=_nope,
        adapt=_adapt,
        checkpoint="checkpoint/llama",
    ),
)
