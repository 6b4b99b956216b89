"""Collects what is wrong while a stage goes on, so that one run reports everything the stage can see."""

from __future__ import annotations

from .diagnostics import Diagnostic, GraphError, Label, Span


class Problems:
    """A growing list of diagnostics; `stop()` raises them all."""

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

    @property
    def any(self) -> bool:
        return bool(self._found)

    def stop(self) -> None:
        """Raise `GraphError` if there was any problem, in the order of the file."""
        if self._found:
            raise GraphError(sorted(self._found, key=_place))


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.source.name, span.line, span.column) if span else ("", 0, 0)
