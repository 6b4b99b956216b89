"""`loss/sum`: the sum of losses, each with a weight."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import WIDTH, Statement, literal
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted
from ...words import suggestion
from ._common import LOSS


@dataclass(frozen=True, slots=True)
class Total(Spec):
    """Decided weights by port; 1 for those that have none."""

    weights: tuple[tuple[str, float], ...]

    def summary(self) -> str:
        return f"sum of {counted(len(self.weights), 'loss').replace('losss', 'losses')}"


class SumComponent:
    """Ports and line of `loss/sum`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        given = settings.get("inputs")
        # Two that are missing, where fewer are named.
        ports = tuple(given) if isinstance(given, dict) and len(given) > 1 else ("first", "second")
        return Signature(inputs={port: Port("loss", ()) for port in ports}, outputs={"loss": LOSS})

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Total:
        weights = settings.child("weights").tree
        for port, _ in weights.items():
            if port not in inferred.inputs:
                message = f"`weights` of `{inferred.node}` names `{port}`, which it does not read"
                edit = suggestion(port, inferred.inputs, "port")
                problems.error("unknown-port", message, weights.key_span(port), help=edit)
        return Total(tuple((port, float(settings.get("weights", port, default=1.0))) for port in inferred.inputs))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Total)
        terms = [
            wiring.arguments[port] if weight == 1 else f"{literal(weight)} * {wiring.arguments[port]}"
            for port, weight in spec.weights
        ]
        target = wiring.results.get("loss", node.name)
        lines = [" + ".join(terms)]
        if len(f"        {target} = {lines[0]}") > WIDTH:
            lines = [terms[0], *(f"{target} + {term}" for term in terms[1:])]
        calls = tuple(Statement(target, "", (line,)) for line in lines)
        return NodePage("", None, class_name(node.name), (), "", calls)


COMPONENT = SumComponent()
