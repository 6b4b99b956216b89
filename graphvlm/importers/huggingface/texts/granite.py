"""Decoders with factors on embeddings, scores, residuals and logits."""

from __future__ import annotations

from ..fields import Fields
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, TextKind

GRANITE = ConfigTable(
    "granite",
    {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "embedding_multiplier": 1.0,
        "logits_scaling": 1.0,
        "residual_multiplier": 1.0,
        "attention_multiplier": 1.0,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim"}),
)


HYPERCLOVAX = ConfigTable(
    "hyperclovax",
    {
        **GRANITE.understood,
        "attention_multiplier": None,
        "use_post_norm": True,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim", "attention_multiplier"}),
)


def _adapt(text: Fields, node: Node) -> None:
    node["attention"]["scale"] = text.number("attention_multiplier")
    residual, logits = text.number("residual_multiplier"), text.number("logits_scaling")
    if residual != 1:
        node["residual"] = {"scale": residual}
    if logits != 1:
        node["head"]["scale"] = 1 / logits


def _with_post_norms(text: Fields, node: Node) -> None:
    """Here logits are multiplied, and scores have the usual factor unless the file says another."""
    scale, residual = text.number_or_none("attention_multiplier"), text.number("residual_multiplier")
    if scale is not None:
        node["attention"]["scale"] = scale
    if residual != 1:
        node["residual"] = {"scale": residual}
    if text.number("logits_scaling") != 1:
        node["head"]["scale"] = text.number("logits_scaling")
    if text.boolean("use_post_norm"):
        node["norm"]["place"] = "sandwich"


KINDS = (
    TextKind(GRANITE, bias="attention_bias", mlp_bias="mlp_bias", adapt=_adapt),
    TextKind(
        HYPERCLOVAX,
        bias="attention_bias",
        mlp_bias="mlp_bias",
        adapt=_with_post_norms,
        checkpoint="checkpoint/hyperclovax",
    ),
)
