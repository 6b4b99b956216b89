"""`encoder/audio`: spectrograms through convolutions along time and a stack of bidirectional layers.

Covers any number of convolutions, learned or fixed positions or none, padded clips, and tokens that are joined at the
end: averaged, or put side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from ...blocks.expressions import activated, norm_expression, norm_field
from ...blocks.parameters import MODULES, Parameter, norm, plain, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.settings import Stack
from ...blocks.settings_norm import Norm
from ...blocks.use import Use
from ...blocks.views import StackView, stack_view
from ...code import Field, Statement, literal
from ...diagnostics import Label
from ...dims import Many, Sum, Var, Written, show_shape
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._order import check_order


@dataclass(frozen=True, slots=True)
class Pool:
    """`size` tokens become one, before the final norm or after it."""

    type: Literal["mean", "concat"]
    size: int
    before_norm: bool


@dataclass(frozen=True, slots=True)
class Audio(Spec):
    """A decided audio encoder. `frames` is None where clips may have any length; `masked` if they may be padded.

    Rates of `sincos` positions fall from 1 to 1 / `theta`.
    """

    bins: int
    frames: int | None
    kernel: int
    strides: tuple[int, ...]
    activation: str
    front_bias: bool
    position: Literal["learned", "sincos", "none"]
    theta: float
    layers: Stack
    final_norm: Norm | None
    pool: Pool | None
    masked: bool

    @property
    def stack(self) -> Stack:
        return self.layers

    @property
    def tokens(self) -> int:
        """Tokens inside the stack, where clips have a known length."""
        return _after(self.frames or 0, self.strides)

    @property
    def normed(self) -> int:
        """Width where the final norm stands."""
        wide = self.pool is not None and self.pool.type == "concat" and self.pool.before_norm
        return self.layers.dim * (self.pool.size if self.pool and wide else 1)

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim = self.layers.dim
        for index in range(len(self.strides)):
            yield plain(f"conv_{index + 1}.weight", dim, dim if index else self.bins, self.kernel)
            if self.front_bias:
                yield plain(f"conv_{index + 1}.bias", dim)
        if self.position == "learned":
            yield plain("position", self.tokens, dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, self.normed)

    def summary(self) -> str:
        size = f"{self.bins} bins" if self.frames is None else f"{self.bins} bins x {self.frames} frames"
        heads = f", {counted(self.layers.attentions[0].heads, 'head')}" if self.layers.attentions else ""
        return f"audio, {size}, {counted(len(self.layers.order), 'layer')}, {self.layers.dim} wide{heads}"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.layers.dim, **self.layers.resolved()}

    def with_stack(self, stack: Stack) -> Audio:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution of the front: its attribute, what it reads, and its stride."""

    name: str
    inside: str
    stride: int


