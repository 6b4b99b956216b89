"""Decoders that turn a part of each head only."""

from __future__ import annotations

from ..fields import Fields
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, TextKind
from ..text_layers import parallel

_DROPOUT = frozenset({"resid_pdrop", "embd_pdrop"})

PHI = ConfigTable(
    "phi",
    {
        "vocab_size": 51200,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "hidden_act": "gelu_new",
        "max_position_embeddings": 2048,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "qk_layernorm": False,
        **ROPE,
        "partial_rotary_factor": 0.5,
    },
    nullable=frozenset({"num_key_value_heads"}),
    harmless=_DROPOUT,
    called={"rms_norm_eps": "layer_norm_eps"},
)

PHI3 = ConfigTable(
    "phi3",
    {
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 32000,
        "tie_word_embeddings": False,
        "sliding_window": None,
        **ROPE,
        "original_max_position_embeddings": 4096,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim", "sliding_window"}),
    harmless=_DROPOUT,
    neutral={"attention_bias": False},
)


def _adapt_phi(text: Fields, node: Node) -> None:
    """One norm, which attention and feed-forward read both."""
    parallel(node, shared=True)
    if text.boolean("qk_layernorm"):
        node["attention"]["qk_norm"] = {"type": "layer", "eps": node["norm"]["eps"]}


KINDS = (
    TextKind(
        PHI,
        bias=True,
        mlp_bias=True,
        gated=False,
        norm={"type": "layer"},
        head={"bias": True},
        partial=True,
        adapt=_adapt_phi,
        checkpoint="checkpoint/phi",
    ),
    TextKind(PHI3, window="all", partial=True, checkpoint="checkpoint/phi3"),
)
