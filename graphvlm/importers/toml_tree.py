"""TOML text to a tree with places. The places are those of lines that write a key: enough to point at."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from ..diagnostics import Diagnostic, GraphError, Source, Span
from ..tree import Tree, mapping

_TABLE = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}")
_ENTRY = re.compile(r"(\s*)([A-Za-z0-9_\-.\"']+)(\s*=\s*)([^\n]*)")
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")

_Path = tuple[str, ...]


def parse_toml(source: Source) -> Tree:
    """The tables that `source` holds; `GraphError` names the place where it is not TOML."""
    try:
        values = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise GraphError([_broken(source, str(error))]) from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets thousands deep
        raise GraphError([_broken(source, "it is nested too deeply, or holds a number that is too long")]) from None
    places = _places(source)
    return _tree(values, (), places, Span(source, 1, 1, 1, 1))


def is_toml(text: str) -> bool:
    """Whether a text is TOML that says something."""
    try:
        return bool(tomllib.loads(text))
    except (ValueError, RecursionError):
        return False


def _broken(source: Source, reason: str) -> Diagnostic:
    place = _PLACE.search(reason)
    line, column = (int(place[1]), int(place[2])) if place and place[1] else (max(source.text.count("\n"), 1), 1)
    what = _PLACE.sub("", reason).strip().lower()
    span = Span(source, line, column, line, column + 1)
    return Diagnostic("invalid-config", f"this is not TOML that can be read: {what}", span)


def _places(source: Source) -> dict[_Path, tuple[Span, Span]]:
    """Path of keys -> where the key and where its value is written, the first time."""
    found: dict[_Path, tuple[Span, Span]] = {}
    table: _Path = ()
    for number, line in enumerate(source.text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = _split(header[1])
            span = Span(source, number, header.start(1) + 1, number, header.end(1) + 1)
            found.setdefault(table, (span, span))
        elif entry := _ENTRY.match(line):
            value = re.sub(r"\s+#.*$", "", entry[4]).rstrip()
            key = Span(source, number, entry.start(2) + 1, number, entry.end(2) + 1)
            start = entry.start(4) + 1
            found.setdefault(table + _split(entry[2]), (key, Span(source, number, start, number, start + len(value))))
    return found


def _split(name: str) -> _Path:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


def _tree(value: Any, path: _Path, places: dict[_Path, tuple[Span, Span]], outer: Span) -> Tree:
    span = places[path][1] if path in places else outer
    if isinstance(value, dict):
        entries = {key: _tree(inner, (*path, key), places, span) for key, inner in value.items()}
        keys = {key: places[(*path, key)][0] for key in value if (*path, key) in places}
        return mapping(entries, span, keys)
    if isinstance(value, list):
        return Tree(tuple(_tree(inner, path, places, span) for inner in value), span)
    return Tree(value if isinstance(value, (str, int, float, bool)) else str(value), span)  # a date is no setting
