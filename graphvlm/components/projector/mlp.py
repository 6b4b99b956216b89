"""`projector/mlp`: linear maps with an activation between each two; every hidden width is the width that goes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...blocks.expressions import activation, bias_argument
from ...blocks.parameters import Parameter, linear
from ...code import Field, NodePage, Wiring
from ...component import Inferred, Signature, Spec, counted
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings
from ._ports import one_call, projector_signature


@dataclass(frozen=True, slots=True)
class MlpProjector(Spec):
    """A decided multi-layer projector; `hidden` lies between its layers."""

    inside: int
    hidden: int
    out: int
    layers: int
    activation: str
    bias: bool

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.inside, *([self.hidden] * (self.layers - 1)), self.out)

    def parameters(self) -> tuple[Parameter, ...]:
        pairs = zip(self.widths, self.widths[1:], strict=False)
        return tuple(
            parameter
            for index, (inside, out) in enumerate(pairs, start=1)
            for parameter in linear(f"linear_{index}", inside, out, self.bias)
        )

    def summary(self) -> str:
        return f"mlp, {counted(self.layers, 'layer')}, {self.inside} to {self.out}"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside, "hidden": self.hidden, "out": self.out}


@dataclass(frozen=True, slots=True)
class LinearLine:
    """One linear map: its attribute and the config fields of its widths."""

    name: str
    inside: str
    out: str


@dataclass(frozen=True, slots=True)
class MlpProjectorView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    lines: tuple[LinearLine, ...]
    bias: str
    quick_gelu: bool
    activation: str
    tp: bool

    @property
    def functional(self) -> bool:
        """Whether the activation comes from `torch.nn.functional`."""
        return len(self.lines) > 1 and not self.quick_gelu

    def applied(self, line: LinearLine) -> str:
        """The expression of one layer on `x`."""
        value = f"self.{line.name}(x)"
        return value if line is self.lines[-1] else activation(self.activation)(value)


class MlpProjectorComponent:
    """Ports and page of `projector/mlp`."""

    modules = frozenset(("linear_*",))

    def signature(self, name: str, settings: Settings) -> Signature:
        return projector_signature(name, settings)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> MlpProjector:
        return MlpProjector(
            inside=inferred.sizes["in"],
            hidden=int(settings.get("hidden", default=inferred.sizes["out"])),
            out=inferred.sizes["out"],
            layers=int(settings.get("layers", default=2)),
            activation=settings.get("activation", default="gelu"),
            bias=bool(settings.get("bias", default=True)),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, MlpProjector)
        name = class_name(node.name)
        hidden = "config.out_dim" if spec.hidden == spec.out else "config.hidden_dim"
        ends = ("config.in_dim", *([hidden] * (spec.layers - 1)), "config.out_dim")
        view = MlpProjectorView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            lines=tuple(LinearLine(f"linear_{i}", ends[i - 1], ends[i]) for i in range(1, spec.layers + 1)),
            bias=bias_argument(spec.bias),
            quick_gelu=spec.activation == "quick_gelu" and spec.layers > 1,
            activation=spec.activation,
            tp=node.tensor_parallel > 1 and spec.layers == _TP_LAYERS,
        )
        fields = [Field("in_dim", "int", str(spec.inside))]
        if "config.hidden_dim" in ends:
            fields.append(Field("hidden_dim", "int", str(spec.hidden)))
        fields.append(Field("out_dim", "int", str(spec.out)))
        return NodePage(
            "projector/mlp.py.j2", view, name, tuple(fields), f"{name}(config.{node.name})", one_call(node, wiring)
        )


# Column then row: only a pair of linear maps splits without an exchange between them.
_TP_LAYERS = 2

COMPONENT = MlpProjectorComponent()
