"""Rotary positions: both spellings of transformers to the language's `position`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ...diagnostics import Label, Span
from ...tree import Tree
from .fields import Fields, shown
from .tables import ConfigTable
from .text_kind import Layout, Position, TextKind

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
        "longrope": frozenset(
            {"factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"}
        ),
    }
)
_OLD_NAMES = MappingProxyType({"su": "longrope"})
_REQUIRED = MappingProxyType(
    {
        "linear": ["factor"],
        "dynamic": ["factor"],
        "llama3": ["factor", "low_freq_factor", "high_freq_factor"],
        "longrope": ["short_factor", "long_factor"],
    }
)


def read_position(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """`rope_scaling` wins over `rope_parameters`, and a base inside either over `rope_theta` beside it."""
    _refuse_both(text)
    setting, most = _rotary(rotary_object(text), text, kind, text.number("rope_theta"), head_dim)
    return Position(setting, most)


def rotary_object(text: Fields) -> Fields | None:
    """The object that says how positions are rotated, if there is one."""
    key = "rope_scaling" if _says_something(text.tree.get("rope_scaling")) else "rope_parameters"
    return _object(text, text.tree.get(key), key)


def read_position_by_type(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Rotary positions that layers with a window have of their own: `rope_parameters` has an object for each type.

    What older files write beside, `rope_scaling` and `rope_theta`, is of the layers that see everything;
    `rope_local_base_freq` is of the others.
    """
    _refuse_both(text)
    tree, old = text.tree.get("rope_parameters"), text.tree.get("rope_scaling")
    both = _object(text, tree, "rope_parameters")
    flat = [key for key, _ in both.tree.items() if key not in _BY_TYPE] if both else []
    if both and flat:
        key = "rope_parameters"
        text.unsupported(
            key,
            f"`{text.name(key)}` has `{shown(flat[0])}` beside the types of layers",
            "write an object with `full_attention` and `sliding_attention`, each with rotary positions of its own",
        )
        return Position(_rope(1.0), 1)
    wide = _object(text, old, "rope_scaling") if _says_something(old) else _of_type(text, both, "full_attention")
    narrow = _of_type(text, both, "sliding_attention")
    local = "rope_local_base_freq" if text.knows("rope_local_base_freq") else ""
    theta = text.number(local) if local else float(text.table.understood["rope_theta"])
    full, most = _rotary(wide, text, kind, text.number("rope_theta"), head_dim)
    sliding, _ = _rotary(narrow, text, kind, theta, head_dim)
    return Position(full, most, full=full, sliding=sliding)


def read_rotary_of(text: Fields, kind: TextKind, name: str, head_dim: int) -> tuple[Any, int]:
    """What the object `rope_parameters` says of the layers of one type, `none` where it is null; the longest sequence.

    The class has no `rope_theta` beside: each object has one.
    """
    rope = _of_type(text, _object(text, text.tree.get("rope_parameters"), "rope_parameters"), name)
    if rope is None:
        return "none", text.integer("max_position_embeddings")
    return _rotary(rope, text, kind, rope.number("rope_theta"), head_dim)


_BY_TYPE = ("full_attention", "sliding_attention")


def _of_type(text: Fields, both: Fields | None, key: str) -> Fields | None:
    return _object(text, both.tree.get(key), f"rope_parameters.{key}") if both else None


def _object(text: Fields, tree: Tree | None, key: str) -> Fields | None:
    """The object with the numbers of a rotation, if there is one."""
    if tree is None or tree.value is None:
        return None
    if tree.is_mapping:
        return Fields(tree, _table(text), text.problems, text.name(key) + ".")
    message = f"`{text.name(key)}` must be an object, not {shown(tree.plain())}"
    text.problems.error("invalid-config", message, tree.span)
    return None


