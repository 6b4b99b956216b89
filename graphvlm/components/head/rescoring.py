"""`head/rescoring`: scores of a list, of which the likeliest were looked at once more."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, Statement, literal
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec


@dataclass(frozen=True, slots=True)
class Rescoring(Spec):
    """Decided scores; those that were not looked at have the score `floor`."""

    floor: float

    def summary(self) -> str:
        return "scores of the likeliest, looked at once more"


@dataclass(frozen=True, slots=True)
class RescoringView:
    """What the template places."""

    name: str
    class_name: str
    config: str


class RescoringComponent:
    """Ports and page of `head/rescoring`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, many = Var(f"{name}.batch", "batch"), Var(f"{name}.many", "candidates")
        return Signature(
            inputs={
                "scores": Port("scores", (batch, many)),
                "looked": Port("scores", (Var(f"{name}.rows", "rows"), 2)),
                "chosen": Port("chosen", (batch, Var(f"{name}.top", "top"))),
            },
            outputs={"scores": Port("scores", (batch, many))},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Rescoring:
        return Rescoring(float(settings.get("floor", default=-100.0)))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Rescoring)
        name = class_name(node.name)
        read = tuple(wiring.arguments[port] for port in ("scores", "looked", "chosen"))
        call = Statement(wiring.results["scores"], f"self.{node.module}", read, wiring.shapes["scores"])
        view = RescoringView(node.name, name, f"{name}Config")
        fields = (Field("floor", "float", literal(spec.floor), "of those that are not looked at"),)
        construct = f"{name}(config.{node.name})"
        return NodePage("head/rescoring.py.j2", view, name, fields, construct, (call,))


COMPONENT = RescoringComponent()
