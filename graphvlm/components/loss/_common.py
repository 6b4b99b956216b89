"""What losses have in common: a function of `losses.py`, called in one line of `model.py`."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import NodePage, Statement, Wiring, literal
from ...component import Port, Spec
from ...ir import Node
from ...names import class_name

LOSS = Port("loss", ())


@dataclass(frozen=True, slots=True)
class Loss(Spec):
    """A decided loss: `words` say which, `smoothing` is the share of the target that all have together."""

    words: str
    smoothing: float = 0.0

    def summary(self) -> str:
        return f"{self.words}, smoothing {literal(self.smoothing)}" if self.smoothing else self.words


def loss_page(node: Node, wiring: Wiring, function: str, read: tuple[str, ...], options: dict[str, str]) -> NodePage:
    """The line that calls `function`, and which of its options it needs; those have values."""
    given = (*read, *(f"{name}={value}" for name, value in options.items()))
    target = wiring.results.get("loss", node.name)
    call = Statement(target, function, given)
    return NodePage("", None, class_name(node.name), (), "", (call,), functions={function: frozenset(options)})


def smoothed(spec: Loss) -> dict[str, str]:
    """The option, where it is not zero."""
    return {"smoothing": literal(spec.smoothing)} if spec.smoothing else {}
