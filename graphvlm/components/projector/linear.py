"""`projector/linear`: one linear map from the width of what it reads to the width of what it feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...blocks.expressions import bias_argument
from ...blocks.parameters import Parameter, linear
from ...code import Field, NodePage, Wiring
from ...component import Inferred, Signature, Spec
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings
from ._ports import one_call, projector_signature


@dataclass(frozen=True, slots=True)
class Linear(Spec):
    """A decided linear projector."""

    inside: int
    out: int
    bias: bool

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(linear("linear", self.inside, self.out, self.bias))

    def summary(self) -> str:
        return f"linear, {self.inside} to {self.out}"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside, "out": self.out}


@dataclass(frozen=True, slots=True)
class LinearView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    bias: str


class LinearComponent:
    """Ports and page of `projector/linear`."""

    modules = frozenset(("linear",))

    def signature(self, name: str, settings: Settings) -> Signature:
        return projector_signature(name, settings)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Linear:
        return Linear(inferred.sizes["in"], inferred.sizes["out"], bool(settings.get("bias", default=True)))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Linear)
        name = class_name(node.name)
        view = LinearView(node.name, name, f"{name}Config", spec.summary(), bias_argument(spec.bias))
        fields = (Field("in_dim", "int", str(spec.inside)), Field("out_dim", "int", str(spec.out)))
        return NodePage(
            "projector/linear.py.j2", view, name, fields, f"{name}(config.{node.name})", one_call(node, wiring)
        )


COMPONENT = LinearComponent()
