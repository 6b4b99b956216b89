"""What graphvlm says about a graph: spans, labels, diagnostics and the one exception that carries them.

Rendering lives in `graphvlm.report`; the texts of the rules live in `graphvlm.rules`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Source:
    """One text that was read: its name as the user knows it, and its lines."""

    name: str
    text: str

    def line(self, number: int) -> str:
        """Line `number`, counted from 1; empty past the end."""
        lines = self.text.splitlines()
        return lines[number - 1] if 0 < number <= len(lines) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a source. Lines and columns count from 1; the end is exclusive, on the same line or a later one."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __repr__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Label:
    """A secondary place that a diagnostic points at, with a few words: the other end of a conflict."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem. `message` stands alone on one line; `note` is written under the caret; `help` names an edit."""

    rule: str
    message: str
    span: Span | None = None
    note: str = ""
    labels: tuple[Label, ...] = ()
    help: str = ""
    severity: Severity = "error"


class GraphError(Exception):
    """A graph that cannot be compiled. `.diagnostics` holds every problem of the first stage that found any."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__(
            "\n".join(f"{d.span or 'graph'}: {d.severity}[{d.rule}]: {d.message}" for d in self.diagnostics)
        )


_MANY = 2000


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean `x`?` for the nearest known name, else an empty string."""
    names = list(known)
    if len(names) > _MANY:
        return ""  # comparing is slow, and a graph may have many names and many problems
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""
