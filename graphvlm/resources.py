"""The data that comes with the compiler: schemas, graphs with their parts, templates. It may lie in a zip file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

from .diagnostics import Source
from .source import decode

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from jinja2 import BaseLoader

# How the files of the catalog are called in diagnostics: where they lie on a disk says nothing to a user.
CATALOG = "<catalog>/"

# What a part may be called. No dots at the start and no separators: a name never leaves the catalog.
PART_NAME = re.compile(r"([a-z0-9][a-z0-9_-]*)/([a-z0-9][a-z0-9_.-]*)")


def schemas() -> Traversable:
    """The folder of JSON Schemas."""
    return files("graphvlm.schemas")


def graphs() -> Traversable:
    """The folder of ready graphs."""
    return files("graphvlm.graphs")


def templates(profile: str = "") -> BaseLoader:
    """The loader of the code templates; those of a `profile` first, and then all others below `plain/` too."""
    from jinja2 import ChoiceLoader, PackageLoader, PrefixLoader

    usual = PackageLoader("graphvlm.codegen_templates", "")
    if not profile:
        return usual
    own = PackageLoader("graphvlm.codegen_templates", profile)
    return ChoiceLoader([own, usual, PrefixLoader({"plain": usual})])


def graph_files() -> Iterator[tuple[str, Traversable]]:
    """The shipped graphs by name, in alphabetical order."""
    yield from _yaml_files(graphs())


def part_files() -> Iterator[tuple[str, Traversable]]:
    """The catalog parts as `kind/part`, in alphabetical order."""
    kinds = [entry for entry in graphs().joinpath("catalog").iterdir() if entry.is_dir()]
    for kind in sorted(kinds, key=lambda entry: entry.name):
        for name, file in _yaml_files(kind):
            yield f"{kind.name}/{name}", file


def part_file(name: str) -> Traversable | None:
    """The file of the catalog part `kind/part`; None where there is none."""
    found = PART_NAME.fullmatch(name)
    if found is None:
        return None
    file = graphs().joinpath("catalog", found[1], f"{found[2]}.yaml")
    return file if file.is_file() else None


def part_source(name: str) -> Source | None:
    """The text of the catalog part `kind/part`; None where there is none."""
    file = part_file(name)
    return decode(file.read_bytes(), f"{CATALOG}{name}.yaml") if file is not None else None


def _yaml_files(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml") and entry.is_file())
    for name in names:
        yield name.removesuffix(".yaml"), folder.joinpath(name)
