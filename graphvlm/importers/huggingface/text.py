"""The text models of transformers as one decoder: their differences are settings of its block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from .fields import Fields, shown
from .rope import read_position


@dataclass(frozen=True, slots=True)
class TextKind:
    """What the code of a model class fixes, beside what its config says.

    `bias` is the field that decides over all four projections of an attention, or the decision itself. `window`: every
    layer (`all`), those that layer types or `max_window_layers` name (`some`), or none.
    """

    bias: str | bool | dict[str, bool]
    qk_norm: bool = False
    window: Literal["none", "all", "some"] = "none"


TEXT_KINDS: Mapping[str, TextKind] = MappingProxyType(
    {
        "llama": TextKind(bias="attention_bias"),
        "mistral": TextKind(bias=False, window="all"),
        "qwen2": TextKind(bias={"q": True, "k": True, "v": True, "o": False}, window="some"),
        "qwen3": TextKind(bias="attention_bias", qk_norm=True, window="some"),
    }
)

_LAYER_TYPES = {"full_attention": False, "attention": False, "sliding_attention": True}


def read_decoder(text: Fields, inputs: str, *, tied: bool) -> dict[str, Any]:
    """The decoder node of a text config."""
    text.check_names()
    position = read_position(text)
    heads, dim = text.integer("num_attention_heads"), text.integer("hidden_size")
    eps = text.number("rms_norm_eps")
    attention = _attention(text, heads, dim, eps)
    layers = _layers(text, attention)
    mlp_bias = text.boolean("mlp_bias") if "mlp_bias" in text.table.understood else False
    return {
        "kind": "decoder",
        "type": "transformer",
        "inputs": inputs,
        "vocab": text.integer("vocab_size"),
        "dim": dim,
        "max_tokens": position.max_tokens,
        "layers": layers,
        "norm": {"type": "rms", "eps": eps},
        "attention": attention,
        "mlp": {
            "hidden": text.integer("intermediate_size"),
            "activation": text.activation("hidden_act"),
            "gated": True,
            "bias": mlp_bias,
        },
        "position": position.setting,
        "head": {"tied": tied, "bias": False},
        "checkpoint": {"use": "checkpoint/llama"},
    }


def _attention(text: Fields, heads: int, dim: int, eps: float) -> dict[str, Any]:
    kind = TEXT_KINDS[text.table.model_type]
    kv_heads = text.integer_or_none("num_key_value_heads") or heads
    head_dim = _head_dim(text, heads, dim)
    setting: dict[str, Any] = {"heads": heads}
    if kv_heads != heads:
        setting["kv_heads"] = kv_heads
    if head_dim * heads != dim:
        setting["head_dim"] = head_dim
    setting["bias"] = text.boolean(kind.bias) if isinstance(kind.bias, str) else kind.bias
    if kind.qk_norm:
        setting["qk_norm"] = {"type": "rms", "eps": eps}
    if heads % kv_heads:
        _contradiction(text, "num_key_value_heads", f"{heads} heads cannot share {kv_heads} heads of keys and values")
    return setting


def _head_dim(text: Fields, heads: int, dim: int) -> int:
    """The field, or the width over the heads, rounded down."""
    written = text.integer_or_none("head_dim")
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


def _layers(text: Fields, attention: dict[str, Any]) -> int | dict[str, Any]:
    """The number of layers, with exceptions where only some have a window; a window of all goes into `attention`."""
    count = text.integer("num_hidden_layers")
    kind = TEXT_KINDS[text.table.model_type]
    if kind.window == "none":
        return count
    if kind.window == "all":
        window = text.integer_or_none("sliding_window")
        if window is not None:
            attention["window"] = window
        return count
    window = text.integer_or_none("sliding_window") if text.boolean("use_sliding_window") else None
    sliding = _sliding(text, count, window)
    if sliding is None:
        return count
    if sliding == range(count):
        attention["window"] = window
        return count
    exception = {"name": "sliding", **_exception(sliding, count), "attention": {"window": window}}
    return {"count": count, "where": [exception]}


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


def _sliding(text: Fields, count: int, window: int | None) -> range | list[int] | None:
    """The layers that have a window; None where none has."""
    types = text.tree.get("layer_types")
    if types is None or types.value is None:
        first = text.integer("max_window_layers", least=0)
        return None if window is None or first >= count else range(first, count)
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
