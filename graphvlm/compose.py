"""Composition: a graph, what it extends, overlays, overrides and parts become one tree.

Whole files merge first and parts are put in last, so that an overlay that names another part replaces the part
instead of merging with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn, TypeAlias

from . import resources
from .building import MAX_DEPTH, MAX_NAME, MAX_PROBLEMS, MAX_VALUES, clip
from .diagnostics import Diagnostic, GraphError, Label, Source, Span, did_you_mean
from .merging import merge, replaced, without
from .overrides import apply
from .source import parse, read
from .tree import Tree

PathOrText: TypeAlias = str | os.PathLike[str] | Source

MAX_CHARACTERS = 16 * 1024 * 1024
MAX_LABELS = 6
_PART_HELP = "a part is named `kind/part`, `graphvlm list` shows them; the name of a file ends in .yaml"
_SUFFIXES = (".yaml", ".yml")


def compose(path: PathOrText, overlays: Iterable[PathOrText] = (), overrides: Iterable[str] = ()) -> Tree:
    """The graph at `path` with `overlays`, then `overrides` (`dotted.key=value`) merged over it and its parts put in.

    Raises GraphError with every problem of the files, the overrides and the composition.
    """
    composer = _Composer()
    try:
        merged = composer.files([path, *overlays])
        for text in overrides:
            try:
                merged = apply(merged, text, composer.with_part)
            except GraphError as error:
                composer.note(error)
        result = composer.expand(merged)
    except _Stop:
        pass
    if composer.problems:
        raise GraphError(dict.fromkeys(composer.problems))
    return result


@dataclass(frozen=True, slots=True)
class _Expanded:
    """A tree without `use`, and how large it is."""

    tree: Tree
    values: int
    height: int


class _Stop(Exception):
    """There is no point in composing on."""


class _Composer:
    def __init__(self) -> None:
        self.problems: list[Diagnostic] = []
        self._characters = 0  # of the files so far
        self._part_names: list[str] = []
        self._read: dict[str, Tree | None] = {}
        self._active: list[Tree] = []  # the `use` values that are being put in, outermost first
        # Parts appear in many places and are expanded once. The key is an identity; the tree is held so that it stays.
        self._done: dict[int, tuple[Tree, _Expanded]] = {}

    # Whole files

    def files(self, paths: Iterable[PathOrText]) -> Tree:
        """The files merged in order."""
        trees = [tree for path in paths if (tree := self._graph(path)) is not None]
        if self.problems:
            raise _Stop
        merged = trees[0]
        for tree in trees[1:]:
            merged = merge(merged, tree)
        return merged

    def _graph(self, start: PathOrText) -> Tree | None:
        """A file merged over what it extends, and that over what it extends; parts are not put in yet."""
        tree = self._parsed(start) if isinstance(start, Source) else self._file(os.fspath(start), None)
        layers: list[Tree] = []
        chain: list[Tree] = []
        while tree is not None:
            layers.append(without(tree, "extends"))
            base = tree.get("extends")
            if base is None or base.value is None:
                break
            if any(base is seen for seen in chain):
                self._cycle("extends", chain, base)
                break
            chain.append(base)
            tree = self._extended(base)
        if tree is None:
            return None
        merged = layers.pop()
        for layer in reversed(layers):
            merged = merge(merged, layer)
        return merged

    def _extended(self, base: Tree) -> Tree | None:
        if isinstance(base.value, str) and base.value.endswith(_SUFFIXES):
            return self._file(_beside(base), base.span)
        shown = f"`{clip(base.value)}` is not" if isinstance(base.value, str) else "this is not"
        self._report("bad-extends", f"`extends` names the YAML file of another graph, {shown}", base.span)
        return None

    def _file(self, name: str, at: Span | None) -> Tree | None:
        """The tree of a file, read once; None after its problems have been noted."""
        try:
            key = os.path.realpath(name)
        except (OSError, ValueError):
            key = name
        if key in self._read:
            return self._read[key]
        try:
            source = read(name, at)
        except GraphError as error:  # not kept, so that every place that names the file is reported
            self.note(error)
            return None
        self._characters += len(source.text)
        if self._characters > MAX_CHARACTERS:
            message = f"the files of this graph are larger than {MAX_CHARACTERS // 1024**2} MiB together"
            self.note(
                GraphError([Diagnostic("too-large", message, at, help="check which files `extends:` each other")])
            )
            raise _Stop
        self._read[key] = self._parsed(source)
        return self._read[key]

    def _parsed(self, source: Source) -> Tree | None:
        try:
            return parse(source)
        except GraphError as error:
            self.note(error)
            return None

    # Parts

    def expand(self, tree: Tree) -> Tree:
        """`tree` with every part put in."""
        return self._expand(tree, 0).tree

    def with_part(self, tree: Tree) -> Tree:
        """A mapping with the part that it names merged under it, one level only: parts inside stay names."""
        return self._put_in(tree)[0]

    def _put_in(self, tree: Tree) -> tuple[Tree, list[Tree]]:
        """`with_part`, and the `use` values that were followed: a part may itself start from another."""
        names: list[Tree] = []
        while (name := tree.get("use")) is not None:
            rest = without(tree, "use")
            if any(name is seen for seen in (*self._active, *names)):
                self._cycle("use", [*self._active, *names], name)
                return rest, names
            names.append(name)
            part = self._part(name) if name.value is not None else None
            tree = rest if part is None else merge(part, rest)
        return tree, names

    def _expand(self, tree: Tree, depth: int) -> _Expanded:
        """A mapping or a sequence with every part inside it put in."""
        if id(tree) in self._done:
            done = self._done[id(tree)][1]
            if depth + done.height > MAX_DEPTH:
                self._too_deep(tree)
            return done
        if depth >= MAX_DEPTH:
            self._too_deep(tree)
        result, names = self._put_in(tree) if tree.get("use") is not None else (tree, [])
        outer = len(self._active)
        self._active += names
        expanded = self._expand_children(result, depth)
        del self._active[outer:]
        self._done[id(tree)] = (tree, expanded)
        return expanded

    def _expand_children(self, tree: Tree, depth: int) -> _Expanded:
        values, height = 1, 1
        changed: dict[str | int, Tree] = {}
        children: Iterable[tuple[str | int, Tree]] = tree.items() if tree.is_mapping else enumerate(tree.elements())
        for step, child in children:
            values += 2  # a key and a value
            if not (child.is_mapping or child.is_sequence):
                continue
            inner = self._expand(child, depth + 1)
            values += inner.values
            height = max(height, inner.height + 1)
            if values > MAX_VALUES:
                self._too_large(tree)
            if inner.tree is not child:
                changed[step] = inner.tree
        return _Expanded(replaced(tree, changed) if changed else tree, values, height)

    def _part(self, name: Tree) -> Tree | None:
        """The tree of the part that a `use` value names; None after saying why there is none."""
        value = name.value
        if not isinstance(value, str):
            self._report("bad-use", "`use` takes the name of a part, `kind/part`, or of a YAML file", name.span)
            return None
        if value.endswith(_SUFFIXES):
            if not name.span.source.name.startswith(resources.CATALOG):
                return self._file(_beside(name), name.span)
            self._report("bad-use", "a catalog part uses other parts by name, not files", name.span)
            return None
        if value not in self._read:
            source = resources.part_source(value)
            if source is None:
                message = f"the catalog has no part `{clip(value)}`"
                self._report("unknown-part", message, name.span, help=self._similar_part(value))
                return None
            self._read[value] = self._parsed(source)
        return self._read[value]

    def _similar_part(self, value: str) -> str:
        """What to write instead of a part that does not exist."""
        if not self._part_names:
            self._part_names = [name for name, _ in resources.part_files()]
        value = value[:MAX_NAME]
        if "/" not in value:
            by_tail = {name.partition("/")[2]: name for name in self._part_names}
            tail = get_close_matches(value, by_tail, n=1)
            return f"did you mean `{by_tail[tail[0]]}`?" if tail else _PART_HELP
        return did_you_mean(value, self._part_names) or _PART_HELP

    # Problems

    def _report(self, rule: str, message: str, span: Span, *labels: Label, help: str = "") -> None:
        self.note(GraphError([Diagnostic(rule, message, span, labels=labels, help=help)]))

    def note(self, error: GraphError) -> None:
        """Keep the diagnostics of `error` and go on, unless there are enough."""
        self.problems.extend(error.diagnostics)
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop

    def _cycle(self, key: str, chain: list[Tree], again: Tree) -> None:
        start = next(index for index, seen in enumerate(chain) if seen is again)
        circle = chain[start:]
        names = " -> ".join(clip(str(tree.value)) for tree in [*circle, again])
        labels = [Label(tree.span, "which leads on to this") for tree in circle[1:MAX_LABELS]]
        message = f"`{key}` goes round in a circle: {names}"
        self._report("composition-cycle", message, again.span, *labels, help=f"remove one `{key}` of the circle")

    def _too_deep(self, tree: Tree) -> NoReturn:
        message = f"with the parts put in, values are nested more than {MAX_DEPTH} deep"
        self._report("too-deep", message, tree.span, help="check which parts `use:` each other")
        raise _Stop

    def _too_large(self, tree: Tree) -> NoReturn:
        message = f"with the parts put in, the graph holds more than {MAX_VALUES:,} keys and values"
        self._report("too-large", message, tree.span, help="check which parts `use:` each other")
        raise _Stop


def _beside(name: Tree) -> str:
    """The path of the file that a value names, relative to the file the value is written in."""
    written_in = name.span.source.name
    folder = "" if written_in.startswith("<") else os.path.dirname(written_in)
    return os.path.normpath(os.path.join(folder, str(name.value)))
