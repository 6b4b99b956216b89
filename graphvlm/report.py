"""Diagnostics as text for people, one line each, JSON, GitHub annotations or SARIF."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

from . import __version__
from .diagnostics import Diagnostic, Label, Span
from .excerpt import Mark, Paint, excerpts, visible

_CODES: Final = {
    "error": "1;31",
    "warning": "1;33",
    "primary": "1;31",
    "label": "1;34",
    "gutter": "1;34",
    "message": "1",
    "help": "1;36",
}
_MAX_TEXT = 1000


def render(diagnostics: Iterable[Diagnostic], format: str = "text", *, colour: bool = False) -> str:
    """`diagnostics` in one of FORMATS; every format ends with a line break, and is empty text where it has no lines."""
    return FORMATS[format](list(diagnostics), _painter(colour))


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors and 1 warning`."""
    counts = {severity: sum(each.severity == severity for each in diagnostics) for severity in ("error", "warning")}
    parts = [f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items() if count]
    return " and ".join(parts) or "no problems"


def _painter(colour: bool) -> Paint:
    if not colour:
        return lambda text, style: text
    return lambda text, style: f"\033[{_CODES[style]}m{text}\033[0m" if text else text


# For people


def _text(diagnostics: Sequence[Diagnostic], paint: Paint) -> str:
    if not diagnostics:
        return ""
    blocks = ["\n".join(_block(each, paint)) for each in diagnostics]
    return "\n\n".join([*blocks, paint(summary(diagnostics), "message")]) + "\n"


def _block(diagnostic: Diagnostic, paint: Paint) -> Iterator[str]:
    head = paint(f"{diagnostic.severity}[{diagnostic.rule}]", diagnostic.severity)
    yield head + paint(f": {_line(diagnostic.message)}", "message")
    marks = [Mark(diagnostic.span, _line(diagnostic.note), True)] if diagnostic.span else []
    marks += [Mark(label.span, _line(label.text), False) for label in diagnostic.labels]
    if marks:
        yield from excerpts(marks, paint)
    elif diagnostic.note:
        yield paint("note", "help") + f": {_line(diagnostic.note)}"
    if diagnostic.help:
        yield paint("help", "help") + f": {_line(diagnostic.help)}"
    yield paint("see", "help") + f": graphvlm explain {diagnostic.rule}"


def _concise(diagnostics: Sequence[Diagnostic], paint: Paint) -> str:
    return "".join(f"{_concise_line(each, paint)}\n" for each in diagnostics)


def _concise_line(diagnostic: Diagnostic, paint: Paint) -> str:
    span = diagnostic.span
    place = f"{visible(span.source.name)}:{span.line}:{span.column}: " if span else ""
    rule = paint(f"{diagnostic.severity}[{diagnostic.rule}]", diagnostic.severity)
    return f"{place}{rule}: {_line(diagnostic.message)}"


def _line(text: str) -> str:
    """`text` fit for one line of a terminal."""
    line = visible(" ".join(text[: _MAX_TEXT + 1].splitlines()).replace("\t", " "))
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"


# For programs


def _json(diagnostics: Sequence[Diagnostic], paint: Paint) -> str:
    errors = sum(each.severity == "error" for each in diagnostics)
    document = {
        "diagnostics": [_record(each) for each in diagnostics],
        "errors": errors,
        "warnings": len(diagnostics) - errors,
    }
    return json.dumps(document, indent=2) + "\n"


def _record(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "rule": diagnostic.rule,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "note": diagnostic.note,
        "help": diagnostic.help,
        "place": _place(diagnostic.span),
        "labels": [{"text": label.text, "place": _place(label.span)} for label in diagnostic.labels],
    }


def _place(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    return {
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def _github(diagnostics: Sequence[Diagnostic], paint: Paint) -> str:
    return "".join(f"{_annotation(each)}\n" for each in diagnostics)


def _annotation(diagnostic: Diagnostic) -> str:
    properties = {"title": f"graphvlm ({diagnostic.rule})"}
    span = diagnostic.span
    message = diagnostic.message
    if span is not None and _is_file(span):
        # GitHub shows end columns only within one line.
        end = {"endColumn": span.end_column} if span.end_line == span.line else {}
        places = {"file": span.source.name, "line": span.line, "endLine": span.end_line, "col": span.column, **end}
        properties |= {key: str(value) for key, value in places.items()}
    elif span is not None:
        message = f"{span!r}: {message}"
    lines = [message, *(f"{label.span!r}: {label.text}" for label in diagnostic.labels)]
    lines += [f"help: {diagnostic.help}"] if diagnostic.help else []
    written = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{diagnostic.severity} {written}::{_escaped(chr(10).join(lines), '')}"


def _escaped(text: str, more: str) -> str:
    """`text` for a workflow command, which knows line breaks and its own separators only as percent codes."""
    safe = "".join(each if each == "\n" else visible(each) for each in text)
    for character in f"%\r\n{more}":
        safe = safe.replace(character, f"%{ord(character):02X}")
    return safe


def _sarif(diagnostics: Sequence[Diagnostic], paint: Paint) -> str:
    rules = list(dict.fromkeys(each.rule for each in diagnostics))
    driver = {"name": "graphvlm", "version": __version__, "rules": [_sarif_rule(name) for name in rules]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(each, rules.index(each.rule)) for each in diagnostics],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _sarif_rule(name: str) -> dict[str, Any]:
    from .rules import RULES

    if name not in RULES:
        return {"id": name}
    rule = RULES[name]
    return {"id": name, "shortDescription": {"text": rule.summary}, "fullDescription": {"text": rule.explanation}}


def _sarif_result(diagnostic: Diagnostic, index: int) -> dict[str, Any]:
    text = f"{diagnostic.message}\n{diagnostic.help}" if diagnostic.help else diagnostic.message
    result: dict[str, Any] = {
        "ruleId": diagnostic.rule,
        "ruleIndex": index,
        "level": diagnostic.severity,
        "message": {"text": text},
    }
    if diagnostic.span is not None and _is_file(diagnostic.span):
        result["locations"] = [_location(diagnostic.span)]
    related = [_related(number, label) for number, label in enumerate(diagnostic.labels) if _is_file(label.span)]
    return result | ({"relatedLocations": related} if related else {})


def _related(number: int, label: Label) -> dict[str, Any]:
    return {"id": number, "message": {"text": label.text}, **_location(label.span)}


def _location(span: Span) -> dict[str, Any]:
    uri = quote(span.source.name.replace("\\", "/"), safe="/:", errors="replace")
    # An absolute path needs a scheme: as a relative reference it would mean another file.
    artifact = {"uri": f"file://{uri}" if uri.startswith("/") else uri}
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    return {"physicalLocation": {"artifactLocation": artifact, "region": region}}


def _is_file(span: Span) -> bool:
    """Whether a span lies in a file that a program could open, and not on the command line or in the catalog."""
    return not span.source.name.startswith("<")


FORMATS: Final[dict[str, Callable[[Sequence[Diagnostic], Paint], str]]] = {
    "text": _text,
    "concise": _concise,
    "json": _json,
    "github": _github,
    "sarif": _sarif,
}
