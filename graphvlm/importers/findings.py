"""What is wrong with a description: its fields one by one, and only where those are right, what contradicts what."""

from __future__ import annotations

from ..diagnostics import Label, Span
from ..problems import Problems

LARGEST = 2**40  # no size of a model is beyond it, and arithmetic on it stays exact


class Findings(Problems):
    """Problems of fields go first: a contradiction with a value that could not be read is none."""

    def __init__(self) -> None:
        super().__init__()
        self._conflicts = Problems()

    def conflict(self, message: str, span: Span, *, labels: tuple[Label, ...] = (), help: str = "") -> None:
        """Note that fields exclude each other."""
        self._conflicts.error("contradictory-config", message, span, labels=labels, help=help)

    def stop(self) -> None:
        """Raise `GraphError` with the problems of fields, else with the contradictions, if there are any."""
        super().stop()
        self._conflicts.stop()


def shown(value: object) -> str:
    """A value as a message shows it: on one line and short."""
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("ascii", "backslashreplace").decode().replace("\n", "\\n")
    return text if len(text) <= 60 else text[:57] + "..."
