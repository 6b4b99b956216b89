"""Rotary positions: both spellings of transformers to the language's `position`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...diagnostics import Label
from ...tree import Tree
from .fields import Fields, shown
from .tables import ConfigTable

# The numbers that each type reads from its object, beside `rope_theta` and the type itself.
_READ: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "default": frozenset(),
        "linear": frozenset({"factor"}),
        "dynamic": frozenset({"factor"}),
        "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}),
        "yarn": frozenset(
            {
                "factor",
                "original_max_position_embeddings",
                "attention_factor",
                "beta_fast",
                "beta_slow",
                "mscale",
                "mscale_all_dim",
                "truncate",
            }
        ),
    }
)
_REQUIRED = MappingProxyType(
    {"linear": ["factor"], "dynamic": ["factor"], "llama3": ["factor", "low_freq_factor", "high_freq_factor"]}
)


@dataclass(frozen=True, slots=True)
class Position:
    """The language's `position` mapping, and the longest sequence that it is meant for."""

    setting: dict[str, Any]
    max_tokens: int


def read_position(text: Fields) -> Position:
    """`rope_scaling` wins over `rope_parameters`, and a base inside either over `rope_theta` beside it."""
    most = text.integer("max_position_embeddings")
    key = "rope_scaling" if _says_something(text.tree.get("rope_scaling")) else "rope_parameters"
    tree = text.tree.get(key)
    _refuse_partial(text, text)
    if tree is None or tree.value is None:
        return Position(_rope(text.number("rope_theta")), most)
    if not tree.is_mapping:
        text.problems.error(
            "invalid-config", f"`{text.name(key)}` must be an object, not {shown(tree.plain())}", tree.span
        )
        return Position(_rope(1.0), most)
    rope = Fields(tree, _table(text), text.problems, text.name(key) + ".")
    theta = rope.number("rope_theta") if tree.get("rope_theta") is not None else text.number("rope_theta")
    _refuse_partial(text, rope)
    _refuse_both(text)
    kind = _type(rope, most)
    return _scaled(kind, theta, most, rope, text) if kind else Position(_rope(theta), most)


def _says_something(tree: Tree | None) -> bool:
    return tree is not None and bool(tree.plain())


def _rope(theta: float) -> dict[str, Any]:
    return {"type": "rope", "theta": theta}


