"""The text models of transformers as one decoder: their differences are settings of its block."""

from __future__ import annotations

from typing import Any

from .experts import read_mlp
from .fields import Fields, shown
from .rope import read_position
from .text_kinds import TEXT_KINDS

_LAYER_TYPES = {"full_attention": False, "attention": False, "sliding_attention": True}


def read_embedding(text: Fields) -> dict[str, Any]:
    """The token embedding of a text config."""
    kind = TEXT_KINDS[text.table.model_type]
    return {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids", **kind.embedding}


def read_decoder(text: Fields, inputs: str, *, tied: bool) -> dict[str, Any]:
    """The decoder node of a text config."""
    text.check_names()
    kind = TEXT_KINDS[text.table.model_type]
    position = read_position(text)
    heads, dim = text.integer("num_attention_heads"), text.integer("hidden_size")
    eps = text.number("rms_norm_eps")
    attention = _attention(text, heads, dim, eps)
    dense = {
        "hidden": text.integer("intermediate_size"),
        "activation": _activation(text),
        "gated": True,
        "bias": text.boolean("mlp_bias") if "mlp_bias" in text.table.understood else False,
    }
    mlp, exceptions, changes = read_mlp(text, dense)
    layers = _layers(text, attention, exceptions, changes)
    return {
        "kind": "decoder",
        "type": "transformer",
        "inputs": inputs,
        "vocab": text.integer("vocab_size"),
        "dim": dim,
        "max_tokens": position.max_tokens,
        "layers": layers,
        "norm": {"type": "rms", "eps": eps, **kind.norm},
        "attention": attention,
        "mlp": mlp,
        "position": position.setting,
        "head": {"tied": tied, "bias": False, **_capped(text, "final_logit_softcapping")},
        "checkpoint": {"use": kind.checkpoint},
    }


def _activation(text: Fields) -> str:
    """The activation, under the language's name for what the class makes of it."""
    kind = TEXT_KINDS[text.table.model_type]
    activation = text.activation(kind.activation)
    return kind.activations.get(activation, activation)


def _capped(text: Fields, key: str) -> dict[str, float]:
    """A bound of scores or logits, where the class has one and the file does not take it away."""
    if key not in text.table.understood or (text.tree.get(key) is not None and not text.has(key)):
        return {}
    return {"softcap": text.number(key)}


def _attention(text: Fields, heads: int, dim: int, eps: float) -> dict[str, Any]:
    kind = TEXT_KINDS[text.table.model_type]
    kv_heads = text.integer_or_none("num_key_value_heads") or heads
    head_dim = _head_dim(text, heads, dim)
    setting: dict[str, Any] = {"heads": heads}
    if kv_heads != heads:
        setting["kv_heads"] = kv_heads
    if head_dim * heads != dim:
        setting["head_dim"] = head_dim
    setting["bias"] = _bias(text)
    if kind.qk_norm:
        setting["qk_norm"] = {"type": "rms", "eps": eps} | ({"over": "all"} if kind.qk_norm == "all" else {})
    if "query_pre_attn_scalar" in text.table.understood:
        setting["scale"] = text.number("query_pre_attn_scalar") ** -0.5
    setting |= _capped(text, "attn_logit_softcapping")
    if heads % kv_heads:
        _contradiction(text, "num_key_value_heads", f"{heads} heads cannot share {kv_heads} heads of keys and values")
    return setting


def _bias(text: Fields) -> bool | dict[str, bool]:
    """Which projections have a bias, as the class or a field of the config says."""
    bias = TEXT_KINDS[text.table.model_type].bias
    if isinstance(bias, (bool, str)):
        return text.boolean(bias) if isinstance(bias, str) else bias
    return {name: text.boolean(value) if isinstance(value, str) else value for name, value in bias.items()}


def _head_dim(text: Fields, heads: int, dim: int) -> int:
    """The field, or the width over the heads, rounded down."""
    written = text.integer_or_none("head_dim") if "head_dim" in text.table.understood else None
    head_dim = written or dim // heads
    if text.table.model_type == "llama" and dim % heads:
        _contradiction(
            text, "hidden_size", f"a width of {dim} is not a multiple of {heads} heads, which transformers requires"
        )
    elif head_dim == 0:
        _contradiction(text, "hidden_size", f"a width of {dim} leaves nothing for each of {heads} heads")
    elif head_dim % 2:
        key = "head_dim" if written else "hidden_size"
        _contradiction(text, key, f"heads of {head_dim} are odd: rotary positions turn pairs")
    return head_dim


def _contradiction(text: Fields, key: str, message: str) -> None:
    text.problems.conflict(f"`{text.name(key)}`: {message}", text.span(key))


def _layers(text: Fields, attention: dict[str, Any], dense: list[int], changes: dict[str, Any]) -> int | dict[str, Any]:
    """The number of layers, with exceptions where only some have a window or experts; a window of all goes into
    `attention`."""
    count, where = text.integer("num_hidden_layers"), []
    kind = TEXT_KINDS[text.table.model_type]
    window = _window(text)
    sliding = range(count) if kind.window == "all" else _sliding(text, count, window) if kind.window != "none" else None
    if window is not None and sliding == range(count):
        attention["window"] = window
    elif window is not None and sliding is not None:
        where.append({"name": "sliding", **_exception(sliding, count), "attention": {"window": window}})
    if dense:
        where.append({"name": "dense", **_exception(dense, count), "mlp": changes})
    return {"count": count, "where": where} if where else count


def _window(text: Fields) -> int | None:
    """How far a layer with a window sees; None where the config has none."""
    understood = text.table.understood
    if "sliding_window" not in understood:
        return None
    if "use_sliding_window" in understood and not text.boolean("use_sliding_window"):
        return None
    return text.integer_or_none("sliding_window")


def _exception(sliding: range | list[int], count: int) -> dict[str, Any]:
    """Which layers, in the shortest of the language's ways to say it."""
    first, last = sliding[0], sliding[-1]
    if len(sliding) == 1:
        return {"at": [first]}
    if last - first + 1 == len(sliding):
        return {"range": [first, last + 1]}
    step = sliding[1] - first
    if sliding == list(range(first, count, step)):
        return {"every": step, "from": first}
    return {"at": sliding}


def _usual_sliding(text: Fields, count: int) -> range | list[int] | None:
    """The layers with a window where the file does not list them."""
    most = text.integer("max_window_layers", least=0) if "max_window_layers" in text.table.understood else count
    if TEXT_KINDS[text.table.model_type].window == "some":
        return None if most >= count else range(most, count)
    return list(range(0, min(most, count), 2)) or None


def _sliding(text: Fields, count: int, window: int | None) -> range | list[int] | None:
    """The layers that have a window; None where none has."""
    types = text.tree.get("layer_types")
    if types is None or types.value is None:
        return None if window is None else _usual_sliding(text, count)
    names = types.plain()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        text.problems.error("invalid-config", f"`{text.name('layer_types')}` must be a list of words", types.span)
        return None
    if len(names) != count:
        _contradiction(text, "layer_types", f"{len(names)} layer types for {count} layers")
    unknown = next((element for element in types.elements() if element.value not in _LAYER_TYPES), None)
    if unknown is not None:
        message = f"the layer type `{shown(unknown.value)}` of `{text.name('layer_types')}` is not in the language"
        text.unsupported("layer_types", message, "the language has `full_attention` and `sliding_attention`")
        return None
    sliding = [index for index, name in enumerate(names) if _LAYER_TYPES[name]]
    if sliding and window is None:
        _contradiction(
            text, "layer_types", "some layers have a window, but `use_sliding_window` or `sliding_window` says none"
        )
    return None if not sliding or window is None else range(count) if len(sliding) == count else sliding
