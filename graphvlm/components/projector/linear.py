"""`projector/linear`: one linear map from the width of what it reads to the width of what it feeds; behind it a norm
and an activation, or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...blocks.expressions import activation, bias_argument, norm_expression
from ...blocks.parameters import Parameter, linear, norm
from ...blocks.parse_norm import parse_norm
from ...blocks.settings_norm import Norm
from ...code import Field, literal
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Signature, Spec
from ._ports import one_call, projector_signature


@dataclass(frozen=True, slots=True)
class Linear(Spec):
    """A decided linear projector."""

    inside: int
    out: int
    bias: bool
    norm: Norm | None = None
    activation: str = ""

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        yield from linear("linear", self.inside, self.out, self.bias)
        if self.norm:
            yield from norm("norm", self.norm, self.out)

    def summary(self) -> str:
        more = [f"{self.norm.type} norm"] if self.norm else []
        return ", ".join(["linear", f"{self.inside} to {self.out}", *more, *filter(None, [self.activation])])

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
    norm: str
    offset_norm: bool
    quick_gelu: bool
    functional: bool
    steps: tuple[str, ...]


class LinearComponent:
    """Ports and page of `projector/linear`."""

    modules = frozenset(("linear", "norm"))

    def signature(self, name: str, settings: Settings) -> Signature:
        return projector_signature(name, settings)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Linear:
        return Linear(
            inferred.sizes["in"],
            inferred.sizes["out"],
            bool(settings.get("bias", default=True)),
            parse_norm(settings, "out_norm") if settings.has("out_norm") else None,
            settings.get("out_activation", default=""),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Linear)
        name = class_name(node.name)
        steps = ["self.linear(x)"] + (["self.norm(x)"] if spec.norm else [])
        if spec.activation:
            steps[-1] = activation(spec.activation)(steps[-1])
        view = LinearView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            bias=bias_argument(spec.bias),
            norm=norm_expression(spec.norm, "config.out_dim", "config.norm_eps") if spec.norm else "",
            offset_norm=spec.norm is not None and spec.norm.unit_offset,
            quick_gelu=spec.activation == "quick_gelu",
            functional=spec.activation not in ("", "quick_gelu"),
            steps=tuple(steps),
        )
        fields = [Field("in_dim", "int", str(spec.inside)), Field("out_dim", "int", str(spec.out))]
        if spec.norm:
            fields.append(Field("norm_eps", "float", literal(spec.norm.eps)))
        construct = f"{name}(config.{node.name})"
        return NodePage("projector/linear.py.j2", view, name, tuple(fields), construct, one_call(node, wiring))


COMPONENT = LinearComponent()
