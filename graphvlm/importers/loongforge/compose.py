"""The composed tree of a LoongForge file: its `defaults` and its interpolations, by a small safe subset of Hydra.

Nothing is executed and no environment is read. A file that `defaults` names must lie below the folder that holds the
groups, two levels above the file that names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from ...diagnostics import Diagnostic, GraphError, Span
from ...source import parse, read
from ...tree import Scalar, Tree, mapping
from ..findings import shown

MAX_DEPTH = 8  # of defaults in defaults
MAX_FILES = 64

_WORDS = ("act", "position_func", "loss_func")  # resolvers that give a function; here, its name
_RESOLVER = re.compile(r"\$\{(\w[\w.]*):(.*)\}", re.DOTALL)
_ENVIRONMENT = re.compile(r"\$\{oc\.env:\w+(?:,([^{}$]*))?\}")
_REPEATED = re.compile(r"\s*\[\s*(\d{1,4})\s*\]\s*(?:\*\s*(\d{1,4}))?\s*")


@dataclass(frozen=True, slots=True)
class Composed:
    """The tree, and where each package came from: `model.foundation` -> `qwen3/qwen3_8b`."""

    tree: Tree
    presets: MappingProxyType[str, str]
    path: Path


def compose(path: Path) -> Composed:
    """Read the file and everything that its defaults name."""
    composer = _Composer()
    tree = composer.compose(path, "", 0, None)
    return Composed(_interpolated(tree), MappingProxyType(composer.presets), path)


def preset_of(path: Path) -> str:
    """`qwen3/qwen3_8b`: how LoongForge calls a file, by its folder and its name."""
    return f"{path.parent.name}/{path.stem}"


class _Composer:
    def __init__(self) -> None:
        self.presets: dict[str, str] = {}
        self._files = 0

    def compose(self, path: Path, package: str, depth: int, at: Span | None) -> Tree:
        """The file with its defaults merged below it, in their order; itself where `_self_` stands, else at the end."""
        self._files += 1
        if depth > MAX_DEPTH or self._files > MAX_FILES:
            _refuse("`defaults` name files that name others without an end", at)
        source = read(path, at)
        tree = parse(source)
        own = without(tree, "defaults", "hydra")
        listed = tree.get("defaults")
        result, placed = mapping({}, tree.span, {}), False
        for entry in listed.elements() if listed is not None else ():
            if entry.value == "_self_":
                result, placed = merged(result, own), True
            else:
                result = merged(result, self._default(path, entry, package, depth))
        return result if placed else merged(result, own)

    def _default(self, path: Path, entry: Tree, package: str, depth: int) -> Tree:
        """One entry: `group@package: option`, or the name of a file beside this one."""
        pairs = list(entry.items())
        if len(pairs) == 1 and isinstance(pairs[0][1].value, str):
            (group, option), place = pairs[0], pairs[0][1].span
            folder, _, below = group.partition("@")
            name = f"{folder}/{option.value}"
        elif isinstance(entry.value, str):
            name, below, place = entry.value, "", entry.span
        else:
            _refuse("an entry of `defaults` is `_self_`, the name of a file, or `group@package: option`", entry.span)
        file = _within(path, name, place)
        inner = ".".join(part for part in (package, below) if part)
        if below:
            self.presets[inner] = preset_of(file)
        tree = self.compose(file, inner, depth + 1, place)
        for part in reversed(below.split(".") if below else ()):
            tree = mapping({part: tree}, tree.span, {part: place})
        return tree


def _within(path: Path, name: str, place: Span) -> Path:
    """The file that a default means; it must lie below the folder of the groups."""
    if not re.fullmatch(r"[\w./-]{1,200}", name, re.ASCII) or name.startswith("/"):
        _refuse(f"`{shown(name)}` is no group and option that can be looked up", place)
    here = path.parent.resolve()
    file = (here / f"{name}.yaml").resolve()
    if not file.is_relative_to(here.parent.parent):
        _refuse(f"`{shown(name)}` leads out of the folder of the model definitions", place)
    return file


def without(tree: Tree, *keys: str) -> Tree:
    """A mapping less some keys."""
    entries = {key: inner for key, inner in tree.items() if key not in keys}
    return mapping(entries, tree.span, {key: tree.key_span(key) for key in entries})


def merged(below: Tree, above: Tree) -> Tree:
    """Two trees as one: mappings key by key, anything else from `above`."""
    if not (below.is_mapping and above.is_mapping):
        return above
    entries, keys = dict(below.items()), {key: below.key_span(key) for key, _ in below.items()}
    for key, inner in above.items():
        entries[key] = merged(entries[key], inner) if key in entries else inner
        keys[key] = above.key_span(key)
    return mapping(entries, above.span, keys)


def _interpolated(tree: Tree) -> Tree:
    """The tree with every `${...}` in it resolved."""
    if tree.is_mapping:
        entries = {key: _interpolated(inner) for key, inner in tree.items()}
        return mapping(entries, tree.span, {key: tree.key_span(key) for key in entries})
    if tree.is_sequence:
        return replace(tree, value=tuple(_interpolated(inner) for inner in tree.elements()))
    if isinstance(tree.value, str) and "${" in tree.value:
        return _resolved(tree, tree.value)
    return tree


def _resolved(tree: Tree, text: str) -> Tree:
    if _ENVIRONMENT.search(text):  # the environment is not read: its name stands for it, or its default
        plain = _ENVIRONMENT.sub(lambda found: found[1] if found[1] is not None else "", text)
        return replace(tree, value=plain)
    found = _RESOLVER.fullmatch(text)
    if found and found[1] in _WORDS:
        return replace(tree, value=found[2].strip())
    if found and found[1] == "moe_freq":
        return replace(tree, value=tuple(Tree(flag, tree.span) for flag in _pattern(tree, found[2])))
    _refuse(f"the interpolation `{shown(text)}` is not one that LoongForge's model definitions use", tree.span)


def _pattern(tree: Tree, text: str) -> list[Scalar]:
    """`"[0]*3+[1]*58"`: which layers have experts."""
    flags: list[Scalar] = []
    for part in text.strip().strip("\"'").split("+"):
        found = _REPEATED.fullmatch(part)
        if found is None:
            _refuse(f"`{shown(text)}` is no pattern of layers such as `[0]*3+[1]*58`", tree.span)
        flags += [int(found[1])] * int(found[2] or 1)
    return flags


def _refuse(message: str, at: Span | None) -> NoReturn:
    raise GraphError([Diagnostic("invalid-config", message, at)])
