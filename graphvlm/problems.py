"""Collects what is wrong while a stage goes on, so that one run reports everything the stage can see."""

from __future__ import annotations

from .diagnostics import Diagnostic, GraphError, Label, Span

# As many as somebody will read; a graph can hold a hundred thousand.
MAX_PROBLEMS = 100
# Places in parts of the catalog, which nobody edits, as `graphvlm.resources` names them.
_CATALOG = "<catalog>/"


class Problems:
    """A growing list of diagnostics; `stop()` raises them all, as does the one that makes them `MAX_PROBLEMS`."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    def error(
        self,
        rule: str,
        message: str,
        span: Span | None,
        *,
        note: str = "",
        labels: tuple[Label, ...] = (),
        help: str = "",
    ) -> None:
        """Note one problem and go on."""
        self._found.append(Diagnostic(rule, message, span, note, labels, help))
        if len(self._found) >= MAX_PROBLEMS:
            self.stop()

    def clash(self, rule: str, message: str, *places: Label, help: str) -> None:
        """Note settings that do not go together. Shown at the first place that the user can edit, and the others."""
        first, *others = sorted(places, key=lambda place: in_catalog(place.span))
        self.error(rule, message, first.span, note=first.text, labels=tuple(others), help=help)

    @property
    def any(self) -> bool:
        return bool(self._found)

    def stop(self) -> None:
        """Raise `GraphError` if there was any problem, each once, in the order of the file."""
        if self._found:
            raise GraphError(sorted(dict.fromkeys(self._found), key=_place))


def in_catalog(span: Span) -> bool:
    """Whether a place is in a part of the catalog and not in a file of the user's."""
    return span.source.name.startswith(_CATALOG)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.source.name, span.line, span.column) if span else ("", 0, 0)
