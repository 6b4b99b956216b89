"""JSON text to a tree with places, within limits: depth, size, no duplicate keys, no infinite numbers."""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import NoReturn

from ..diagnostics import Diagnostic, GraphError, Source, Span
from ..tree import Scalar, Tree, mapping

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_NUMBER = 400  # characters: Python refuses integers of more than 4300 digits, and no configuration needs them

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_STRINGS = JSONDecoder()
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}


def parse_json(source: Source) -> Tree:
    """The value that `source` holds; `GraphError` names the first place where it is not JSON."""
    return _Parser(source).document()


class _Parser:
    """A recursive-descent parser; `at` is the offset of the next character."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._at = 0
        self._line = 1
        self._line_start = 0
        self._counted = 0

    def document(self) -> Tree:
        self._skip()
        if self._at == len(self._text):
            self._fail("the file is empty")
        tree = self._value(0)
        self._skip()
        if self._at != len(self._text):
            self._fail("there is something after the end of the JSON value")
        return tree

    def _value(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            self._fail(f"values are nested more than {MAX_DEPTH} deep")
        char = self._text[self._at : self._at + 1]
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        start, place = self._at, self._place()
        value = self._string() if char == '"' else self._word() if char.isalpha() else self._number()
        return Tree(value, self._span(start, place))

    def _object(self, depth: int) -> Tree:
        start, place = self._at, self._place()
        entries: dict[str, Tree] = {}
        keys: dict[str, Span] = {}
        while self._more("}", first=not entries):
            key_start, key_place = self._at, self._place()
            if self._text[self._at : self._at + 1] != '"':
                self._fail("expected a key in double quotes")
            key = self._string()
            keys_span = self._span(key_start, key_place)
            if key in entries:
                self._at = key_start
                self._fail(f"the key `{key}` is there twice")
            self._take(":")
            entries[key], keys[key] = self._value(depth + 1), keys_span
        return mapping(entries, self._span(start, place), keys)

    def _array(self, depth: int) -> Tree:
        start, place = self._at, self._place()
        elements: list[Tree] = []
        while self._more("]", first=not elements):
            elements.append(self._value(depth + 1))
        return Tree(tuple(elements), self._span(start, place))

    def _more(self, close: str, *, first: bool) -> bool:
        """Whether another entry follows; reads the bracket or comma before it, or the closing bracket."""
        if first:
            self._at += 1
            self._skip()
            if self._text[self._at : self._at + 1] != close:
                return True
        else:
            self._skip()
            char = self._text[self._at : self._at + 1]
            if char == ",":
                self._at += 1
                self._skip()
                return True
            if char != close:
                self._fail(f"expected `,` or `{close}`")
        self._at += 1
        return False

    def _string(self) -> str:
        try:
            value, self._at = _STRINGS.raw_decode(self._text, self._at)
        except JSONDecodeError as error:
            self._at = min(error.pos, len(self._text))
            self._fail(error.msg.lower())
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            self._fail("the string before this place holds half a surrogate pair")
        return str(value)

    def _word(self) -> Scalar:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        self._fail("expected a JSON value")

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            self._fail("expected a JSON value")
        if len(match[0]) > MAX_NUMBER:
            self._fail("the number is too long")
        self._at = match.end()
        return float(match[0]) if match[1] or match[2] else int(match[0])

    def _take(self, char: str) -> None:
        self._skip()
        if self._text[self._at : self._at + 1] != char:
            self._fail(f"expected `{char}`")
        self._at += 1
        self._skip()

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _place(self) -> tuple[int, int]:
        """Line and column of the next character, both from 1; lines are counted once, as the offset moves on."""
        newlines = self._text.count("\n", self._counted, self._at)
        if newlines:
            self._line += newlines
            self._line_start = self._text.rfind("\n", 0, self._at) + 1
        self._counted = max(self._counted, self._at)
        return self._line, self._at - self._line_start + 1

    def _span(self, start: int, place: tuple[int, int]) -> Span:
        end_line, end_column = self._place()
        return Span(self._source, *place, end_line, end_column)

    def _fail(self, what: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        span = Span(self._source, line, column, line, column + 1)
        raise GraphError([Diagnostic("invalid-config", f"this is not JSON that can be read: {what}", span)])
