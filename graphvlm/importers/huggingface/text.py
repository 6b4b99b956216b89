"""The text models of transformers as one decoder: their differences are settings of its block."""

from __future__ import annotations

from typing import Any

from .fields import Fields
from .rope import read_position
from .text_kind import Node, TextKind
from .text_layers import read_layers
from .text_tables import TEXT_KINDS


def read_embedding(text: Fields) -> dict[str, Any]:
    """The token embedding of a text config."""
    kind = TEXT_KINDS[text.table.model_type]
    factor = text.number("embedding_multiplier") if text.knows("embedding_multiplier") else 1.0
    scale = {"scale": factor} if factor != 1 else {}
    return {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids", **kind.embedding, **scale}


def read_decoder(text: Fields, inputs: str, *, tied: bool) -> dict[str, Any]:
    """The decoder node of a text config."""
    text.check_names()
    kind = TEXT_KINDS[text.table.model_type]
    heads, dim = text.integer("num_attention_heads"), text.integer("hidden_size")
    head_dim = _head_dim(text, heads, dim)
    position = (kind.position or read_position)(text, kind, head_dim)
    norm = {**kind.norm} if "eps" in kind.norm else {**kind.norm, "eps": text.number("rms_norm_eps")}
    experts = kind.experts(text, _mlp(text, kind))
    node: Node = {
        "kind": "decoder",
        "type": "transformer",
        "inputs": inputs,
        "vocab": text.integer("vocab_size"),
        "dim": dim,
        "max_tokens": position.max_tokens,
        "layers": 0,
        "norm": {key: norm[key] for key in ("type", "eps", *norm)},
        "attention": _attention(text, kind, heads, dim, head_dim),
        "mlp": experts.mlp,
        "position": position.setting,
        "head": {"tied": tied, "bias": False, **kind.head, **_capped(text, "final_logit_softcapping")},
        "checkpoint": {"use": kind.checkpoint},
    }
    variants = (*experts.variants, *kind.variants(text))
    node["layers"] = read_layers(text, kind, node, position, variants)
    kind.adapt(text, node)
    return {key: node[key] for key in _ORDER if key in node}


_ORDER = (
    *("kind", "type", "inputs", "vocab", "dim", "max_tokens", "layers", "norm", "residual", "attention", "mlp"),
    *("sublayers", "segments"),
    *("position", "input_norm", "final_norm", "head", "checkpoint"),
)


def _mlp(text: Fields, kind: TextKind) -> Node:
    """The feed-forward of a layer without experts."""
    activation = text.activation("hidden_act") if text.knows("hidden_act") else kind.activation
    sized = text.knows("intermediate_size")
    return {
        "hidden": text.integer("intermediate_size") if sized else 4 * text.integer("hidden_size"),
        "activation": kind.activations.get(activation, activation),
        "gated": kind.gated,
        "bias": text.boolean(kind.mlp_bias) if isinstance(kind.mlp_bias, str) else kind.mlp_bias,
    }


def _capped(text: Fields, key: str) -> dict[str, float]:
    """A bound of scores or logits, where the class has one and the file does not take it away."""
    cap = text.number_or_none(key) if text.knows(key) else None
    return {} if cap is None else {"softcap": cap}


def _attention(text: Fields, kind: TextKind, heads: int, dim: int, head_dim: int) -> Node:
    kv_heads = (text.integer_or_none("num_key_value_heads") if text.knows("num_key_value_heads") else None) or heads
    setting: Node = {"heads": heads}
    if kv_heads != heads:
        setting["kv_heads"] = kv_heads
    if head_dim * heads != dim:
        setting["head_dim"] = head_dim
    setting["bias"] = _bias(text, kind)
    if kind.qk_norm:
        over = {"over": "all"} if kind.qk_norm == "all" else {}
        setting["qk_norm"] = {"type": "rms", "eps": text.number("rms_norm_eps"), **over}
    if text.knows("query_pre_attn_scalar"):
        setting["scale"] = text.number("query_pre_attn_scalar") ** -0.5
    setting |= _capped(text, "attn_logit_softcapping")
    if heads % kv_heads:
        _contradiction(text, "num_key_value_heads", f"{heads} heads cannot share {kv_heads} heads of keys and values")
    return setting


def _bias(text: Fields, kind: TextKind) -> bool | dict[str, bool]:
    """Which projections have a bias, as the class or a field of the config says."""
    bias = kind.bias
    if isinstance(bias, (bool, str)):
        return text.boolean(bias) if isinstance(bias, str) else bias
    named = {name: text.boolean(value) if isinstance(value, str) else value for name, value in bias.items()}
    return named if any(named.values()) else False


# Classes that refuse a width which heads do not divide.
_EVEN = frozenset({"llama", "gemma3_text", "deepseek_v2", "gpt_neox"})


def _head_dim(text: Fields, heads: int, dim: int) -> int:
    """The field, or the width over the heads, rounded down."""
    written = text.integer_or_none("head_dim") if text.knows("head_dim") else None
    head_dim = written or dim // heads
    if text.table.model_type in _EVEN and dim % heads:
        _contradiction(
            text, "hidden_size", f"a width of {dim} is not a multiple of {heads} heads, which transformers requires"
        )
    elif head_dim == 0:
        _contradiction(text, "hidden_size", f"a width of {dim} leaves nothing for each of {heads} heads")
    return head_dim


def _contradiction(text: Fields, key: str, message: str) -> None:
    text.problems.conflict(f"`{text.name(key)}`: {message}", text.span(key))
