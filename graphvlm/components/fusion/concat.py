"""`fusion/concat`: features of the same tokens side by side."""

from __future__ import annotations

from dataclasses import dataclass

from ...blocks.expressions import activated
from ...code import NodePage, Wiring
from ...component import Inferred, Signature, Spec
from ...dims import show_shape
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings
from ._streams import one_call, streams_signature


@dataclass(frozen=True, slots=True)
class Concat(Spec):
    """Decided streams, and the activation of all of them together, if there is one."""

    ports: tuple[str, ...]
    activation: str

    def summary(self) -> str:
        return f"{len(self.ports)} streams side by side"


@dataclass(frozen=True, slots=True)
class ConcatView:
    """What the template places; `result` is the expression on what stands side by side."""

    name: str
    class_name: str
    ports: tuple[str, ...]
    activation: str
    output: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("self", *(f"{port}: Tensor" for port in self.ports))

    @property
    def functional(self) -> bool:
        return bool(self.activation) and self.activation != "quick_gelu"

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return activated(self.activation, value)


class ConcatComponent:
    """Ports and page of `fusion/concat`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        return streams_signature(name, settings, wider=True)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Concat:
        return Concat(tuple(inferred.inputs), settings.get("activation", default=""))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Concat)
        name, output = class_name(node.name), show_shape(node.signature.outputs["features"].shape)
        view = ConcatView(node.name, name, spec.ports, spec.activation, output)
        return NodePage("fusion/concat.py.j2", view, name, (), f"{name}()", one_call(node, wiring))


COMPONENT = ConcatComponent()