@dataclass(frozen=True, slots=True)
class AudioView:
    """What the template of an audio encoder places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    kernel: int
    convolutions: tuple[Convolution, ...]
    front_bias: str
    front_activation: str
    position: str
    final_norm: str
    pool: Pool | None
    stride: int
    masked: bool
    audio: str
    inside: str
    output: str

    def activated(self, value: str) -> str:
        """The activation of the front applied to the expression `value`."""
        return activated(self.front_activation, value)

    @property
    def quick_gelu(self) -> bool:
        """Whether the front alone needs that function."""
        return self.front_activation == "quick_gelu" and not self.stack.quick_gelu

    @property
    def torch(self) -> bool:
        return self.position != "none" or self.masked or self.quick_gelu or self.stack.torch

    @property
    def functional(self) -> bool:
        return self.front_activation != "quick_gelu" or self.stack.functional


class AudioComponent:
    """Ports, checks and page of `encoder/audio`."""

    modules = MODULES | {"conv_*", "position", "norm"}

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", removable=False)
        clips, bins, frames, tokens = (Var(f"{name}.{axis}", axis) for axis in ("clips", "bins", "frames", "tokens"))
        written[bins] = Written(int(settings.get("audio", "bins")), settings.span("audio", "bins"), name)
        if settings.has("audio", "frames"):
            written[frames] = Written(_frames(settings), settings.span("audio", "frames"), name)
            written[tokens] = _tokens(name, settings)
        pool = _pool(settings)
        wide = pool is not None and pool.type == "concat"
        width = Sum((Many(pool.size, sizes["dim"]),)) if pool and wide else sizes["dim"]
        outputs = {"features": Port("features", (clips, tokens, width))}
        if _masked(settings):
            outputs["mask"] = Port("mask", (clips, tokens))
        return Signature(
            inputs={
                "audio": Port("audio", (clips, bins, frames)),
                "mask": Port("mask", (clips, frames), optional=True),
            },
            outputs=outputs,
            sizes=sizes,
            written=written,
            absent={"mask": Label(settings.span("inputs"), "no `mask` is fed")},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Audio | None:
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems)
        if blocks is None:
            return None
        check_order(inferred.node, settings, blocks, problems, tokens="the tokens of a clip")
        pool, position = _pool(settings), settings.get("position", "type", default="") or settings.get("position")
        _check_position(inferred.node, settings, position, blocks.dim, problems)
        _check_pool(inferred.node, settings, pool, problems)
        return Audio(
            bins=int(settings.get("audio", "bins")),
            frames=_frames(settings) if settings.has("audio", "frames") else None,
            kernel=int(settings.get("front", "kernel", default=3)),
            strides=_strides(settings),
            activation=settings.get("front", "activation", default="gelu"),
            front_bias=bool(settings.get("front", "bias", default=True)),
            position=position,
            theta=float(settings.get("position", "theta", default=10000.0)),
            layers=blocks,
            final_norm=parse_norm(settings, "norm") if settings.get("final_norm", default=True) else None,
            pool=pool,
            masked=_masked(settings),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Audio)
        name = class_name(node.name)
        config = f"{name}Config"
        use = Use(("clips", "tokens"), mask="Tensor" if spec.masked else "")
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=(spec.final_norm,))
        fields: tuple[Field, ...] = (Field("bins", "int", str(spec.bins), "of frequency"),)
        if spec.position == "sincos":
            fields += (Field("theta", "float", literal(spec.theta), "how much slower the last rate is than the first"),)
        if spec.position != "none":
            fields += (Field("tokens", "int", str(spec.tokens), f"{spec.frames} frames after the convolutions"),)
        fields += blocks.fields
        eps = ""
        if spec.final_norm:
            eps, fields = norm_field(fields, spec.final_norm, "outer_norm_eps")
        width = "config.dim" if spec.normed == spec.layers.dim else f"{spec.normed // spec.layers.dim} * config.dim"
        given = node.signature.inputs["audio"].shape
        view = AudioView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            stack=blocks,
            kernel=spec.kernel,
            convolutions=tuple(
                Convolution(f"conv_{index + 1}", "config.dim" if index else "config.bins", stride)
                for index, stride in enumerate(spec.strides)
            ),
            front_bias="" if spec.front_bias else ", bias=False",
            front_activation=spec.activation,
            position=spec.position,
            final_norm=norm_expression(spec.final_norm, width, eps) if spec.final_norm else "",
            pool=spec.pool,
            stride=prod(spec.strides),
            masked=spec.masked,
            audio=show_shape(given),
            inside=f"[clips, {spec.tokens if spec.frames else 'tokens'}, {spec.layers.dim}]",
            output=show_shape(node.signature.outputs["features"].shape),
        )
        construct = f"{name}(config.{node.name})"
        return NodePage("encoder/audio.py.j2", view, name, fields, construct, (_call(node, wiring),))


def _call(node: Node, wiring: Wiring) -> Statement:
    """The line of `model.py` that calls the encoder."""
    function, arguments = f"self.{node.module}", [wiring.arguments["audio"]]
    if "mask" not in node.signature.outputs:
        return Statement(wiring.results["features"], function, tuple(arguments), wiring.shapes["features"])
    target = f"{wiring.results.get('features', '_')}, {wiring.results.get('mask', '_')}"
    return Statement(target, function, (*arguments, wiring.arguments["mask"]), wiring.shapes["features"])


def _masked(settings: Settings) -> bool:
    """Whether clips may be padded: somebody says where."""
    return isinstance(settings.get("inputs"), dict) and settings.has("inputs", "mask")


def _strides(settings: Settings) -> tuple[int, ...]:
    return tuple(int(stride) for stride in settings.get("front", "strides"))


def _frames(settings: Settings) -> int:
    return int(settings.get("audio", "frames"))


def _after(frames: int, strides: tuple[int, ...]) -> int:
    """The length of a clip after the convolutions, which keep it but for their strides."""
    for stride in strides:
        frames = -(-frames // stride)
    return frames


def _pool(settings: Settings) -> Pool | None:
    if not settings.has("pool"):
        return None
    before = settings.get("pool", "place", default="after_norm") == "before_norm"
    return Pool(settings.get("pool", "type"), int(settings.get("pool", "size")), before)


def _tokens(name: str, settings: Settings) -> Written:
    """How many tokens a clip becomes."""
    tokens, pool = _after(_frames(settings), _strides(settings)), _pool(settings)
    text = f"{_frames(settings)} frames" if pool is None else f"{tokens} tokens, {pool.size} of which become one"
    return Written(tokens // pool.size if pool else tokens, settings.span("audio", "frames"), name, text=text)


_LEAST = 4


def _check_position(name: str, settings: Settings, position: str, dim: int, problems: Problems) -> None:
    if position == "none":
        return
    if position == "sincos" and (dim % 2 or dim < _LEAST):
        problems.clash(
            "odd-head-dim",
            f"the fixed positions of `{name}` are sines and as many cosines, at least two of each: they cannot be {dim}"
            " wide",
            Label(settings.span("position"), "fixed"),
            *settings.labels("dim", text=f"{dim} wide"),
            help=f"use a width of {max(_LEAST, dim + dim % 2)}, or `position: learned`",
        )
    if settings.has("audio", "frames"):
        return
    problems.error(
        "cannot-infer",
        f"nothing says how long the clips of `{name}` are, and its positions are a table with a row for each token",
        settings.span("audio"),
        note="`frames` is open",
        labels=settings.labels("position", text="a table"),
        help="write `frames` here, or `position: none`",
    )


def _check_pool(name: str, settings: Settings, pool: Pool | None, problems: Problems) -> None:
    if pool is None or not settings.has("audio", "frames"):
        return
    tokens = _after(_frames(settings), _strides(settings))
    if tokens % pool.size == 0 and tokens:
        return
    each = prod(_strides(settings)) * pool.size
    fit = max(1, _frames(settings) // each) * each
    problems.clash(
        "frames-not-divisible",
        f"the {tokens} tokens of a clip of `{name}` do not divide into groups of {pool.size}",
        Label(settings.span("pool", "size"), f"{tokens} / {pool.size} = {tokens / pool.size:.2f}"),
        *settings.labels("audio", "frames", text=f"{tokens} tokens after the convolutions"),
        help=f"use clips of {fit} frames, or any other multiple of {each}",
    )


COMPONENT = AudioComponent()
