"""Merging trees: mappings merge key by key, anything else replaces; a value keeps the place it was written at."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .diagnostics import Span
from .tree import Tree, mapping


def merge(base: Tree, over: Tree) -> Tree:
    """`over` on top of `base`.

    Two mappings merge, and the result stands where `over` does; any other value replaces. A null deletes the key that
    it lies over. Where there is nothing to delete, and in a mapping that still has a part to merge under it (`use`),
    the null stays.
    """
    if not (base.is_mapping and over.is_mapping):
        return over
    entries, keys = dict(base.items()), dict(base.keys)
    part = over.get("use") or base.get("use")
    has_part = part is not None and part.value is not None
    for key, tree in over.items():
        if tree.value is None and key in entries and not (has_part and key != "use"):
            del entries[key], keys[key]
            continue
        entries[key] = merge(entries[key], tree) if key in entries else tree
        keys[key] = over.key_span(key)
    return mapping(entries, over.span, keys)


def without(tree: Tree, key: str) -> Tree:
    """The mapping `tree` less one key."""
    entries, keys = dict(tree.items()), dict(tree.keys)
    entries.pop(key, None)
    keys.pop(key, None)
    return mapping(entries, tree.span, keys)


def replaced(tree: Tree, changed: Mapping[Any, Tree], written: Mapping[str, Span] = MappingProxyType({})) -> Tree:
    """The mapping or sequence `tree` with some entries replaced or added; `written` holds the places of new keys."""
    if tree.is_sequence:
        return Tree(tuple(changed.get(index, element) for index, element in enumerate(tree.elements())), tree.span)
    return mapping({**dict(tree.items()), **changed}, tree.span, {**tree.keys, **written})
