"""Decoders with attention sinks, and experts with biases and a bounded gate."""

from __future__ import annotations

from ..fields import Fields
from ..rope import read_position, rotary_object
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import Experts, Node, Position, TextKind

GPT_OSS = ConfigTable(
    "gpt_oss",
    {
        "vocab_size": 201088,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 36,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "layer_types": None,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "swiglu_limit": 7.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "attention_bias": True,
        **ROPE,
        "rope_theta": 150000.0,
    },
    nullable=frozenset({"sliding_window", "layer_types"}),
    # the class does not read the activation, and two older names say what others do
    harmless=ROUTER_LOSS | {"hidden_act", "initial_context_length", "experts_per_token"},
    neutral={"swiglu_alpha": 1.702},
)

_USUAL = {"type": "yarn", "factor": 32.0, "original_max_tokens": 4096, "truncate": False}


def _position(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Without a word on how positions are rotated, the class stretches them."""
    found = read_position(text, kind, head_dim)
    if rotary_object(text) is not None:
        return found
    return Position({**found.setting, "scaling": _USUAL}, max(found.max_tokens, 32 * 4096))


def _experts(text: Fields, mlp: Node) -> Experts:
    moe = {
        "experts": text.integer("num_local_experts"),
        "top": text.integer("num_experts_per_tok"),
        "router": {"projection_bias": True, "normalize": True},
    }
    bounds = {"clamp": text.number("swiglu_limit"), "up_offset": 1.0}
    return Experts({**mlp, "activation": "quick_gelu", **bounds, "moe": moe})


def _adapt(text: Fields, node: Node) -> None:
    node["attention"]["sinks"] = True


KINDS = (
    TextKind(
        GPT_OSS,
        bias="attention_bias",
        mlp_bias=True,
        window="even",
        position=_position,
        experts=_experts,
        adapt=_adapt,
        checkpoint="checkpoint/gpt_oss",
    ),
)
