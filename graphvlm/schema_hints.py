"""Where a key that was written in the wrong place, or by the name another project gives it, belongs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from . import schema_files
from .diagnostics import Span
from .schema_files import Schema
from .schema_words import dotted, edits, either, is_of_type
from .tree import Tree

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """What was validated: the part of the graph at `path`, against the schema of the component called `label`.

    `span` is the place of its name; of a whole file, where it begins.
    """

    tree: Tree
    path: Path
    span: Span
    label: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Hint:
    """What to say about an unknown key, and the paths of the keys that it may stand for."""

    text: str = ""
    paths: tuple[Path, ...] = ()


# Keys of many mappings: that another has one too says nothing.
_COMMON = frozenset(("use", "kind", "type", "description", "source", "name", "inputs", "checkpoint"))
_MOST = 3
_LONGEST = 100


def hint(subject: Subject, path: Path, here: Schema, key: str) -> Hint:
    """Where `key` belongs, which the mapping at `path` of the subject has not; `here` is the schema of that mapping."""
    known = {name: schema for name, schema in here.get("properties", {}).items() if isinstance(schema, dict)}
    renamed = next((name for name, schema in known.items() if _called(name, schema, key)), None)
    if renamed:
        return Hint(f"here it is called `{renamed}`", ((*path, renamed),))
    value = subject.tree.get(*path, key)
    fitting = [name for name, schema in known.items() if value and is_of_type(value.plain(), schema)]
    near = _near(key, fitting, path)
    elsewhere = () if key in _COMMON else _elsewhere(key, here, path, path) or _elsewhere(key, subject.schema, (), path)
    if elsewhere:
        places = either(f"`{dotted((*subject.path, *found))}`" for found in elsewhere)
        other = near or Hint()
        return Hint(edits(f"write it as {places}", other.text), (*elsewhere, *other.paths))
    return near or _near(key, known, path) or _stranger(key, subject.label) or Hint()


def _near(key: str, known: Iterable[str], path: Path) -> Hint | None:
    # Looking for something like a very long key would take long, and there is nothing.
    close = get_close_matches(key.lower(), list(known), n=1) if len(key) < _LONGEST else []
    return Hint(f"did you mean `{close[0]}`?", ((*path, close[0]),)) if close else None


def _elsewhere(key: str, schema: Schema, path: Path, here: Path) -> tuple[Path, ...]:
    """Where below `schema`, which is that of `path`, such a key may be written, if not in the mapping at `here`."""
    found = dict.fromkeys(place for place, below in _below(schema, path) if _called(str(place[-1]), below, key))
    return tuple(place for place in found if place != (*here, key))[:_MOST]


def _stranger(key: str, label: str) -> Hint | None:
    """A key of another component, or of the other level of the file."""
    kind = label.partition("/")[0]
    of_kind = [f"{kind}/{type_}" for type_ in schema_files.components().get(kind, ()) if f"{kind}/{type_}" != label]
    owners = [owner for owner in of_kind if key in schema_files.load(owner)["properties"]]
    if owners:
        return Hint(f"{either(f'`{owner}`' for owner in owners)} has one, this is `{label}`")
    if "/" in label and key in schema_files.load("graph")["properties"]:
        return Hint("it belongs at the top level of the file")
    if "/" not in label and key in schema_files.load("node")["$defs"]["written"]["properties"]:
        return Hint("it belongs in a node, under `nodes`")
    return None


def _below(schema: Schema, path: Path) -> Iterator[tuple[Path, Schema]]:
    """Every key that may be written in a mapping or in the mappings inside it."""
    for form in _forms(schema):
        for name, below in form.get("properties", {}).items():
            if isinstance(below, dict):
                yield (*path, name), below
                yield from _below(below, (*path, name))


def _forms(schema: Schema) -> Iterator[Schema]:
    yield schema
    for key in ("anyOf", "allOf"):
        for form in schema.get(key, ()):
            yield from _forms(form)
    for key in ("then", "else"):
        if isinstance(schema.get(key), dict):
            yield from _forms(schema[key])


def _called(name: str, schema: Schema, key: str) -> bool:
    return key == name or key in schema.get("x-other-names", ())
