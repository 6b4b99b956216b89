"""`encoder/vit`: images in patches through a stack of bidirectional layers.

Covers class token or not, a norm before the first layer or not, learned positions or none, and as output the hidden
state of any layer, or of several side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ...blocks.expressions import norm_expression, norm_field
from ...blocks.parameters import MODULES, Parameter, norm, plain, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.parse_norm import make_norm, norm_settings
from ...blocks.settings import Stack
from ...blocks.settings_norm import Norm
from ...blocks.use import Use
from ...blocks.views import StackView, stack_view
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
from ._order import check_mask, check_order, check_read
from ._patches import check_patches, image_size, tokens_of
from ._states import check_taps, output_width, tap_port, tapped, wanted_states
from ._turning import Rope2d, check_rope2d, read_positions

ClassToken = Literal["", "first", "last"]


@dataclass(frozen=True, slots=True)
class Vit(Spec):
    """A decided vision transformer.

    `run` is how many layers are called, counted from the first. `taps` are the hidden states that stand side by side in
    the output, if it is more than one; 0 is the embeddings. After each number of layers in `ports` hidden states leave
    it as an output of their own; the output itself, there after `last` layers, does if `features`. Of an image with a
    mask, positions that are `bucketed` are those of equal parts of what is no padding; patches that are padding in part
    are none, or (`whole`) hidden too. `seen` if an output says which these are. The class token stands before the
    patches or behind them.
    """

    height: int
    width: int
    channels: int
    patch: int
    patch_bias: bool
    patch_norm: Norm | None
    class_token: ClassToken
    position: bool
    bucketed: bool
    rope: Rope2d | None
    masked: bool
    input_norm: Norm | None
    final_norm: Norm | None
    layers: Stack
    last: int
    run: int
    taps: tuple[int, ...]
    normed: bool
    drop_class: bool
    ports: tuple[int, ...] = ()
    features: bool = True
    whole: bool = False
    seen: bool = False

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of patches, where attention goes by them: positions are kept in that form then."""
        return next((op.square for op in self.layers.attentions if op.square), None)

    @property
    def stack(self) -> Stack:
        return self.layers

    @property
    def patches(self) -> int:
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def tokens(self) -> int:
        """Tokens inside the stack."""
        return self.patches + bool(self.class_token)

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim = self.layers.dim
        yield plain("patch.weight", dim, self.channels, self.patch, self.patch)
        if self.patch_bias:
            yield plain("patch.bias", dim)
        if self.patch_norm:
            yield from norm("patch_norm", self.patch_norm, dim)
        if self.class_token:
            yield plain("class_token", dim)
        if self.position:
            yield plain("position", *(self.grid or (self.tokens,)), dim)
        if self.input_norm:
            yield from norm("input_norm", self.input_norm, dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, dim)

    def summary(self) -> str:
        size = f"{self.height} px" if self.height == self.width else f"{self.height} x {self.width} px"
        heads = f", {counted(self.layers.attentions[0].heads, 'head')}" if self.layers.attentions else ""
        return f"vit, {size}, {counted(len(self.layers.order), 'layer')}, {self.layers.dim} wide{heads}"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.layers.dim, **self.layers.resolved()}

    def prune(self, outputs: frozenset[str]) -> tuple[Vit, tuple[str, ...]]:
        ports = tuple(tap for tap in self.ports if tap_port(tap) in outputs)
        features = "features" in outputs or not ports
        run = max((*ports, *((self.last,) if features else ())))
        normed = self.normed and features
        dead = [f"layers.{index}" for index in range(run, len(self.layers.order))]
        if self.final_norm and not normed:
            dead.append("norm")
        spec = replace(
            self,
            layers=self.layers.first(run),
            final_norm=self.final_norm if normed else None,
            run=run,
            taps=self.taps if features else (),
            normed=normed,
            ports=ports,
            features=features,
            seen=self.seen and "seen" in outputs,
        )
        return spec, tuple(dead)

    def with_stack(self, stack: Stack) -> Vit:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class VitView:
    """What the template of a vision transformer places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    channels: int
    patch_bias: str
    patch_norm: str
    class_token: ClassToken
    position: bool
    bucketed: bool
    rope: Rope2d | None
    rotation: RotationView | None
    masked: bool
    input_norm: str
    final_norm: str
    normed: bool
    partial: bool
    taps: bool
    drop_class: bool
    grid: bool
    ports: tuple[int, ...]
    features: bool
    whole: bool
    seen: bool
    image: str
    inside: str
    output: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        return ("self", "image: Tensor", *(("pixel_mask: Tensor | None",) if self.masked else ()))

    @property
    def returned(self) -> tuple[str, ...]:
        """What `forward` returns."""
        tokens = ("[:, 1:]" if self.class_token == "first" else "[:, :-1]") if self.drop_class else ""
        states = (f"states[{tap}]{tokens}" for tap in self.ports)
        features = (f"x{tokens}",) if self.features else ()
        return (*features, *states, *(("seen.flatten(1)",) if self.seen else ()))

    @property
    def more(self) -> str:
        """What these are besides the first, in words."""
        states = ", and states after some layers" if self.ports else ""
        return states + (", and which tokens are no padding" if self.seen else "")


class VitComponent:
    """Ports, checks and page of `encoder/vit`."""

    modules = MODULES | {"patch", "patch_norm", "class_token", "position", "input_norm", "norm"}

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", removable=False)
        axes = ("channels", "height", "width", "tokens")
        channels, height, width, tokens = (Var(f"{name}.{axis}", axis) for axis in axes)
        images = Var(f"{name}.images", "images")
        high, wide = image_size(settings)
        written |= {
            channels: Written(
                int(settings.get("image", "channels", default=3)), settings.span("image", "channels"), name
            ),
            height: Written(high, settings.span("image", "size"), name),
            width: Written(wide, settings.span("image", "size"), name),
            tokens: tokens_of(name, settings),
        }
        bucketed = read_positions(settings)[0] == "bucketed"
        return Signature(
            inputs={
                "image": Port("image", (images, channels, height, width)),
                "pixel_mask": Port("pixel_mask", (images, height, width), optional=not bucketed),
            },
            outputs={
                "features": Port("features", (images, tokens, output_width(settings, sizes["dim"]))),
                **{tap_port(tap): Port("features", (images, tokens, sizes["dim"])) for tap in tapped(settings)},
                **({"seen": Port("mask", (images, tokens))} if _is_masked(settings) else {}),
            },
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Vit | None:
        height, width = image_size(settings)
        patch = int(settings.get("patch", "size"))
        check_patches(inferred.node, settings, problems)
        unread = _UNREAD if _is_masked(settings) else (*_UNREAD, ("patch", "partial"))
        check_read(inferred.node, "vit", settings, unread, problems)
        class_token = _class_token(settings)
        square = None if class_token else (height // patch, width // patch)
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems, square=square)
        if blocks:
            check_order(inferred.node, settings, blocks, problems, tokens="the patches of an image")
        states, ports = wanted_states(inferred.node, settings, problems), tapped(settings)
        check_taps(inferred.node, settings, problems)
        drop = bool(settings.get("output", "drop_cls", default=False))
        if drop and not class_token:
            problems.clash(
                "no-class-token",
                f"`drop_cls` of `{inferred.node}` would drop the first patch: this encoder has no class token",
                Label(settings.span("output", "drop_cls"), "drops the first token"),
                *settings.labels("class_token", text="no class token"),
                help="remove `drop_cls`, or set `class_token: true`",
            )
        padded = "pixel_mask" in inferred.inputs
        turned = blocks is None or check_rope2d(inferred.node, settings, blocks, problems)
        if (
            blocks is None
            or states is None
            or not turned
            or (padded and not check_mask(inferred.node, settings, blocks, problems))
        ):
            return None
        settings_norm = parse_norm(settings, "norm")
        final = settings.get("final_norm", default=True)
        own_norm = make_norm(norm_settings(settings.get("norm"), {} if final is True else final)) if final else None
        added, rope = read_positions(settings)
        inner = settings.has("output", "layer") or settings.has("output", "layers")
        return Vit(
            height=height,
            width=width,
            channels=int(settings.get("image", "channels", default=3)),
            patch=patch,
            patch_bias=bool(settings.get("patch", "bias", default=False)),
            patch_norm=settings_norm if settings.get("patch", "norm", default=False) else None,
            class_token=class_token,
            position=bool(added),
            bucketed=added == "bucketed",
            rope=rope,
            masked=padded,
            input_norm=settings_norm if settings.get("input_norm", default=False) else None,
            final_norm=own_norm,
            layers=blocks,
            last=max(states),
            run=max((*states, *ports)),
            taps=states if len(states) > 1 else (),
            normed=bool(final) and bool(settings.get("output", "norm", default=not inner)),
            drop_class=drop and bool(class_token),
            ports=ports,
            whole=settings.get("patch", "partial", default="seen") == "hidden",
            seen=padded,
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Vit)
        name = class_name(node.name)
        config = f"{name}Config"
        blocks = stack_view(
            spec.layers,
            config,
            Use(rope=spec.rope.rotation.name if spec.rope else "", mask="Tensor" if spec.masked else ""),
            tp=node.tensor_parallel,
            outer=(spec.patch_norm, spec.input_norm, spec.final_norm),
        )
        square = spec.height == spec.width
        size = str(spec.height) if square else f"({spec.height}, {spec.width})"
        fields = (
            Field("image_size", "int" if square else "tuple[int, int]", size),
            Field("patch_size", "int", str(spec.patch)),
            Field("tokens", "int", str(spec.tokens), "patches and class token" if spec.class_token else "patches"),
            *blocks.fields,
        )
        rope = spec.rope if blocks.blocks else None
        if spec.bucketed or (rope and not spec.grid):
            rows, columns = spec.height // spec.patch, spec.width // spec.patch
            fields = (
                *fields,
                Field("grid", "tuple[int, int]", literal((rows, columns)), "rows and columns of patches"),
            )
        if rope:
            fields = (*fields, Field("rope_theta", "float", literal(rope.theta)))
        norms = []
        for each, field in (
            (spec.patch_norm or spec.input_norm, "outer_norm_eps"),
            (spec.final_norm, "final_norm_eps"),
        ):
            eps = ""
            if each:
                eps, fields = norm_field(fields, each, field)
            norms.append(eps)
        eps, final_eps = norms
        # The state after all layers that are run needs no list of states.
        inner = spec.ports if spec.features or len(spec.ports) > 1 else ()
        view = VitView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            stack=blocks,
            channels=spec.channels,
            patch_bias="" if spec.patch_bias else ", bias=False",
            patch_norm=norm_expression(spec.patch_norm, "config.dim", eps) if spec.patch_norm else "",
            class_token=spec.class_token,
            position=spec.position,
            bucketed=spec.bucketed,
            rope=rope,
            rotation=rope.rotation if rope else None,
            masked=spec.masked,
            input_norm=norm_expression(spec.input_norm, "config.dim", eps) if spec.input_norm else "",
            final_norm=norm_expression(spec.final_norm, "config.dim", final_eps) if spec.final_norm else "",
            normed=spec.normed,
            partial=spec.run < len(spec.layers.order),
            taps=bool(spec.taps),
            drop_class=spec.drop_class,
            grid=spec.grid is not None,
            ports=inner,
            features=spec.features or not inner,
            whole=spec.whole,
            seen=spec.seen,
            image=f"[images, {spec.channels}, {spec.height}, {spec.width}]",
            inside=f"[images, {spec.tokens}, {spec.layers.dim}]",
            output=f"[images, {spec.tokens - spec.drop_class}, {spec.layers.dim * max(len(spec.taps), 1)}]",
        )
        if view.partial:
            fields = (*fields, Field("run_layers", "int", str(spec.run), "the output is taken after these"))
        if spec.taps:
            fields = (*fields, Field("output_layers", "tuple[int, ...]", literal(spec.taps), "0 is the embeddings"))
        features = ("features",) if spec.features else ()
        outputs = (*features, *map(tap_port, spec.ports), *(("seen",) if spec.seen else ()))
        call = Statement(
            ", ".join(wiring.results.get(port, "_") for port in outputs),
            f"self.{node.module}",
            tuple(wiring.arguments[port] for port in node.inputs),
            wiring.shapes[outputs[0]],
        )
        return NodePage("encoder/vit.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


_UNREAD = (("patch", "channels"), ("patch", "frames"), ("patch", "group"))


def _class_token(settings: Settings) -> ClassToken:
    value = settings.get("class_token", default=False)
    return "first" if value is True else value or ""


def _is_masked(settings: Settings) -> bool:
    """Whether images come with a mask."""
    return settings.get("position", default="learned") == "bucketed" or settings.has("inputs", "pixel_mask")


COMPONENT = VitComponent()
