"""`projector/patch_merger`: the patches of a block, which stand together in the sequence, become one token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ...blocks.expressions import activation, bias_argument, norm_expression
from ...blocks.parameters import Parameter, linear, norm, plain
from ...blocks.parse_norm import parse_norm
from ...blocks.settings_norm import Norm
from ...code import Field, Statement, literal
from ...diagnostics import Label
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._ports import one_call


@dataclass(frozen=True, slots=True)
class PatchMerger(Spec):
    """A decided merger of `group` by `group` patches; `over` is what its norm goes over, and `order` that of the
    numbers of a block. `hidden` lies between its layers; with `mean`, that of the patches is added. What is
    in `rows` comes row by row, with a grid; otherwise the patches of a block stand together."""

    inside: int
    out: int
    group: int
    norm: Norm | None
    over: Literal["patch", "block"]
    order: Literal["patches", "channels", "convolution"]
    layers: int
    activation: str
    bias: bool
    hidden: int
    mean: bool
    rows: bool
    out_norm: Norm | None

    @property
    def block(self) -> int:
        """The numbers of a block."""
        return self.inside * self.group**2

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.block, *([self.hidden] * (self.layers - 1)), self.out)

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        if self.norm:
            yield from norm("norm", self.norm, self.block if self.over == "block" else self.inside)
        pairs = zip(self.widths, self.widths[1:], strict=False)
        for index, (inside, out) in enumerate(pairs, start=1):
            if index == 1 and self.order == "convolution":
                yield plain("linear_1.weight", out, self.inside, self.group, self.group)
                yield from [plain("linear_1.bias", out)] if self.bias else []
            else:
                yield from linear(f"linear_{index}", inside, out, self.bias)
        if self.out_norm:
            yield from norm("out_norm", self.out_norm, self.out)

    def summary(self) -> str:
        layers = counted(self.layers, "layer")
        blocks = f"{self.group} x {self.group} patches"
        return f"patch_merger, {blocks}, {layers}, {self.block} to {self.out}{', mean added' if self.mean else ''}"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside, "out": self.out}


@dataclass(frozen=True, slots=True)
class PatchMergerView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    maps: tuple[tuple[str, str, str], ...]
    norm: str
    out_norm: str
    lines: tuple[str, ...]
    rows: bool
    measured: bool
    offset_norm: bool
    quick_gelu: bool
    functional: bool

    @property
    def block(self) -> bool:
        """Whether something is as wide as a block."""
        return "block" in f"{self.norm} {self.maps}"


class PatchMergerComponent:
    """Ports and page of `projector/patch_merger`."""

    modules = frozenset(("norm", "linear_*", "out_norm"))

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "in", "out")
        if settings.has("skip") and not (settings.has("in") and settings.has("out")):
            one = sizes["in"] if settings.has("in") else sizes["out"]  # what is added is as wide as the sum
            sizes = {"in": one, "out": one}
        images, tokens = Var(f"{name}.images", "images"), Var(f"{name}.tokens", "tokens")
        group = int(settings.get("group", default=_GROUP))
        patches = Sum((Many(group**2, tokens),)) if group > 1 else tokens
        grid = Port("grid", (Var(f"{name}.measured", "images"), 3), optional=True)
        measured = isinstance(settings.get("inputs"), dict) and settings.has("inputs", "grid")
        return Signature(
            inputs={"features": Port("features", (images, patches, sizes["in"])), "grid": grid},
            outputs={
                "features": Port("features", (images, tokens, sizes["out"])),
                **({"grid": Port("grid", grid.shape)} if measured else {}),
            },
            sizes=sizes,
            written=written,
            absent={} if measured else {"grid": Label(settings.span("inputs"), "reads no grid")},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> PatchMerger:
        inside, group = inferred.sizes["in"], int(settings.get("group", default=_GROUP))
        out, mean = inferred.sizes["out"], settings.has("skip")
        if mean and inside != out:
            problems.clash(
                "shape-mismatch",
                f"`{inferred.node}` adds the mean of its patches, {inside} wide, to tokens that are {out} wide",
                Label(settings.span("skip"), f"{inside} wide"),
                *settings.labels("out", text=f"{out} wide"),
                help="leave `in` and `out` out, or remove `skip`",
            )
        return PatchMerger(
            inside=inside,
            out=out,
            group=group,
            hidden=int(settings.get("hidden", default=inside * group**2)),
            mean=mean,
            rows="grid" in inferred.inputs,
            norm=parse_norm(settings, "norm") if settings.has("norm") else None,
            over=settings.get("norm_over", default="patch"),
            order=settings.get("order", default="patches"),
            layers=int(settings.get("layers", default=2)),
            activation=settings.get("activation", default="gelu"),
            bias=bool(settings.get("bias", default=True)),
            out_norm=parse_norm(settings, "out_norm") if settings.has("out_norm") else None,
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, PatchMerger)
        name = class_name(node.name)
        width = "block" if spec.over == "block" else "config.in_dim"
        view = PatchMergerView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            maps=tuple(_maps(spec)),
            norm=norm_expression(spec.norm, width, "config.norm_eps") if spec.norm else "",
            out_norm=norm_expression(spec.out_norm, "config.out_dim", "config.out_norm_eps") if spec.out_norm else "",
            lines=tuple(_lines(spec)),
            rows=spec.rows,
            measured=spec.rows and "grid" in wiring.read,
            offset_norm=any(each.unit_offset for each in (spec.norm, spec.out_norm) if each),
            quick_gelu=spec.activation == "quick_gelu" and spec.layers > 1,
            functional=spec.order == "convolution" or (spec.activation != "quick_gelu" and spec.layers > 1),
        )
        fields = [Field("in_dim", "int", str(spec.inside)), Field("out_dim", "int", str(spec.out))]
        if spec.layers > 1 and spec.hidden != spec.block:
            fields.append(Field("hidden_dim", "int", str(spec.hidden)))
        fields.append(Field("group", "int", str(spec.group), "side of a block of patches"))
        if spec.norm:
            fields.append(Field("norm_eps", "float", literal(spec.norm.eps)))
        if spec.out_norm:
            fields.append(Field("out_norm_eps", "float", literal(spec.out_norm.eps)))
        construct = f"{name}(config.{node.name})"
        call = one_call(node, wiring)
        if spec.rows:
            results = [
                wiring.results.get("features", "_"),
                *([wiring.results.get("grid", "_")] if view.measured else []),
            ]
            arguments = (wiring.arguments["features"], wiring.arguments["grid"])
            call = (Statement(", ".join(results), f"self.{node.module}", arguments, wiring.shapes["features"]),)
        return NodePage("projector/patch_merger.py.j2", view, name, tuple(fields), construct, call)


_GROUP = 2


def _maps(spec: PatchMerger) -> Iterator[tuple[str, str, str]]:
    """The linear maps: attribute, class, and what it is built with."""
    hidden = "block" if spec.hidden == spec.block else "config.hidden_dim"
    ends, bias = ("block", *([hidden] * (spec.layers - 1)), "config.out_dim"), bias_argument(spec.bias)
    for index in range(1, spec.layers + 1):
        if index == 1 and spec.order == "convolution":
            yield "linear_1", "nn.Conv2d", f"config.in_dim, {ends[1]}, config.group, config.group{bias}"
        else:
            yield f"linear_{index}", "nn.Linear", f"{ends[index - 1]}, {ends[index]}{bias}"


def _lines(spec: PatchMerger) -> Iterator[str]:
    """The lines of `forward`."""
    if spec.rows:
        yield "x = x[:, blocks(grid, x.size(1), self.group)]"
    if spec.mean:
        yield "mean = x.reshape(x.size(0), -1, self.patches, x.size(2)).mean(2)"
    read = "self.norm(x)" if spec.norm and spec.over == "patch" else "x"
    if spec.order == "patches":
        yield f"x = {read}.reshape(x.size(0), -1, self.patches * x.size(2))"
    else:
        yield f"x = {read}.reshape(x.size(0), -1, self.patches, x.size(2))"
        yield "x = x.transpose(2, 3).flatten(2)"
    if spec.norm and spec.over == "block":
        yield "x = self.norm(x)"
    applied = activation(spec.activation)
    for index in range(1, spec.layers + 1):
        value = f"self.linear_{index}(x)"
        if index == 1 and spec.order == "convolution":
            yield "# Blocks do not overlap, so that their convolution is one product."
            value = "F.linear(x, self.linear_1.weight.flatten(1), self.linear_1.bias)"
        if index < spec.layers:
            yield f"x = {applied(value)}"
        else:
            yield f"x = {value}{' + mean' if spec.mean else ''}"
    if spec.out_norm:
        yield "x = self.out_norm(x)"


COMPONENT = PatchMergerComponent()
