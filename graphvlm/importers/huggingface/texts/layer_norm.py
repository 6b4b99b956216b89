"""Decoders with layer norms and plain feed-forwards, side by side or one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..fields import Fields
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, Position, TextKind
from ..text_layers import parallel

GPT_NEOX = ConfigTable(
    "gpt_neox",
    {
        "vocab_size": 50432,
        "hidden_size": 6144,
        "num_hidden_layers": 44,
        "num_attention_heads": 64,
        "intermediate_size": 24576,
        "hidden_act": "gelu",
        "max_position_embeddings": 2048,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "use_parallel_residual": True,
        "attention_bias": True,
        "rope_parameters": None,
        "rope_scaling": None,
        "rotary_emb_base": 10000.0,
        "rotary_pct": 0.25,
    },
    harmless=frozenset({"hidden_dropout", "classifier_dropout"}),
    called={
        "rms_norm_eps": "layer_norm_eps",
        "rope_theta": "rotary_emb_base",
        "partial_rotary_factor": "rotary_pct",
    },
)

OPT = ConfigTable(
    "opt",
    {
        "vocab_size": 50272,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "ffn_dim": 3072,
        "max_position_embeddings": 2048,
        "do_layer_norm_before": True,
        "_remove_final_layer_norm": False,
        "word_embed_proj_dim": None,
        "num_attention_heads": 12,
        "activation_function": "relu",
        "bos_token_id": 2,
        "eos_token_id": 2,
        "enable_bias": True,
        "tie_word_embeddings": True,
    },
    nullable=frozenset({"word_embed_proj_dim"}),
    harmless=frozenset({"layerdrop", "init_std", "activation_dropout"}),  # of training
    neutral={"layer_norm_elementwise_affine": True},
    called={"intermediate_size": "ffn_dim", "hidden_act": "activation_function"},
)

STARCODER2 = ConfigTable(
    "starcoder2",
    {
        "vocab_size": 49152,
        "hidden_size": 3072,
        "intermediate_size": 12288,
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "gelu_pytorch_tanh",
        "max_position_embeddings": 4096,
        "norm_epsilon": 1e-5,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "sliding_window": None,
        "use_bias": True,
        "tie_word_embeddings": True,
        **ROPE,
    },
    nullable=frozenset({"sliding_window", "head_dim"}),
    harmless=frozenset({"residual_dropout", "embedding_dropout"}),
    # what its first files say of the class that there is now
    neutral={"mlp_type": "default", "norm_type": "layer_norm"},
    called={"rms_norm_eps": "norm_epsilon"},
)

STABLELM = ConfigTable(
    "stablelm",
    {
        "vocab_size": 50304,
        "hidden_size": 2560,
        "intermediate_size": 6912,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": False,
        "use_qkv_bias": False,
        "use_parallel_residual": False,
        **ROPE,
        "partial_rotary_factor": 0.25,
    },
    harmless=frozenset({"hidden_dropout"}),
    neutral={"qk_layernorm": False},
    called={"rms_norm_eps": "layer_norm_eps"},
)


def _side_by_side(text: Fields, node: Node) -> None:
    """Both on the same input, each with a norm of its own."""
    if text.boolean("use_parallel_residual"):
        parallel(node)


def _one_norm(text: Fields, node: Node) -> None:
    """Both on the same input, through one norm."""
    if text.boolean("use_parallel_residual"):
        parallel(node, shared=True)


def _learned(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """A learned vector a position, in a table that begins with two rows of something else."""
    return Position({"type": "learned", "offset": 2}, text.integer("max_position_embeddings"))


def _adapt_opt(text: Fields, node: Node) -> None:
    dim = text.integer_or_none("word_embed_proj_dim")
    if dim not in (None, node["dim"]):
        text.unsupported(
            "word_embed_proj_dim",
            f"`{text.name('word_embed_proj_dim')}` is {dim} in a model {node['dim']} wide: a projection between the "
            "embeddings and the layers is not in the language",
            "the other sizes of this family have none",
        )
    before = text.boolean("do_layer_norm_before")
    if not before:
        node["norm"]["place"] = "post"
    if not before or text.boolean("_remove_final_layer_norm"):
        node["final_norm"] = False


_NORM: Mapping[str, Any] = MappingProxyType({"type": "layer"})
_QKV: Mapping[str, bool | str] = MappingProxyType(dict.fromkeys("qkv", "use_qkv_bias") | {"o": False})

KINDS = (
    TextKind(
        GPT_NEOX,
        bias="attention_bias",
        mlp_bias=True,
        gated=False,
        norm=_NORM,
        partial=True,
        adapt=_side_by_side,
        checkpoint="checkpoint/gpt_neox",
    ),
    TextKind(
        OPT,
        bias="enable_bias",
        mlp_bias="enable_bias",
        gated=False,
        norm={**_NORM, "eps": 1e-5},
        position=_learned,
        adapt=_adapt_opt,
        checkpoint="checkpoint/opt",
    ),
    TextKind(
        STARCODER2,
        bias="use_bias",
        mlp_bias="use_bias",
        gated=False,
        window="all",
        norm=_NORM,
        checkpoint="checkpoint/starcoder2",
    ),
    TextKind(STABLELM, bias=_QKV, norm=_NORM, partial=True, adapt=_one_norm),
)
