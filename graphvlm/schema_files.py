"""The files of `schemas/`: which there are, what is in them, and one of them with every reference resolved."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from functools import cache
from typing import Any

from . import resources

Schema = dict[str, Any]

SUFFIX = ".schema.json"
_SHARED = "blocks"

# In a file being edited, what a part or another graph supplies need not be written again. After composition neither
# key is left, so these conditions hold and are taken out.
_UNCOMPOSED = ({"not": {"required": ["use"]}}, {"not": {"required": ["extends"]}})
# For people and for finding definitions; nothing that a validator reads.
_UNREAD = frozenset(("$schema", "$defs"))


@cache
def components() -> Mapping[str, tuple[str, ...]]:
    """The types of every kind, both in alphabetical order: a component is a file in the folder of its kind."""
    folders = (entry for entry in resources.schemas().iterdir() if entry.is_dir() and entry.name != _SHARED)
    found = {folder.name: _stems(folder) for folder in sorted(folders, key=lambda entry: entry.name)}
    return {kind: types for kind, types in found.items() if types}


@cache
def stems() -> tuple[str, ...]:
    """Every schema file, without its ending: `graph`, `blocks/norm`, `encoder/vit`, ..."""
    nested = [f"{kind}/{type_}" for kind, types in components().items() for type_ in types]
    shared = [f"{_SHARED}/{stem}" for stem in _stems(resources.schemas().joinpath(_SHARED))]
    return (*_stems(resources.schemas()), *shared, *nested)


@cache
def load(stem: str) -> Schema:
    """One file as it is. Not to be changed."""
    text = resources.schemas().joinpath(*(stem + SUFFIX).split("/")).read_text("utf-8")
    schema: Schema = json.loads(text)
    return schema


def target(reference: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """Where a `$ref` in the file `stem` leads: a file, and the keys inside it."""
    path, _, pointer = reference.partition("#")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(stem), path)).removesuffix(SUFFIX) if path else stem
    return file, tuple(step for step in pointer.split("/") if step)


def at(stem: str, steps: tuple[str, ...]) -> Schema:
    """What stands at a place that `target` gave."""
    found = load(stem)
    for step in steps:
        found = found[step]
    return found


def flat(schema: Any, stem: str) -> Any:
    """A copy of `schema`, which stands in the file `stem`, in the form for composed graphs and without references."""
    if isinstance(schema, list):
        return [flat(item, stem) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        file, steps = target(schema["$ref"], stem)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**flat(at(file, steps), file), **flat(rest, stem)}
    copy = {key: flat(value, stem) for key, value in schema.items() if key not in _UNREAD}
    if copy.get("if") in _UNCOMPOSED:
        del copy["if"]
        return joined(copy, copy.pop("then"))
    if isinstance(copy.get("pattern"), str):
        # In Python `$` also matches before a line break at the end.
        copy["pattern"] = copy["pattern"].removesuffix("$") + r"\Z"
    return copy


def joined(first: Any, second: Any) -> Any:
    """One schema that asks for what both ask for, where they do not contradict each other."""
    if isinstance(first, dict) and isinstance(second, dict):
        shared = {key: joined(first[key], value) if key in first else value for key, value in second.items()}
        return {**first, **shared}
    return [*first, *second] if isinstance(first, list) and isinstance(second, list) else second


def composed(stem: str) -> Schema:
    """The schema of a whole component after composition: what may be written, and what must be."""
    schema = load(stem)
    whole: Schema = joined(flat(schema, stem), flat(schema.get("$defs", {}).get("complete", {}), stem))
    return whole


def _stems(folder: Any) -> tuple[str, ...]:
    return tuple(sorted(entry.name.removesuffix(SUFFIX) for entry in folder.iterdir() if entry.name.endswith(SUFFIX)))
