"""`encoder/native_vit`: images and videos of any size, their patches in one sequence, through a stack of layers.

Covers positions in two dimensions, rotary or learned and stretched over each image; attention within an image, a frame
or a window of patches, layer by layer; and hidden states in between as outputs of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ...blocks.expressions import outer_norm
from ...blocks.parameters import MODULES, Parameter, norm, plain, stack
from ...blocks.parse import layer_count, parse_norm, parse_stack
from ...blocks.settings import Stack
from ...blocks.settings_norm import Norm
from ...blocks.views import StackView, stack_view
from ...blocks.views_grid import GridView, grid_use, grid_view
from ...blocks.views_rope import RotationView
from ...code import Field, Statement, literal
from ...diagnostics import Label
from ...dims import Var, Written
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._order import check_order, check_read
from ._turning import Rope2d, check_rope2d, rope2d


@dataclass(frozen=True, slots=True)
class Patch:
    """What a row of patches holds: `channels` x `frames` x `size` x `size` numbers, of images alone where frames are
    None; `group` is the side of the blocks that stand together."""

    size: int
    channels: int
    frames: int | None
    group: int
    bias: bool
    norm: bool

    @property
    def kernel(self) -> tuple[int, ...]:
        """Frames, if it reaches over several, height and width."""
        return (self.size, self.size) if self.frames is None else (self.frames, self.size, self.size)

    @property
    def numbers(self) -> int:
        return self.channels * (self.frames or 1) * self.size**2


@dataclass(frozen=True, slots=True)
class Square:
    """A learned square of vectors with `side` rows, stretched over each image, or taken as it is (`nearest`)."""

    side: int
    interpolation: Literal["bilinear", "bicubic", "nearest"]
    align: Literal["centers", "corners"]


@dataclass(frozen=True, slots=True)
class NativeVit(Spec):
    """A decided encoder. After each number of layers in `taps` hidden states leave it; `features` leave if `whole`.

    With a `class_token` each image has one, which sees its patches, turns by learned angles, and stays inside. Without
    a `patch`, features come in, row by row.
    """

    patch: Patch | None
    rope: Rope2d | None
    square: Square | None
    norm: Norm
    final_norm: bool
    layers: Stack
    taps: tuple[int, ...]
    whole: bool = True
    class_token: bool = False
    input_norm: bool = False

    @property
    def stack(self) -> Stack:
        return self.layers

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim = self.layers.dim
        if self.patch:
            yield plain("patch.weight", dim, self.patch.channels, *self.patch.kernel)
            if self.patch.bias:
                yield plain("patch.bias", dim)
            if self.patch.norm:
                yield from norm("patch_norm", self.norm, dim)
        if self.square:
            yield plain("position.weight", self.square.side**2, dim)
        if self.class_token:
            yield plain("class_token", dim)
            if self.rope:
                yield plain("class_angle", self.layers.attentions[0].head_dim // 2)
        if self.input_norm:
            yield from norm("input_norm", self.norm, dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.norm, dim)

    def summary(self) -> str:
        heads = f", {counted(self.layers.attentions[0].heads, 'head')}" if self.layers.attentions else ""
        size = f"patches of {self.patch.size} px" if self.patch else "features"
        return f"native_vit, {size}, {counted(len(self.layers.order), 'layer')}, {self.layers.dim} wide{heads}"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.layers.dim, **self.layers.resolved()}

    def prune(self, outputs: frozenset[str]) -> tuple[NativeVit, tuple[str, ...]]:
        taps = tuple(tap for tap in self.taps if _port(tap) in outputs)
        if "features" in outputs:
            return replace(self, taps=taps), ()
        run = max(taps, default=0)
        dead = [f"layers.{index}" for index in range(run, len(self.layers.order))]
        dead += ["norm"] if self.final_norm else []
        spec = replace(self, layers=self.layers.first(run), final_norm=False, taps=taps, whole=False)
        return spec, tuple(dead)

    def with_stack(self, stack: Stack) -> NativeVit:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class NativeVitView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    grid: GridView
    patch: Patch | None
    patch_norm: str
    input_norm: str
    class_token: bool
    rope: Rope2d | None
    rotation: RotationView | None
    square: Square | None
    final_norm: str
    taps: tuple[int, ...]
    whole: bool
    output: str

    @property
    def bias(self) -> str:
        return "" if self.patch and self.patch.bias else ", bias=False"

    @property
    def conv(self) -> str:
        """The class of the patch projection."""
        return "Conv2d" if self.patch and self.patch.frames is None else "Conv3d"

    @property
    def given(self) -> str:
        """The parameter of `forward` for what comes in."""
        return "patches" if self.patch else "x"

    @property
    def group(self) -> bool:
        """Whether patches of blocks stand together."""
        return self.patch is not None and self.patch.group > 1

    @property
    def result(self) -> str:
        """What `forward` gives: hidden states at the end, those in between, or both."""
        if not self.taps:
            return "x"
        return "x, *taps" if self.whole else "tuple(taps)"


class NativeVitComponent:
    """Ports, checks and page of `encoder/native_vit`."""

    modules = MODULES | {"patch", "patch_norm", "position", "class_token", "class_angle", "input_norm", "norm"}

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", removable=False)
        patches, patch = Var(f"{name}.patches", "patches"), _patch(settings)
        given = {"features": Port("features", (1, patches, sizes["dim"]))}
        if patch:
            numbers = Var(f"{name}.numbers", "numbers")
            text = f"{' x '.join(map(str, (patch.channels, *patch.kernel)))} numbers"
            written[numbers] = Written(patch.numbers, settings.span("patch"), name, text=text)
            given = {"patches": Port("patches", (patches, numbers))}
        features = Port("features", (1, patches, sizes["dim"]))
        taps = settings.get("output", "taps", default=[])
        return Signature(
            inputs={**given, "grid": Port("grid", (Var(f"{name}.images", "images"), 3))},
            outputs={"features": features, **{_port(tap): features for tap in taps}},
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> NativeVit | None:
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems, grid=True)
        if blocks is None or not _check(inferred.node, settings, blocks, problems):
            return None
        positions = settings.get("position")
        found = positions if isinstance(positions, list) else [] if positions == "none" else [positions]
        by_type = {each["type"]: each for each in found}
        _check_nearest(inferred.node, settings, by_type.get("learned"), problems)
        rope, square = by_type.get("rope2d"), by_type.get("learned")
        return NativeVit(
            patch=_patch(settings),
            rope=rope2d(rope) if rope else None,
            square=Square(int(square["side"]), square.get("interpolation", "bilinear"), square.get("align", "centers"))
            if square
            else None,
            norm=parse_norm(settings, "norm"),
            final_norm=bool(settings.get("final_norm", default=True)),
            layers=blocks,
            taps=tuple(settings.get("output", "taps", default=[])),
            class_token=bool(settings.get("class_token", default=False)),
            input_norm=bool(settings.get("input_norm", default=False)),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, NativeVit)
        name = class_name(node.name)
        config = f"{name}Config"
        patch_norm = spec.patch is not None and spec.patch.norm
        outer = spec.norm if spec.final_norm or patch_norm or spec.input_norm else None
        use = grid_use(spec.layers, turned=spec.rope is not None)
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=(outer,))
        grid, more = grid_view(spec.layers)
        fields: tuple[Field, ...] = (*_own_fields(spec), *blocks.fields, *more)
        built, fields = outer_norm(fields, outer)
        view = NativeVitView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            stack=blocks,
            grid=grid,
            patch=spec.patch,
            patch_norm=built if patch_norm else "",
            input_norm=built if spec.input_norm else "",
            class_token=spec.class_token,
            rope=spec.rope,
            rotation=spec.rope.rotation if spec.rope else None,
            square=spec.square,
            final_norm=built if spec.final_norm else "",
            taps=spec.taps if spec.whole or len(spec.taps) > 1 else (),
            whole=spec.whole,
            output=f"[1, patches, {spec.layers.dim}]",
        )
        ports = (*(["features"] if spec.whole else []), *map(_port, spec.taps))
        call = Statement(
            ", ".join(wiring.results.get(port, "_") for port in ports),
            f"self.{node.module}",
            (wiring.arguments["patches" if spec.patch else "features"], wiring.arguments["grid"]),
            wiring.shapes["features"],
        )
        return NodePage("encoder/native_vit.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


def _port(tap: int) -> str:
    """The output with the hidden states after so many layers."""
    return f"layer_{tap}"


def _patch(settings: Settings) -> Patch | None:
    """What a row of patches holds; nothing where features come in."""
    patch = settings.child("patch")
    if not settings.has("patch"):
        return None
    return Patch(
        size=int(patch.get("size")),
        channels=int(patch.get("channels", default=3)),
        frames=patch.get("frames"),
        group=int(patch.get("group", default=1)),
        bias=bool(patch.get("bias", default=False)),
        norm=bool(patch.get("norm", default=False)),
    )


def _own_fields(spec: NativeVit) -> Iterator[Field]:
    """Config fields of what stands before the layers."""
    patch = spec.patch
    if patch:
        yield Field("channels", "int", str(patch.channels))
        axes = "height, width" if patch.frames is None else "frames, height, width"
        yield Field("patch_size", f"tuple[{', '.join(['int'] * len(patch.kernel))}]", literal(patch.kernel), axes)
    if patch and patch.group > 1:
        yield Field("group", "int", str(patch.group), "side of the blocks of patches that stand together")
    if spec.square:
        yield Field("side", "int", str(spec.square.side), "rows and columns of the square of positions")
    if spec.taps and (spec.whole or len(spec.taps) > 1):
        yield Field("taps", "tuple[int, ...]", literal(spec.taps), "states after these are given too")
    if spec.rope:
        yield Field("rope_theta", "float", literal(spec.rope.theta))


_UNREAD = (
    ("patch", "remainder"),
    ("patch", "partial"),
    ("output", "layer"),
    ("output", "layers"),
    ("output", "drop_cls"),
    ("output", "norm"),
)


def _check(name: str, settings: Settings, blocks: Stack, problems: Problems) -> bool:
    check_order(name, settings, blocks, problems, tokens="the patches of an image")
    check_read(name, "native_vit", settings, _UNREAD, problems)
    if not check_rope2d(name, settings, blocks, problems) or not _check_class(name, settings, blocks, problems):
        return False
    count, taps = layer_count(settings), settings.get("output", "taps", default=[])
    wrong = next((tap for tap in taps if tap > count), None)
    if wrong is None:
        return True
    problems.clash(
        "no-such-layer",
        f"`taps` of `{name}` names the state after {wrong} layers, and there are {count}",
        Label(settings.span("output", "taps"), "no such state"),
        *settings.labels("layers", text=f"{count} layers"),
        help=f"use numbers from 0 to {count}",
    )
    return False


def _check_nearest(name: str, settings: Settings, square: Mapping[str, Any] | None, problems: Problems) -> None:
    """Note corners of a square that is not stretched."""
    if square and square.get("interpolation") == "nearest" and "align" in square:
        problems.error(
            "unread-setting",
            f"`align` of the positions of `{name}` is not read: with `nearest`, a patch has that of its cell",
            settings.span("position"),
            help="remove `align`, or use another `interpolation`",
        )


def _check_class(name: str, settings: Settings, blocks: Stack, problems: Problems) -> bool:
    """Whether each image can have a class token: where there are images alone, whose patches all see each other."""
    if not settings.get("class_token", default=False):
        return True
    found: tuple[tuple[bool, str, tuple[str, ...]], ...] = (
        (settings.has("patch", "frames"), "has no frame to stand in", ("patch", "frames")),
        (any(op.grid and op.grid.within == "window" for op in blocks.attentions), "is in no window", ("attention",)),
        (bool(settings.get("output", "taps", default=[])), "is among the states between layers", ("output", "taps")),
    )
    wrong = next(((why, path) for there, why, path in found if there), None)
    if wrong is None:
        return True
    why, path = wrong
    problems.clash(
        "bad-class-token",
        f"the class token of `{name}` {why}",
        Label(settings.span("class_token"), "one for each image"),
        Label(settings.span(*path), "does not go with it"),
        help=f"remove `class_token`, or `{path[-1]}`",
    )
    return False


COMPONENT = NativeVitComponent()
