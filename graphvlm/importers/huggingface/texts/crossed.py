"""Decoders some of whose layers attend to images, and to nothing else."""

from __future__ import annotations

from ..fields import Fields
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, TextKind

MLLAMA_TEXT = ConfigTable(
    "mllama_text_model",
    {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "hidden_act": "silu",
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
        "cross_attention_layers": None,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"cross_attention_layers"}),
)


def _adapt(text: Fields, node: Node) -> None:
    """Layers that read the port `image` stand among the others."""
    key, count = "cross_attention_layers", int(node["layers"])
    chosen = text.integers(key) if text.has(key) else list(range(3, 40, 5))
    wrong = next((layer for layer in chosen if layer >= count), None)
    if wrong is not None or not chosen:
        what = f"names layer {wrong} of {count}" if chosen else "is empty: nothing would see an image"
        text.problems.conflict(f"`{text.name(key)}` {what}", text.span(key))
    heads = {key: node["attention"][key] for key in ("heads", "kv_heads") if key in node["attention"]}
    gated = {"rows": "image", "residual": "tanh"}
    seen = {"op": "attention", **heads, "kv": "image", "mask": {"visible": "image_visible"}, "qk_norm": "rms", **gated}
    mlp = {"op": "mlp", **{key: node["mlp"][key] for key in ("hidden", "activation", "gated")}, **gated}
    node["sublayers"] = {"cross": seen, "cross_mlp": mlp}
    node["layers"] = {"count": count, "where": [{"name": "gated", "at": chosen, "each": ["cross", "cross_mlp"]}]}


KINDS = (TextKind(MLLAMA_TEXT, checkpoint="checkpoint/mllama_text", adapt=_adapt),)
