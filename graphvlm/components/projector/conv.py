"""`projector/conv`: convolutions over the grid that the tokens of an image are, with norms between them or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from ...blocks.expressions import norm_expression
from ...blocks.parameters import Parameter, norm, plain
from ...blocks.parse_norm import parse_norm
from ...blocks.settings_norm import Norm
from ...code import Field, literal
from ...diagnostics import Label
from ...dims import Dim, Many, Sum, Var, Written
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._grids import Grid, grid_of
from ._ports import one_call


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution over rows and columns."""

    kernel: int
    stride: int
    inside: int
    out: int


@dataclass(frozen=True, slots=True)
class Conv(Spec):
    """Decided convolutions over `grid`, stretched to `resized` first if that is another; `norm` follows each."""

    grid: Grid
    resized: Grid | None
    convolutions: tuple[Convolution, ...]
    norm: Norm | None
    bias: bool

    @property
    def inside(self) -> int:
        return self.convolutions[0].inside

    @property
    def out(self) -> int:
        return self.convolutions[-1].out

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        for index, each in enumerate(self.convolutions, start=1):
            yield plain(f"conv_{index}.weight", each.out, each.inside, each.kernel, each.kernel)
            if self.bias:
                yield plain(f"conv_{index}.bias", each.out)
            if self.norm:
                yield from norm(f"norm_{index}", self.norm, each.out)

    def summary(self) -> str:
        return f"{counted(len(self.convolutions), 'convolution')}, {self.inside} to {self.out}"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside, "out": self.out, "grid": list(self.grid)}


@dataclass(frozen=True, slots=True)
class Line:
    """One convolution in code: its number, and the norm behind it, if any."""

    number: int
    construct: str
    norm: str
    last: bool


@dataclass(frozen=True, slots=True)
class ConvView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    resized: bool
    offset_norm: bool
    lines: tuple[Line, ...]
    before: str
    after: str


class ConvComponent:
    """Ports, checks and page of `projector/conv`."""

    modules = frozenset(("conv_*", "norm_*"))

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "in", "out")
        images, out = Var(f"{name}.images", "images"), Var(f"{name}.tokens", "tokens")
        every, inside = _stride(settings), Var(f"{name}.all_tokens", "tokens")
        tokens: Dim = inside
        for key in ("grid", "resize"):
            if settings.has(key):
                grid = settings.get(key)
                written[out] = _given(name, settings, key, _after(grid, settings))
        if settings.has("grid"):
            written[inside] = _given(name, settings, "grid", settings.get("grid"))
        elif not settings.has("resize"):
            # Where strides do not divide the grid, it is to be written: how many are left is no multiple then.
            tokens = Sum((Many(every**2, out),)) if every > 1 else out
        return Signature(
            inputs={"features": Port("features", (images, tokens, sizes["in"]))},
            outputs={"features": Port("features", (images, out, sizes["out"]))},
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Conv | None:
        grid = grid_of(settings, inferred, problems)
        written, widths = settings.get("convolutions"), [inferred.sizes["in"]]
        for each in written:
            widths.append(int(each.get("out", inferred.sizes["out"])))
        _check_last(inferred, settings, widths[-1], problems)
        if grid is None:
            return None
        resized = settings.get("resize")
        return Conv(
            grid=grid,
            resized=(resized[0], resized[1]) if resized and tuple(resized) != grid else None,
            convolutions=tuple(
                Convolution(int(each["kernel"]), int(each.get("stride", 1)), widths[index], widths[index + 1])
                for index, each in enumerate(written)
            ),
            norm=parse_norm(settings, "norm") if settings.has("norm") else None,
            bias=bool(settings.get("bias", default=False)),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Conv)
        name = class_name(node.name)
        count = len(spec.convolutions)
        tokens = node.signature.outputs["features"].shape[1]
        view = ConvView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            resized=spec.resized is not None,
            offset_norm=spec.norm is not None and spec.norm.unit_offset,
            lines=tuple(_line(spec, index, last=index == count - 1) for index in range(count)),
            before=f"[images, {prod(spec.grid)}, {spec.inside}]",
            after=f"[images, {tokens}, {spec.out}]",
        )
        fields = [Field("grid", "tuple[int, int]", literal(spec.grid), "rows and columns of tokens")]
        if spec.resized:
            fields.append(Field("resized", "tuple[int, int]", literal(spec.resized)))
        fields.append(Field("in_dim", "int", str(spec.inside)))
        widths = [each.out for each in spec.convolutions]
        fields += [Field(f"dim_{index}", "int", str(width)) for index, width in enumerate(widths[:-1], start=1)]
        fields.append(Field("out_dim", "int", str(spec.out)))
        if spec.norm:
            fields.append(Field("norm_eps", "float", literal(spec.norm.eps)))
        construct = f"{name}(config.{node.name})"
        return NodePage("projector/conv.py.j2", view, name, tuple(fields), construct, one_call(node, wiring))


def _line(spec: Conv, index: int, *, last: bool) -> Line:
    each = spec.convolutions[index]
    inside = f"config.dim_{index}" if index else "config.in_dim"
    out = "config.out_dim" if last else f"config.dim_{index + 1}"
    options = [inside, out, str(each.kernel)]
    options += [f"stride={each.stride}"] if each.stride > 1 else []
    options += [f"padding={each.kernel // 2}"] if each.kernel > 1 else []
    options += [] if spec.bias else ["bias=False"]
    normed = norm_expression(spec.norm, out, "config.norm_eps") if spec.norm else ""
    return Line(index + 1, f"nn.Conv2d({', '.join(options)})", normed, last)


def _stride(settings: Settings) -> int:
    """Every which row and column is left."""
    return prod(int(each.get("stride", 1)) for each in settings.get("convolutions"))


def _after(grid: list[int], settings: Settings) -> Grid:
    """Rows and columns after the convolutions, whose strides alone change them."""
    rows, columns = (int(size) for size in (settings.get("resize") or grid))
    for each in settings.get("convolutions"):
        stride = int(each.get("stride", 1))
        rows, columns = -(-rows // stride), -(-columns // stride)
    return rows, columns


def _given(name: str, settings: Settings, key: str, grid: Grid) -> Written:
    return Written(grid[0] * grid[1], settings.span(key), name, text=f"{grid[0]} x {grid[1]} tokens")


def _check_last(inferred: Inferred, settings: Settings, width: int, problems: Problems) -> None:
    """The last convolution gives what leaves the node."""
    out, index = inferred.sizes["out"], len(settings.get("convolutions")) - 1
    if width == out:
        return
    place = settings.tree.get("convolutions", index, "out")
    assert place is not None
    problems.clash(
        "shape-mismatch",
        f"the last convolution of `{inferred.node}` gives features {width} wide, and the node features {out} wide",
        Label(place.span, f"{width}"),
        *inferred.label("out", f"{out} wide"),
        help="remove `out` of the last convolution",
    )


COMPONENT = ConvComponent()
