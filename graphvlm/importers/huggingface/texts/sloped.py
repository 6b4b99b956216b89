"""Decoders without positions: scores lose something for every token between a query and a key (ALiBi)."""

from __future__ import annotations

from ..fields import Fields
from ..tables import ConfigTable
from ..text_kind import Node, Position, TextKind

BLOOM = ConfigTable(
    "bloom",
    {
        "vocab_size": 250880,
        "hidden_size": 64,
        "n_layer": 2,
        "n_head": 8,
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
    },
    # of training; and how sums over devices are rounded
    harmless=frozenset(
        {
            *("hidden_dropout", "pretraining_tp", "slow_but_exact", "attention_softmax_in_fp32", "bias_dropout_fusion"),
            *("masked_softmax_fusion", "skip_bias_add", "skip_bias_add_qkv", "seq_length", "unk_token_id"),
        }
    ),
    neutral={"apply_residual_connection_post_layernorm": False},
    called={"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "rms_norm_eps": "layer_norm_epsilon"},
)

MPT = ConfigTable(
    "mpt",
    {
        "d_model": 2048,
        "n_heads": 16,
        "n_layers": 24,
        "max_seq_len": 2048,
        "vocab_size": 50368,
        "layer_norm_epsilon": 1e-5,
        "attn_config": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": True,
    },
    nullable=frozenset({"attn_config"}),
    # The class has neither a table of positions nor biases nor another norm, whatever its file says.
    harmless=frozenset(
        {
            *("resid_pdrop", "emb_pdrop", "init_device", "embedding_fraction", "norm_type", "no_bias", "verbose"),
            *("learned_pos_emb", "init_config"),
        }
    ),
    neutral={"expansion_ratio": 4, "logit_scale": None},
    called={
        "hidden_size": "d_model",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "max_position_embeddings": "max_seq_len",
        "rms_norm_eps": "layer_norm_epsilon",
    },
)

MPT_ATTENTION = ConfigTable(
    "mpt",
    {"softmax_scale": None},
    nullable=frozenset({"softmax_scale"}),
    harmless=frozenset({"attn_pdrop", "attn_impl"}),
    neutral={
        "attn_type": "multihead_attention",
        "alibi": True,
        "alibi_bias_max": 8,  # which the class takes whatever its file says
        "clip_qkv": None,
        "prefix_lm": False,
        "qk_ln": False,
        "attn_uses_sequence_id": False,
    },
)


def _sloped(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Slopes for any length; what was trained on where the class does not say how long that is."""
    name = "max_position_embeddings"
    return Position({"type": "alibi"}, text.integer(name) if text.knows(name) else 2048)


def _attention(text: Fields) -> Fields | None:
    """The object that says what is special about attention; None if the file has none."""
    tree = text.get("attn_config")
    if tree is None or tree.value is None:
        return None
    if not tree.is_mapping:
        text.problems.error("invalid-config", f"`{text.name('attn_config')}` must be an object", tree.span)
        return None
    return Fields(tree, MPT_ATTENTION, text.problems, "attn_config.")


def _embeddings_normalised(text: Fields, node: Node) -> None:
    node["input_norm"] = True


def _scaled(text: Fields, node: Node) -> None:
    """The scale of scores, where it is written."""
    attention = _attention(text)
    if attention:
        attention.check_names()
        scale = attention.number_or_none("softmax_scale")
        if scale is not None:
            node["attention"]["scale"] = scale


KINDS = (
    TextKind(
        BLOOM,
        bias=True,
        mlp_bias=True,
        gated=False,
        activation="gelu_tanh",
        norm={"type": "layer"},
        position=_sloped,
        adapt=_embeddings_normalised,
        checkpoint="checkpoint/bloom",
    ),
    TextKind(
        MPT,
        gated=False,
        activation="gelu",
        norm={"type": "layer", "bias": False},
        position=_sloped,
        adapt=_scaled,
        checkpoint="checkpoint/mpt",
    ),
)
