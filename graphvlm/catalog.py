"""What comes with the compiler: ready graphs, and parts for `use:`."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import resources
from .compose import compose
from .diagnostics import Source
from .source import parse, read
from .tree import Tree

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class Entry:
    """A graph or a part in a few words. The `kind` of a graph is `graph`; graphs and checkpoint maps have no `type`."""

    name: str
    kind: str
    type: str
    description: str
    source: str
    path: Path


def graphs() -> Mapping[str, Path]:
    """The files of the shipped graphs by name; none of them is opened."""
    return {name: _path(file) for name, file in resources.graph_files()}


def parts() -> Mapping[str, Path]:
    """The files of the catalog parts by `kind/part`; none of them is opened."""
    return {name: _path(file) for name, file in resources.part_files()}


def part(name: str) -> Source | None:
    """The text of the part `kind/part` as it was written; None where there is none."""
    return resources.part_source(name)


def describe_graphs() -> tuple[Entry, ...]:
    """The shipped graphs in alphabetical order."""
    return tuple(_entry(name, "graph", read(path), path) for name, path in graphs().items())


def describe_parts(kinds: Container[str] | None = None) -> tuple[Entry, ...]:
    """The catalog parts (those of some `kinds`) in alphabetical order."""
    return tuple(
        _entry(name, name.partition("/")[0], source, path)
        for name, path in parts().items()
        if (kinds is None or name.partition("/")[0] in kinds) and (source := part(name)) is not None
    )


def _entry(name: str, kind: str, source: Source, path: Path) -> Entry:
    tree = parse(source)
    if tree.get("use") or tree.get("extends"):
        tree = compose(source)
    return Entry(name, kind, _text(tree, "type"), _text(tree, "description"), _text(tree, "source"), path)


def _text(tree: Tree, key: str) -> str:
    found = tree.get(key)
    return found.value if found and isinstance(found.value, str) else ""


def _path(file: Traversable) -> Path:
    return file if isinstance(file, Path) else Path(str(file))