def _table(text: Fields) -> ConfigTable:
    """The fields of a rotary object, under the name of the class whose config it stands in."""
    names = frozenset().union(*_READ.values()) | {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    return ConfigTable(text.table.model_type, dict.fromkeys(names), nullable=names)


def _refuse_partial(text: Fields, place: Fields) -> None:
    if place.has("partial_rotary_factor") and place.number("partial_rotary_factor") != 1.0:
        place.unsupported(
            "partial_rotary_factor",
            f"`{place.name('partial_rotary_factor')}`: rotating only a part of each head is not in the language",
            f"the `{text.table.model_type}` of transformers rotates whole heads too: remove it if that is meant",
        )


def _refuse_both(text: Fields) -> None:
    old, new = "rope_scaling", "rope_parameters"
    if _says_something(text.tree.get(old)) and _says_something(text.tree.get(new)):
        text.problems.conflict(
            f"`{text.name(old)}` and `{text.name(new)}` both say how positions are rotated",
            text.span(old),
            labels=(Label(text.span(new), "written here again"),),
            help=f"remove one: `{old}` is how transformers 4 wrote it, `{new}` is version 5",
        )


def _type(rope: Fields, most: int) -> str:
    """The type of scaling; empty after a problem."""
    key = "rope_type" if rope.tree.get("rope_type") is not None else "type"
    tree = rope.tree.get(key)
    kind = "default" if tree is None else tree.plain()
    nested = [name for name in ("full_attention", "sliding_attention") if rope.has(name)]
    if nested:
        rope.unsupported(
            nested[0],
            f"`{rope.name(nested[0])}`: other rotary positions for some of the layers are not in the language",
            f"the `{rope.table.model_type}` of transformers cannot read this either; write one object for all layers",
        )
        return ""
    if isinstance(kind, str) and kind in _READ:
        _check_names(rope, kind, most)
        return kind
    what = f"the rotary scaling `{shown(kind)}` of `{rope.name(key)}` is not in the language"
    rope.unsupported(key, what, "the language has " + ", ".join(_READ))
    return ""


def _check_names(rope: Fields, kind: str, most: int) -> None:
    """Only the numbers that this type reads; transformers warns of others and goes on without them."""
    read = _READ[kind] | {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    for key, tree in rope.tree.items():
        repeats = key == "original_max_position_embeddings" and tree.value == most
        if tree.value is not None and key not in read and not repeats:
            rope.problems.error(
                "unknown-config-field",
                f"`{rope.name(key)}` is not a field that the rotary scaling `{kind}` reads",
                rope.tree.key_span(key),
                help="remove it: transformers does not read it either",
            )


def _scaled(kind: str, theta: float, most: int, rope: Fields, text: Fields) -> Position:
    for key in _REQUIRED.get(kind, ()):
        if rope.tree.get(key) is None:
            rope.problems.error(
                "invalid-config",
                f"`{rope.name(key)}` is missing: `{kind}` needs it",
                rope.tree.span,
                help=f"add `{key}`",
            )
    if rope.problems.any:
        return Position(_rope(theta), most)
    build = {"linear": _linear, "dynamic": _dynamic, "llama3": _llama3, "yarn": _yarn}.get(kind)
    if build is None:
        return Position(_rope(theta), most)
    scaling, longest = build(rope, text, most)
    return Position({**_rope(theta), "scaling": {"type": kind, **scaling}}, longest)


def _linear(rope: Fields, text: Fields, most: int) -> tuple[dict[str, Any], int]:
    return {"factor": rope.number("factor")}, most


def _dynamic(rope: Fields, text: Fields, most: int) -> tuple[dict[str, Any], int]:
    """The base grows with sequences longer than `max_position_embeddings`, which is therefore the original length."""
    factor = rope.number("factor")
    return {"factor": factor, "original_max_tokens": most}, max(most, math.ceil(most * factor))


def _llama3(rope: Fields, text: Fields, most: int) -> tuple[dict[str, Any], int]:
    original = _original(rope, text, most)
    factors = {key: rope.number(key) for key in ("factor", "low_freq_factor", "high_freq_factor")}
    return {**factors, "original_max_tokens": original}, most


def _yarn(rope: Fields, text: Fields, most: int) -> tuple[dict[str, Any], int]:
    original = _original(rope, text, most)
    factor = rope.number("factor") if rope.has("factor") else most / original
    scaling: dict[str, Any] = {"factor": factor, "original_max_tokens": original}
    for key in ("beta_fast", "beta_slow"):  # zero and null mean the default here
        if _says_something(rope.tree.get(key)):
            scaling[key] = rope.number(key)
    if rope.has("attention_factor"):
        scaling["attention_factor"] = rope.number("attention_factor")
    elif _says_something(rope.tree.get("mscale")) and _says_something(rope.tree.get("mscale_all_dim")):
        scaling |= {key: rope.number(key) for key in ("mscale", "mscale_all_dim")}
    truncate = rope.tree.get("truncate")
    if truncate is not None and (truncate.value is None or not rope.boolean("truncate")):  # null is false here
        scaling["truncate"] = False
    return scaling, max(most, math.ceil(original * factor))


def _original(rope: Fields, text: Fields, most: int) -> int:
    """The length of pre-training: the field beside the object, else inside it, else the longest sequence."""
    if text.has("original_max_position_embeddings"):
        return text.integer("original_max_position_embeddings")
    return rope.integer_or_none("original_max_position_embeddings") or most