def _rotary(
    rope: Fields | None, text: Fields, kind: TextKind, theta: float, head_dim: int
) -> tuple[dict[str, Any], int]:
    """One set of rotary positions, and the longest sequence it is meant for; `theta` is what it has unless it says."""
    most = text.integer("max_position_embeddings")
    places = (text, rope) if rope else (text,)
    if kind.partial:
        dim = _turned(text, places, head_dim)
    else:
        dim = head_dim
        for place in places:
            _refuse_partial(text, place)
    _check_dim(text, dim)
    if rope and rope.tree.get("rope_theta") is not None:
        theta = rope.number("rope_theta")
    setting = _rope(theta) | ({"dim": dim} if dim != head_dim else {})
    setting |= {"style": kind.style} if kind.style != "half" else {}
    setting |= _sections(rope, text, kind, dim) if kind.sections else {}
    if rope is None:
        return setting, most
    named = _type(rope, most, kind)
    if not named or named == "default":
        return setting, most
    scaling, longest = _scaled(named, most, rope, text)
    return {**setting, "scaling": {"type": named, **scaling}}, longest


def read_sections(text: Fields, sections: tuple[int, ...], layout: Layout, dim: int) -> dict[str, Any]:
    """What positions of three numbers have beside rotary ones; `sections` unless the file says otherwise."""
    kind = TextKind(text.table, sections=sections, layout=layout)
    return _sections(rotary_object(text), text, kind, dim)


def _sections(rope: Fields | None, text: Fields, kind: TextKind, dim: int) -> dict[str, Any]:
    """How many pairs turn by frame, row and column."""
    found, key = list(kind.sections), "mrope_section"
    place = rope if rope is not None and rope.has(key) else text
    if rope is not None and rope.has(key):
        found = rope.integers(key)
        if rope.has("mrope_interleaved") and rope.boolean("mrope_interleaved") != (kind.layout == "interleaved"):
            name = "mrope_interleaved"
            message = f"`{rope.name(name)}`: the `{text.table.model_type}` of transformers does not read this field"
            rope.unsupported(name, message, "leave it out, or correct it")
    if len(found) != len(kind.sections) or sum(found) != dim // 2:
        where = place.name(key) if place is rope else text.name("rope_parameters")
        message = f"`{where}`: sections {shown(found)} must be three numbers that make the {dim // 2} pairs of a head"
        text.problems.conflict(message, place.span(key) if place is rope else text.tree.span)
    elif kind.layout == "turns":
        found = _in_turn(text, found, place.span(key) if place is rope else text.tree.span)
    return {"type": "mrope", "sections": found} | ({"layout": kind.layout} if kind.layout != "contiguous" else {})


def _in_turn(text: Fields, found: list[int], span: Span) -> list[int]:
    """The sections of a class that names those of row and column first, which take turns."""
    rows, columns, frames = found
    if rows != columns:
        message = f"`mrope_section` has {rows} pairs of rows and {columns} of columns, which take turns"
        text.problems.conflict(message, span)
    return [frames, rows, columns]


_SECTIONS = frozenset({"mrope_section", "mrope_interleaved"})


def _turned(text: Fields, places: tuple[Fields, ...], head_dim: int) -> int:
    """How many numbers of a head are turned: some classes have a field for that, the others a part of it."""
    if "rotary_dim" in text.table.understood and text.has("rotary_dim"):
        return text.integer("rotary_dim")
    return int(head_dim * _fraction(*reversed(places)))


def _fraction(*places: Fields) -> float:
    """How much of each head is turned: what the first place says, or what the class of the last has."""
    key = "partial_rotary_factor"
    place = next((place for place in places if place.has(key)), places[-1])
    usual = place.table.understood.get(place.table.name(key))
    return place.number(key) if place.has(key) else usual or 1.0


def _check_dim(text: Fields, dim: int) -> None:
    if dim % 2:
        key = "head_dim" if text.has("head_dim") else "hidden_size"
        message = f"`{text.name(key)}`: heads of {dim} are odd: rotary positions turn pairs"
        text.problems.conflict(message, text.span(key))


def _says_something(tree: Tree | None) -> bool:
    return tree is not None and bool(tree.plain())


