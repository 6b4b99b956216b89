"""Which layers of a text config differ from the others, in the shortest of the language's ways to say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .fields import Fields, shown
from .text_kind import Node, Position, TextKind, Variant

_LAYER_TYPES = {"full_attention": False, "attention": False, "sliding_attention": True}


def read_layers(text: Fields, kind: TextKind, node: Node, position: Position, variants: Iterable[Variant]) -> Any:
    """The number of layers, with exceptions where some differ; what all have goes into `node` itself."""
    count = text.integer("num_hidden_layers")
    where = [_entry(variant, count) for variant in _united([*_windowed(text, kind, node, position, count), *variants])]
    return {"count": count, "where": where} if where else count


def parallel(node: Node, *, shared: bool = False) -> None:
    """Attention and feed-forward on the same input, through one norm if it is `shared`."""
    layers = node["layers"] if isinstance(node["layers"], dict) else {"count": node["layers"]}
    node["layers"] = {"count": layers["count"], "each": [["attn", "mlp"]], **layers}
    if shared:
        node["mlp"]["norm"] = {"place": "shared"}


def _windowed(text: Fields, kind: TextKind, node: Node, position: Position, count: int) -> list[Variant]:
    """The layers with a window, or those without if they are easier to name."""
    window, sliding = _window(text), _all_sliding(text, kind, count)
    if window is None or not sliding:
        node["position"] = position.full or position.setting
        return []
    attention, full = node["attention"], tuple(index for index in range(count) if index not in sliding)
    wide, narrow = position.full or position.setting, position.sliding or position.setting
    shorter = len(_selection(sliding, count).get("at", ())) > 1
    # rotary positions stand where all layers have them: they decide which ports there are
    if not full or wide == "none" or (shorter and narrow != "none"):
        attention["window"], node["position"] = window, narrow
        changes = {"attention": {"window": None}} | _difference(narrow, wide)
        return [Variant("full", full, changes)] if full else []
    node["position"] = wide
    return [Variant("sliding", tuple(sliding), {"attention": {"window": window}} | _difference(wide, narrow))]


def _difference(usual: Any, other: Any) -> Node:
    """What `where` has to say of a position that is not the usual one."""
    if usual == other:
        return {}
    if not (isinstance(usual, dict) and isinstance(other, dict)):
        return {"position": other}
    changed = {key: value for key, value in other.items() if usual.get(key) != value}
    return {"position": changed | {key: None for key in usual if key not in other}}


def _united(variants: Sequence[Variant]) -> list[Variant]:
    """Variants of the same layers as one."""
    found: dict[tuple[int, ...], Variant] = {}
    for variant in variants:
        known = found.get(variant.layers)
        name = f"{known.name}_{variant.name}" if known else variant.name
        changes = {**known.changes, **variant.changes} if known else variant.changes
        found[variant.layers] = Variant(name, variant.layers, changes)
    return list(found.values())


def _entry(variant: Variant, count: int) -> Node:
    """An entry of `where`."""
    return {"name": variant.name, **_selection(variant.layers, count), **variant.changes}


def _selection(layers: Sequence[int], count: int) -> Node:
    first, last = layers[0], layers[-1]
    if len(layers) == 1:
        return {"at": [first]}
    if last - first + 1 == len(layers):
        return {"range": [first, last + 1]}
    step = layers[1] - first
    if list(layers) == list(range(first, count, step)):
        return {"every": step, "from": first}
    return {"at": list(layers)}


def _window(text: Fields) -> int | None:
    """How far a layer with a window sees; None where the config has none."""
    if not text.knows("sliding_window") or (
        text.knows("use_sliding_window") and not text.boolean("use_sliding_window")
    ):
        return None
    return text.integer_or_none("sliding_window")


def _all_sliding(text: Fields, kind: TextKind, count: int) -> list[int]:
    """The layers that have a window, if there is one."""
    if kind.window in ("none", "all"):
        return list(range(count)) if kind.window == "all" else []
    sliding = layers_of_type(text, count, _LAYER_TYPES)
    if sliding is None:
        return _usual_sliding(text, kind, count)
    if sliding and _window(text) is None:
        _contradiction(text, "some layers have a window, but `use_sliding_window` or `sliding_window` says none")
    return sliding


def layers_of_type(text: Fields, count: int, types: Mapping[str, bool], key: str = "layer_types") -> list[int] | None:
    """The layers that the field `key` gives a type of which `types` says true; None where the file does not list
    them."""
    tree = text.get(key)
    if tree is None or tree.value is None:
        return None
    names = tree.plain()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        text.problems.error("invalid-config", f"`{text.name(key)}` must be a list of words", tree.span)
        return []
    if len(names) != count:
        _contradiction(text, f"{len(names)} layer types for {count} layers", key)
    unknown = next((element for element in tree.elements() if element.value not in types), None)
    if unknown is not None:
        message = f"the layer type `{shown(unknown.value)}` of `{text.name(key)}` is not in the language"
        found = [name for name in types if name.endswith("_attention")] or types
        known = " and ".join(f"`{name}`" for name in found)
        text.unsupported(key, message, f"the language has {known}")
        return []
    return [index for index, name in enumerate(names) if types[name]]


def _usual_sliding(text: Fields, kind: TextKind, count: int) -> list[int]:
    """The layers with a window where the file does not list them."""
    if kind.window == "pattern":
        step = text.integer("sliding_window_pattern") if text.knows("sliding_window_pattern") else kind.every
        return [index for index in range(count) if (index + 1) % step]
    if kind.window == "listed":
        return list(range(count))
    most = text.integer("max_window_layers", least=0) if text.knows("max_window_layers") else count
    return list(range(most, count)) if kind.window == "some" else list(range(0, min(most, count), 2))


def _contradiction(text: Fields, message: str, key: str = "layer_types") -> None:
    text.problems.conflict(f"`{text.name(key)}`: {message}", text.span(key))
