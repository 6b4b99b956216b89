"""`sampler/repeat`: each sample as often as it has rows, such as a question for each of its answers."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Statement
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec


@dataclass(frozen=True, slots=True)
class Repeat(Spec):
    """Decided rows; `masked` if the features may have padding."""

    masked: bool

    def summary(self) -> str:
        return "each sample for each of its rows"


@dataclass(frozen=True, slots=True)
class RepeatView:
    """What the template places."""

    name: str
    class_name: str
    masked: bool


class RepeatComponent:
    """Ports and page of `sampler/repeat`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, rows = Var(f"{name}.batch", "batch"), Var(f"{name}.rows", "rows")
        tokens, dim = Var(f"{name}.tokens", "tokens"), Var(f"{name}.dim", "dim")
        return Signature(
            inputs={
                "features": Port("features", (batch, tokens, dim)),
                "mask": Port("mask", (batch, tokens), optional=True),
                "repeats": Port("repeats", (batch,)),
                "rows": Port("tokens", (rows, Var(f"{name}.seq", "seq", free=True))),
            },
            outputs={
                "features": Port("features", (rows, tokens, dim)),
                "mask": Port("mask", (rows, tokens)),
            },
            stream="features",
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Repeat:
        return Repeat("mask" in inferred.inputs)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Repeat)
        name, read = class_name(node.name), ("features", *(("mask",) if spec.masked else ()), "repeats", "rows")
        targets = [wiring.results.get("features", "_")]
        targets += [wiring.results.get("mask", "_")] if spec.masked else []
        arguments = tuple(wiring.arguments[port] for port in read)
        call = Statement(", ".join(targets), f"self.{node.module}", arguments, wiring.shapes["features"])
        view = RepeatView(node.name, name, spec.masked)
        return NodePage("sampler/repeat.py.j2", view, name, (), f"{name}()", (call,))


COMPONENT = RepeatComponent()
