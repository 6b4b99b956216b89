"""YAML events to a tree with places, without recursion and within limits."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from .diagnostics import Diagnostic, Label, Source, Span, did_you_mean
from .scalars import NumberOutOfRange, resolve
from .tree import NO_KEYS, Scalar, Tree, mapping

MAX_DEPTH = 64
MAX_VALUES = 250_000
MAX_PROBLEMS = 100
MAX_NAME = 200

# libyaml's parser is 20 times faster; both give the same events.
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Anchor and tag before a value, and the blanks and comments after each.
_PROPERTIES = re.compile(r"(?:[&!](?:<[^>\s]*>|[^\s,\[\]{}]*)(?:\s+(?:#[^\r\n]*)?)*)*")
_KEY_HELP = "write a name before the colon"
_TAG = re.compile(r"![^\s,\[\]{}]*")


class _Stop(Exception):
    """There is no point in reading on."""


@dataclass(slots=True)
class _Frame:
    """A mapping or sequence that is still open."""

    event: Any
    is_mapping: bool
    is_key: bool
    start: tuple[int, int]
    end: tuple[int, int]
    before: int
    height: int = 1
    wants_key: bool = True
    key: str | None = None  # None while the key that was read cannot be used
    entries: dict[str, Tree] = field(default_factory=dict)
    keys: dict[str, Span] = field(default_factory=dict)
    elements: list[Tree] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Anchored:
    tree: Tree
    size: int
    height: int


class TreeBuilder:
    """Builds one tree. After `run`, `root` is the tree (None for an empty text) and `problems` what is wrong."""

    def __init__(self, source: Source, text: str) -> None:
        self.root: Tree | None = None
        self.problems: list[Diagnostic] = []
        self._source = source
        self._text = text
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._resolved: dict[str, Scalar] = {}
        self._count = 0  # keys and values so far, those behind aliases included
        self._has_document = False
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            ScalarEvent: self._scalar,
            MappingStartEvent: self._start,
            SequenceStartEvent: self._start,
            MappingEndEvent: self._end,
            SequenceEndEvent: self._end,
            AliasEvent: self._alias,
            DocumentStartEvent: self._start_document,
        }

    def run(self) -> None:
        """Read all events. Raises yaml.YAMLError where the text is not YAML."""
        with suppress(_Stop), _paused_collector():
            self._read_events(_Loader(self._text).get_event)

    def _read_events(self, next_event: Callable[[], Any]) -> None:
        handlers = self._handlers
        while (kind := type(event := next_event())) is not StreamEndEvent:
            if kind in handlers:
                handlers[kind](event)
                if self._count > MAX_VALUES:
                    self._too_large(event)

    # One method an event

    def _start_document(self, event: Any) -> None:
        if self._has_document:
            mark = event.start_mark
            span = Span(self._source, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 4)
            edit = "keep one graph in a file; overlays are files of their own"
            self._report("multiple-documents", "the file holds more than one document", span, help=edit)
            raise _Stop
        self._has_document = True

    def _scalar(self, event: Any) -> None:
        self._count += 1
        plain_event = event.tag is None and event.anchor is None
        span = _span(self._source, event) if plain_event else self._span(event)
        value: Scalar = event.value
        if event.tag is not None:
            self._refuse_tag(event)
        elif not event.style:
            value = self._resolve(event.value, span)
        tree = Tree(value, span, NO_KEYS)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(tree, 1, 0)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.wants_key and frame.is_mapping:
            self._key(frame, tree, event)
        else:
            self._add(tree, 0, (span.end_line, span.end_column))

    def _start(self, event: Any) -> None:
        span = self._span(event)
        if len(self._stack) >= MAX_DEPTH:
            self._too_deep(span)
        if event.tag is not None:
            self._refuse_tag(event)
        parent = self._stack[-1] if self._stack else None
        is_key = parent is not None and parent.is_mapping and parent.wants_key
        if is_key:
            self._report("non-text-key", "a key must be text, this is a list or a mapping", span, help=_KEY_HELP)
        start, end = (span.line, span.column), (span.end_line, span.end_column)
        self._stack.append(_Frame(event, type(event) is MappingStartEvent, is_key, start, end, self._count))
        self._count += 1

    def _end(self, event: Any) -> None:
        frame = self._stack.pop()
        # A block collection ends, for libyaml, where the next thing starts; for a reader, with its last value.
        end = (event.end_mark.line + 1, event.end_mark.column + 1) if frame.event.flow_style else frame.end
        span = Span(self._source, *frame.start, *end)
        tree = mapping(frame.entries, span, frame.keys) if frame.is_mapping else Tree(tuple(frame.elements), span)
        if frame.is_key:
            self._stack[-1].wants_key = False
            return
        if frame.event.anchor is not None:
            self._anchors[frame.event.anchor] = _Anchored(tree, self._count - frame.before, frame.height)
        self._add(tree, frame.height, end)

    def _alias(self, event: Any) -> None:
        span = _span(self._source, event)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.is_mapping and frame.wants_key:
            self._report(
                "non-text-key", f"a key must be text, not the alias `*{clip(event.anchor)}`", span, help=_KEY_HELP
            )
            frame.key, frame.wants_key = None, False
            return
        anchored = self._anchored(event.anchor, span)
        if self._count + anchored.size > MAX_VALUES:
            message = f"the aliases of this file expand to more than {MAX_VALUES:,} values"
            edit = "write what is repeated into a file or a catalog part, and `use:` it"
            self._report("alias-bomb", message, span, help=edit)
            raise _Stop
        if len(self._stack) + anchored.height > MAX_DEPTH:
            self._too_deep(span)
        self._count += anchored.size
        self._add(anchored.tree, anchored.height, (span.end_line, span.end_column))

    # Their parts

    def _span(self, event: Any) -> Span:
        if event.anchor is None and event.tag is None:
            return _span(self._source, event)
        # The event starts at its anchor or tag; the value starts after it.
        start, end = event.start_mark, event.end_mark
        if not getattr(event, "value", "collection") and not event.style:
            return Span(self._source, end.line + 1, end.column + 1, end.line + 1, end.column + 1)
        found = _PROPERTIES.match(self._text, start.index)
        line, column = _moved(start, found[0] if found else "")
        return Span(self._source, line, column, max(end.line + 1, line), end.column + 1)

    def _resolve(self, text: str, span: Span) -> Scalar:
        if text in self._resolved:
            return self._resolved[text]
        try:
            value = self._resolved[text] = resolve(text)
            return value
        except NumberOutOfRange:
            message = f"`{clip(text)}` is not a number that a model can use"
            self._report("number-out-of-range", message, span, help="write a finite number of ordinary size")
            return None

    def _anchored(self, name: str, span: Span) -> _Anchored:
        broken = _Anchored(Tree(None, span), 1, 0)
        for frame in self._stack:
            if frame.event.anchor == name:
                place = Span(self._source, *frame.start, frame.start[0], frame.start[1] + 1)
                message = f"the alias `*{clip(name)}` stands inside the value it repeats"
                self._report("alias-bomb", message, span, Label(place, "this value"), help="remove the alias")
                return broken
        if name not in self._anchors:
            # Comparing names takes a while: a hostile file could have a hundred thousand of them.
            edit = did_you_mean(name[:MAX_NAME], self._anchors) if len(self._anchors) <= MAX_NAME else ""
            self._report("unknown-anchor", f"there is no anchor `&{clip(name)}` before this alias", span, help=edit)
            return broken
        return self._anchors[name]

    def _key(self, frame: _Frame, tree: Tree, event: Any) -> None:
        key, span = tree.value, tree.span
        frame.key, frame.wants_key = None, False
        frame.end = (span.end_line, span.end_column)
        if isinstance(key, str) and key not in frame.keys and (key != "<<" or event.style):
            frame.key = key
            frame.keys[key] = span
        else:
            self._refuse_key(frame, key, span, clip(event.value))

    def _refuse_key(self, frame: _Frame, key: Any, span: Span, written: str) -> None:
        if not isinstance(key, str):
            message = f"a key must be text, `{written}` is not" if written else "there is no key before this colon"
            edit = f'write it in quotes: `"{written}"`' if written else "write the key"
            self._report("non-text-key", message, span, help=edit)
        elif key not in frame.keys:
            edit = "write `use:` for a part or a file, or `extends:` for a whole graph"
            self._report("merge-key", "the merge key `<<` is not part of the language", span, help=edit)
        else:
            message = f"the key `{written}` is written twice in one mapping"
            first = Label(frame.keys[key], "first written here")
            self._report("duplicate-key", message, span, first, help="remove one of them")

    def _add(self, tree: Tree, height: int, end: tuple[int, int]) -> None:
        """Put a finished value, written up to `end`, where it belongs."""
        if not self._stack:
            self.root = tree
            return
        frame = self._stack[-1]
        frame.end = end
        if height >= frame.height:
            frame.height = height + 1
        if not frame.is_mapping:
            frame.elements.append(tree)
            return
        frame.wants_key = True
        if frame.key is not None:
            frame.entries[frame.key] = tree

    def _too_large(self, event: Any) -> None:
        message = f"the file holds more than {MAX_VALUES:,} keys and values"
        self._report("too-large", message, self._span(event), help="split the graph with `use:` or `extends:`")
        raise _Stop

    def _too_deep(self, span: Span) -> None:
        message = f"values are nested more than {MAX_DEPTH} deep"
        self._report(
            "too-deep", message, span, help="write fewer levels, or move the inner ones to a file and `use:` it"
        )
        raise _Stop

    def _refuse_tag(self, event: Any) -> None:
        start = event.start_mark
        found = _TAG.search(self._text, start.index)
        tag = found[0] if found else "!"
        line, column = _moved(start, self._text[start.index : found.start()] if found else "")
        span = Span(self._source, line, column, line, column + len(tag))
        message = f"the tag `{clip(tag)}` is not allowed: a graph holds values, never types or code"
        self._report("yaml-tag", message, span, help="remove the tag")

    def _report(self, rule: str, message: str, span: Span, *labels: Label, help: str = "") -> None:
        self.problems.append(Diagnostic(rule, message, span, labels=labels, help=help))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop


@contextmanager
def _paused_collector() -> Iterator[None]:
    """No cyclic garbage collection: a tree has no cycles, and looking for them takes as long as building it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def clip(text: str, width: int = 60) -> str:
    """`text` on one line and not longer than `width`, for a message."""
    line = " ".join(text[: 4 * width].split())
    return line if len(line) <= width and len(text) <= 4 * width else line[: width - 1] + "…"


def _moved(mark: Any, skipped: str) -> tuple[int, int]:
    """The line and column after `skipped`, which starts at `mark`."""
    lines = (skipped + "x").splitlines()
    return mark.line + len(lines), len(lines[-1]) + (mark.column if len(lines) == 1 else 0)


def _span(source: Source, event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(source, start.line + 1, start.column + 1, end.line + 1, end.column + 1)
