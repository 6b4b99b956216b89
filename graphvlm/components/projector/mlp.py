"""`projector/mlp`: linear maps with an activation between each two, after a norm or not, plain or gated."""

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
from ...spec import Inferred, Signature, Spec, counted
from ._ports import one_call, projector_signature


@dataclass(frozen=True, slots=True)
class MlpProjector(Spec):
    """A decided multi-layer projector; `hidden` lies between its layers.

    With `gated` there are two, the first of them twice: `down(act(gate(x)) * up(x))`. `norm` comes before everything,
    `out_norm` behind it.
    """

    inside: int
    hidden: int
    out: int
    layers: int
    gated: bool
    activation: str
    bias: bool
    norm: Norm | None
    out_norm: Norm | None = None

    @property
    def maps(self) -> tuple[tuple[str, int, int], ...]:
        """Name, width in and width out of each linear map."""
        if self.gated:
            # `up` first: of references that join the two, this is the order of rows
            first = ((name, self.inside, self.hidden) for name in ("up", "gate"))
            return (*first, ("down", self.hidden, self.out))
        widths = (self.inside, *([self.hidden] * (self.layers - 1)), self.out)
        return tuple((f"linear_{i}", widths[i - 1], widths[i]) for i in range(1, self.layers + 1))

    @property
    def split(self) -> dict[str, str]:
        """How tensor parallelism splits each map, if it does: only a pair splits without an exchange between them."""
        if self.layers != _PAIR:
            return {}
        *columns, row = (name for name, _, _ in self.maps)
        return {**dict.fromkeys(columns, "column"), row: "row"}

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        if self.norm:
            yield from norm("norm", self.norm, self.inside)
        for name, inside, out in self.maps:
            yield from linear(name, inside, out, self.bias)
        if self.out_norm:
            yield from norm("out_norm", self.out_norm, self.out)

    def summary(self) -> str:
        kind = "gated mlp" if self.gated else f"mlp, {counted(self.layers, 'layer')}"
        return f"{kind}, {self.inside} to {self.out}"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside, "hidden": self.hidden, "out": self.out}


_PAIR = 2


@dataclass(frozen=True, slots=True)
class LinearLine:
    """One linear map: its attribute, the config fields of its widths, and how it is split."""

    name: str
    inside: str
    out: str
    comment: str


@dataclass(frozen=True, slots=True)
class MlpProjectorView:
    """What the template places; `steps` are the values that `x` takes in turn."""

    name: str
    class_name: str
    config: str
    summary: str
    norm: str
    out_norm: str
    lines: tuple[LinearLine, ...]
    bias: str
    quick_gelu: bool
    functional: bool
    offset_norm: bool
    steps: tuple[str, ...]


class MlpProjectorComponent:
    """Ports and page of `projector/mlp`."""

    modules = frozenset(("norm", "linear_*", "gate", "up", "down", "out_norm"))

    def signature(self, name: str, settings: Settings) -> Signature:
        return projector_signature(name, settings)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> MlpProjector:
        gated = bool(settings.get("gated", default=False))
        return MlpProjector(
            inside=inferred.sizes["in"],
            hidden=int(settings.get("hidden", default=inferred.sizes["out"])),
            out=inferred.sizes["out"],
            layers=_PAIR if gated else int(settings.get("layers", default=_PAIR)),
            gated=gated,
            activation=settings.get("activation", default="gelu"),
            bias=bool(settings.get("bias", default=True)),
            norm=parse_norm(settings, "norm") if settings.has("norm") else None,
            out_norm=parse_norm(settings, "out_norm") if settings.has("out_norm") else None,
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, MlpProjector)
        name = class_name(node.name)
        fields = [Field("in_dim", "int", str(spec.inside))]
        if spec.layers > 1 and spec.hidden != spec.out:
            fields.append(Field("hidden_dim", "int", str(spec.hidden)))
        fields.append(Field("out_dim", "int", str(spec.out)))
        if spec.norm:
            fields.append(Field("norm_eps", "float", literal(spec.norm.eps)))
        if spec.out_norm:
            fields.append(Field("out_norm_eps", "float", literal(spec.out_norm.eps)))
        activated = spec.layers > 1
        view = MlpProjectorView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            norm=norm_expression(spec.norm, "config.in_dim", "config.norm_eps") if spec.norm else "",
            out_norm=norm_expression(spec.out_norm, "config.out_dim", "config.out_norm_eps") if spec.out_norm else "",
            lines=tuple(_lines(spec, node.tensor_parallel > 1)),
            bias=bias_argument(spec.bias),
            quick_gelu=activated and spec.activation == "quick_gelu",
            functional=activated and spec.activation != "quick_gelu",
            offset_norm=any(norm.unit_offset for norm in (spec.norm, spec.out_norm) if norm),
            steps=tuple(_steps(spec)),
        )
        return NodePage(
            "projector/mlp.py.j2", view, name, tuple(fields), f"{name}(config.{node.name})", one_call(node, wiring)
        )


def _lines(spec: MlpProjector, tp: bool) -> Iterator[LinearLine]:
    fields = {spec.hidden: "config.hidden_dim", spec.out: "config.out_dim"}
    last = spec.maps[-1]
    for line in spec.maps:
        name, _, out = line
        inside = "config.in_dim" if name in ("linear_1", "up", "gate") else fields[spec.hidden]
        split = spec.split.get(name) if tp else None
        yield LinearLine(
            name, inside, "config.out_dim" if line == last else fields[out], f"tp: {split}" if split else ""
        )


def _steps(spec: MlpProjector) -> Iterator[str]:
    act = activation(spec.activation)
    if spec.norm:
        yield "self.norm(x)"
    if spec.gated:
        yield f"self.down({act('self.gate(x)')} * self.up(x))"
    else:
        *inner, last = (f"self.{name}(x)" for name, _, _ in spec.maps)
        yield from map(act, inner)
        yield last
    if spec.out_norm:
        yield "self.out_norm(x)"


COMPONENT = MlpProjectorComponent()
