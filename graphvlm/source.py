"""Files to texts and texts to trees: `read` and `parse`.

YAML goes through the events of libyaml, which carry marks and construct nothing: no tag is ever resolved, and a tree
costs about a microsecond a value. Whatever the bytes, the only exception is GraphError.
"""

from __future__ import annotations

import os
import re
import stat

import yaml

from .building import TreeBuilder
from .diagnostics import Diagnostic, GraphError, Label, Source, Span, did_you_mean
from .tree import Tree

MAX_BYTES = 4 * 1024 * 1024

# What YAML allows in a text; a byte order mark is taken off when a file is read.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

# Refused before libyaml reads it: its time is quadratic in the number of tag directives.
_TAG_DIRECTIVE = re.compile(r"^%TAG\b", re.MULTILINE)

_SYNTAX_HELP = (
    (
        re.compile("mapping values are not allowed"),
        "put a value that contains `: ` in quotes, or check the indentation",
    ),
    (re.compile("cannot start any token"), "put a value that starts with a reserved character in quotes"),
    (re.compile("expected ',' or"), "close the bracket, or add the missing comma"),
    (re.compile("never closed"), "close the quote"),
    (re.compile("could not find expected ':'"), "write `key: value`, with a space after the colon"),
    (re.compile("did not find expected (key|'-')|block (end|sequence|mapping)|not allowed"), "check the indentation"),
)


def read(path: str | os.PathLike[str], at: Span | None = None) -> Source:
    """The text of the file at `path`. `at` is the place that names the file, for the diagnostics."""
    name = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            # A pipe or a device may never end.
            raise _unreadable(name, "is a directory" if os.path.isdir(name) else "is not a regular file", at)
        with open(name, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(name, "does not exist", at, _similar_file(name)) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unreadable(name, f"cannot be read: {reason.lower()}", at) from None
    if len(data) > MAX_BYTES:
        raise GraphError([_too_large(name, at)])
    return decode(data, name)


def decode(data: bytes, name: str) -> Source:
    """The text of `data`, which must be UTF-8; `name` is what diagnostics call it."""
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        source = Source(name, before + "\ufffd" + data[error.start + 1 :].decode("utf-8", "replace"))
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        message = "the file is UTF-16, not UTF-8" if wide else f"byte 0x{data[error.start]:02x} is not UTF-8"
        problem = Diagnostic("not-text", message, _at(source, len(before)), help="save the file as UTF-8")
        raise GraphError([problem]) from None


def parse(source: Source) -> Tree:
    """The tree of a YAML file, which must hold one mapping. Raises GraphError with every problem found."""
    tree = parse_value(source, source.text)
    if tree.is_mapping:
        return tree
    if tree.value is None:
        message, edit = "there is nothing in this file", "`graphvlm new` writes a graph to start from"
        raise GraphError([Diagnostic("empty-file", message, _at(source, 0), help=edit)])
    what = "a list" if tree.is_sequence else "one value"
    message = f"a graph is a mapping of keys to values, this is {what}"
    raise GraphError([Diagnostic("not-a-mapping", message, tree.span, help="start with `version: 1`")])


def parse_value(source: Source, text: str) -> Tree:
    """The tree of any YAML value. `text` is `source.text`, or the same with blanks where something else is written."""
    _check_text(source, text)
    builder = TreeBuilder(source, text)
    try:
        builder.run()
    except yaml.MarkedYAMLError as error:
        builder.problems.append(_syntax(source, text, error))
    except yaml.YAMLError as error:
        builder.problems.append(Diagnostic("yaml-syntax", f"not valid YAML: {error}", _at(source, 0)))
    if builder.problems:
        raise GraphError(dict.fromkeys(builder.problems))
    return builder.root or Tree(None, _at(source, 0))


def _check_text(source: Source, text: str) -> None:
    if len(text) > MAX_BYTES:
        raise GraphError([_too_large(source.name, None)])
    if found := _FORBIDDEN.search(text):
        code = f"U+{ord(found[0]):04X}"
        message = f"the character {code} may not stand in a YAML file"
        edit = "remove it, or write it as an escape in a double-quoted value"
        raise GraphError([Diagnostic("not-text", message, _at(source, found.start()), help=edit)])
    if found := _TAG_DIRECTIVE.search(text):
        message = "tag directives are not allowed: a graph holds values, never types or code"
        raise GraphError([Diagnostic("yaml-tag", message, _at(source, found.start()), help="remove the line")])


def _syntax(source: Source, text: str, error: yaml.MarkedYAMLError) -> Diagnostic:
    problem = error.problem or "syntax error"
    mark = error.problem_mark or error.context_mark
    span = _mark(source, mark) if mark else _at(source, 0)
    if "tag handle" in problem:
        return Diagnostic("yaml-tag", "tags are not allowed in a graph", span, help="remove the tag")
    labels: tuple[Label, ...] = ()
    context = error.context_mark
    if context and error.context and (context.line, context.column) != (span.line - 1, span.column - 1):
        place = _mark(source, context)
        labels = (Label(place, error.context),)
        if "end of stream" in problem:  # the start is what has to change, not the end of the file
            span, labels = place, ()
            problem = f"the quote is never closed ({error.context})"
    edit = next((edit for pattern, edit in _SYNTAX_HELP if pattern.search(problem)), "")
    if mark and _char_at(text, mark.line, mark.column) == "\t":
        edit = "indent with spaces: YAML allows no tabs there"
    return Diagnostic("yaml-syntax", f"not valid YAML: {problem}", span, labels=labels, help=edit)


def _mark(source: Source, mark: yaml.Mark) -> Span:
    """The character at a mark; the end of the last line that says anything, if the mark is past it."""
    before = source.text.rstrip()
    lines = before.splitlines() or [""]
    if mark.line >= len(lines):
        return Span(source, len(lines), len(lines[-1]) + 1, len(lines), len(lines[-1]) + 2)
    return Span(source, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)


def _char_at(text: str, line: int, column: int) -> str:
    lines = text.splitlines()
    return lines[line][column : column + 1] if line < len(lines) else ""


def _at(source: Source, index: int) -> Span:
    """The span of the character at `index`."""
    lines = (source.text[:index] + "x").splitlines()
    line, column = len(lines), len(lines[-1])
    return Span(source, line, column, line, column + 1)


def _unreadable(name: str, reason: str, at: Span | None, edit: str = "") -> GraphError:
    return GraphError([Diagnostic("unreadable-file", f"`{name}` {reason}", at, help=edit)])


def _too_large(name: str, at: Span | None) -> Diagnostic:
    message = f"`{name}` is larger than {MAX_BYTES // 1024**2} MiB"
    return Diagnostic("too-large", message, at, help="split the graph with `use:` or `extends:`")


def _similar_file(name: str) -> str:
    folder, base = os.path.split(name)
    try:
        siblings = [entry for entry in os.listdir(folder or ".") if entry.endswith((".yaml", ".yml"))]
    except (OSError, ValueError):
        return ""
    return did_you_mean(base, siblings)
