"""Writes a graph as YAML for people: short mappings on one line, and numbers that YAML 1.1 reads as numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from types import MappingProxyType
from typing import Any

WIDTH = 110

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*( [A-Za-z0-9_(][A-Za-z0-9_./+()-]*)*", re.ASCII)
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


Path = tuple[str, ...]
Notes = Mapping[Path, str]


def write_yaml(graph: Mapping[str, Any], notes: Notes = MappingProxyType({})) -> str:
    """The text of a graph; `inputs`, `nodes` and `outputs` spread over lines and stand apart.

    `notes` are comments, by the path of the value that each is about; they stand above its line.
    """
    lines: list[str] = []
    previous = None
    for key, value in graph.items():
        apart = key in _APART or previous in _APART
        if lines and apart:
            lines.append("")
        if key in _APART:
            lines.append(f"{key}:")
            for name, entry in value.items():
                lines.extend(_entry((key, name), entry, notes, spread=key == "nodes"))
        else:
            lines.extend(_entry((key,), value, notes))
        previous = key
    return "\n".join(lines) + "\n"


_APART = ("inputs", "nodes", "outputs")


def _entry(path: Path, value: Any, notes: Notes, *, spread: bool = False) -> Iterator[str]:
    """One key and its value: on one line where it fits and nothing asks for more."""
    indent = "  " * (len(path) - 1)
    start = f"{indent}{_scalar(path[-1])}:"
    line = f"{start} {_flow(value)}"
    fits = len(line) <= WIDTH and not spread
    opened = isinstance(value, Mapping) and value and not fits
    for about, note in notes.items():
        if about == path or (not opened and about[: len(path)] == path):
            yield from _comment(note, indent)
    if opened:
        yield start
        for name, inner in value.items():
            yield from _entry((*path, name), inner, notes)
    elif isinstance(value, list) and not fits and any(isinstance(inner, Mapping) for inner in value):
        yield start
        for inner in value:
            yield from _item(path, inner, indent)
    else:
        yield line


def _item(path: Path, value: Any, indent: str) -> Iterator[str]:
    """An item of a list, a mapping over several lines where it does not fit on one."""
    line = f"{indent}  - {_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, Mapping):
        yield line
        return
    # A mapping in a list stands four columns further in than the key of the list.
    lines = [line for key, inner in value.items() for line in _entry((*path, "", key), inner, {})]
    yield lines[0][: len(indent) + 2] + "- " + lines[0][len(indent) + 4 :]
    yield from lines[1:]


def _comment(note: str, indent: str) -> Iterator[str]:
    return (f"{indent}# {line}" for line in wrap(note, WIDTH - len(indent), break_on_hyphens=False))


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text)


def _number(value: float) -> str:
    """`1e-05` as `1.0e-5`: without the point, YAML 1.1 reads a word."""
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    sign = "-" if exponent.startswith("-") else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent.lstrip('+-').lstrip('0')}"
