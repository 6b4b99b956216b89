"""What losses have in common: a function of `losses.py`, called in one line of `model.py`, and targets of a teacher."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Statement, literal
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Spec
from ...words import listed

LOSS = Port("loss", ())


@dataclass(frozen=True, slots=True)
class Distill:
    """The share of a teacher in the target: it grows to `weight` over so many `steps`, or is that at once."""

    weight: float
    steps: int | None

    @property
    def expression(self) -> str:
        """The share, in `model.py`."""
        weight = literal(self.weight)
        return weight if self.steps is None else f"self.progress.ramp({weight}, {self.steps})"


@dataclass(frozen=True, slots=True)
class Loss(Spec):
    """A decided loss: `words` say which, `smoothing` is the share of the target that all have together."""

    words: str
    smoothing: float = 0.0
    distill: Distill | None = None

    def summary(self) -> str:
        more = [f"smoothing {literal(self.smoothing)}"] if self.smoothing else []
        return ", ".join((self.words, *more, *(["with a teacher"] if self.distill else [])))


def smoothing_of(settings: Settings) -> float:
    """The share of the target that all have together."""
    return float(settings.get("smoothing", default=0.0))


def parse_distill(settings: Settings, inferred: Inferred, ports: tuple[str, ...], problems: Problems) -> Distill | None:
    """The share of a teacher, if there is one: then all of these ports are connected, otherwise none."""
    wired = [port for port in ports if port in inferred.inputs]
    if wired and len(wired) < len(ports):
        missing = listed(port for port in ports if port not in wired)
        problems.error(
            "bad-distill",
            f"the teacher of `{inferred.node}` is not complete: nothing feeds {missing}",
            settings.span("inputs"),
            help=f"feed {missing} too",
        )
    elif settings.has("distill") and not wired:
        problems.error(
            "bad-distill",
            f"`distill` of `{inferred.node}` is the share of a teacher, and none is connected",
            settings.span("distill"),
            help=f"feed {listed(ports)}, or remove `distill`",
        )
    if len(wired) < len(ports):
        return None
    steps = settings.get("distill", "steps")
    return Distill(float(settings.get("distill", "weight", default=0.4)), None if steps is None else int(steps))


def loss_page(node: Node, wiring: Wiring, function: str, read: tuple[str, ...], options: dict[str, str]) -> NodePage:
    """The line that calls `function`, and which of its options it needs; those have values."""
    spec = node.spec
    assert isinstance(spec, Loss)
    options |= {"smoothing": literal(spec.smoothing)} if spec.smoothing else {}
    options |= {"share": spec.distill.expression} if spec.distill else {}
    given = (*read, *(f"{name}={value}" for name, value in options.items()))
    call = Statement(wiring.results.get("loss", node.name), function, given)
    functions, stepped = {function: frozenset(options)}, spec.distill is not None and spec.distill.steps is not None
    return NodePage("", None, class_name(node.name), (), "", (call,), functions=functions, stepped=stepped)
