"""`fusion/add`: the sum of features of the same tokens, some of them with a learned factor."""

from __future__ import annotations

from dataclasses import dataclass

from ...blocks.parameters import Parameter, plain
from ...code import WIDTH, literal
from ...dims import show_shape
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Signature, Spec
from ...words import suggestion
from ._streams import one_call, streams_signature


@dataclass(frozen=True, slots=True)
class Add(Spec):
    """Decided streams; `gates` are those with a learned factor, and what it starts at."""

    ports: tuple[str, ...]
    gates: tuple[tuple[str, float], ...]

    def gate(self, port: str) -> str:
        """The factor of a port, by its place among them."""
        return f"gate_{self.ports.index(port) + 1}"

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(plain(self.gate(port), 1) for port, _ in self.gates)

    def summary(self) -> str:
        return f"sum of {len(self.ports)} streams"


@dataclass(frozen=True, slots=True)
class Gate:
    """One learned factor: its attribute, and what it starts at."""

    attribute: str
    start: str


@dataclass(frozen=True, slots=True)
class AddView:
    """What the template places."""

    name: str
    class_name: str
    ports: tuple[str, ...]
    gates: tuple[Gate, ...]
    terms: tuple[str, ...]
    output: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("self", *(f"{port}: Tensor" for port in self.ports))

    @property
    def lines(self) -> tuple[str, ...]:
        """The sum, in one line if it fits."""
        line = f"return {' + '.join(self.terms)}"
        if len(line) <= WIDTH - 8:
            return (line,)
        first, *others = self.terms
        return (f"x = {first}", *(f"x = x + {term}" for term in others), "return x")


class AddComponent:
    """Ports, checks and page of `fusion/add`."""

    modules = frozenset(("gate_*",))

    def signature(self, name: str, settings: Settings) -> Signature:
        return streams_signature(name, settings, wider=False)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Add:
        gates = settings.child("gates").tree
        for port, _ in gates.items():
            if port not in inferred.inputs:
                message = f"`gates` of `{inferred.node}` names `{port}`, which it does not read"
                edit = suggestion(port, inferred.inputs, "port")
                problems.error("unknown-port", message, gates.key_span(port), help=edit)
        return Add(tuple(inferred.inputs), tuple((port, float(start.plain())) for port, start in gates.items()))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Add)
        name, gated = class_name(node.name), dict(spec.gates)
        view = AddView(
            name=node.name,
            class_name=name,
            ports=spec.ports,
            gates=tuple(Gate(spec.gate(port), literal(start)) for port, start in spec.gates),
            terms=tuple(f"self.{spec.gate(port)} * {port}" if port in gated else port for port in spec.ports),
            output=show_shape(node.signature.outputs["features"].shape),
        )
        return NodePage("fusion/add.py.j2", view, name, (), f"{name}()", one_call(node, wiring))


COMPONENT = AddComponent()