def _rope(theta: float) -> dict[str, Any]:
    return {"type": "rope", "theta": theta}


def _table(text: Fields) -> ConfigTable:
    """The fields of a rotary object, under the name of the class whose config it stands in."""
    names = (
        frozenset().union(*_READ.values()) | _SECTIONS | {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    )
    return ConfigTable(text.table.model_type, dict.fromkeys(names), nullable=names, rotary=text.table.rotary)


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


def _type(rope: Fields, most: int, text_kind: TextKind) -> str:
    """The type of scaling; empty after a problem."""
    key = "rope_type" if rope.tree.get("rope_type") is not None else "type"
    tree = rope.tree.get(key)
    kind = "default" if tree is None else tree.plain()
    kind = _OLD_NAMES.get(kind, kind) if isinstance(kind, str) else kind
    kind = "default" if kind == "mrope" and text_kind.sections else kind
    nested = [name for name in ("full_attention", "sliding_attention") if rope.has(name)]
    if nested:
        rope.unsupported(
            nested[0],
            f"`{rope.name(nested[0])}`: other rotary positions for some of the layers are not in the language",
            f"the `{rope.table.model_type}` of transformers cannot read this either; write one object for all layers",
        )
        return ""
    if isinstance(kind, str) and kind in _READ:
        check_names(rope, kind, most, _SECTIONS if text_kind.sections else frozenset())
        return kind
    what = f"the rotary scaling `{shown(kind)}` of `{rope.name(key)}` is not in the language"
    rope.unsupported(key, what, "the language has " + ", ".join(_READ))
    return ""


def check_names(rope: Fields, kind: str, most: int, also: frozenset[str]) -> None:
    """Only the numbers that this type reads; transformers warns of others and goes on without them."""
    read = _READ[kind] | also | rope.table.rotary | {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    for key, tree in rope.tree.items():
        repeats = key == "original_max_position_embeddings" and tree.value == most
        if tree.value is not None and key not in read and not repeats:
            rope.problems.error(
                "unknown-config-field",
                f"`{rope.name(key)}` is not a field that the rotary scaling `{kind}` reads",
                rope.tree.key_span(key),
                help="remove it: transformers does not read it either",
            )


def _scaled(kind: str, most: int, rope: Fields, text: Fields) -> tuple[dict[str, Any], int]:
    for key in _REQUIRED.get(kind, ()):
        if rope.tree.get(key) is None:
            rope.problems.error(
                "invalid-config",
                f"`{rope.name(key)}` is missing: `{kind}` needs it",
                rope.tree.span,
                help=f"add `{key}`",
            )
    return ({}, most) if rope.problems.any else _READERS[kind](rope, text, most)


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


def _longrope(rope: Fields, text: Fields, most: int) -> tuple[dict[str, Any], int]:
    original = _original(rope, text, most)
    factor = rope.number("factor") if rope.has("factor") else max(1.0, most / original)
    scaling: dict[str, Any] = {"factor": factor, "original_max_tokens": original}
    if rope.has("attention_factor"):
        scaling["attention_factor"] = rope.number("attention_factor")
    return scaling | {f"{name}_factors": rope.numbers(f"{name}_factor") for name in ("short", "long")}, most


def yarn_scale(factor: float, weight: float) -> float:
    """What YaRN multiplies with where positions are stretched by `factor`."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def _original(rope: Fields, text: Fields, most: int) -> int:
    """The length of pre-training: the field beside the object, else inside it, else the longest sequence."""
    key = "original_max_position_embeddings"
    if text.has(key) or text.table.understood.get(key) is not None:
        return text.integer(key)
    return rope.integer_or_none(key) or most


_READERS: Mapping[str, Callable[[Fields, Fields, int], tuple[dict[str, Any], int]]] = MappingProxyType(
    {"linear": _linear, "dynamic": _dynamic, "llama3": _llama3, "yarn": _yarn, "longrope": _longrope}
)
