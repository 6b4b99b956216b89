"""`encoder/video_vit`: videos of one size, the patches of all their frames in one sequence, through a stack of layers.

Patches see all others, those of their frame, or those at their place in all frames, sublayer by sublayer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...blocks.expressions import outer_norm
from ...blocks.parameters import MODULES, Parameter, norm, plain, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.settings import Stack
from ...blocks.settings_norm import Norm
from ...blocks.use import Use
from ...blocks.views import StackView, stack_view
from ...code import Field, Statement
from ...dims import Var, Written
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._order import check_order, check_read
from ._patches import check_patches, image_size


@dataclass(frozen=True, slots=True)
class VideoVit(Spec):
    """A decided tower for videos of so many frames, whose patches have a learned position each, as the frames have.

    If it is `pooled`, it gives the mean of each place over all frames.
    """

    height: int
    width: int
    channels: int
    frames: int
    patch: int
    patch_bias: bool
    class_token: bool
    final_norm: Norm | None
    layers: Stack
    pooled: bool

    @property
    def stack(self) -> Stack:
        return self.layers

    @property
    def patches(self) -> int:
        """Patches of a frame."""
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def tokens(self) -> int:
        """How many it gives."""
        return self.patches * (1 if self.pooled else self.frames) + self.class_token

    @property
    def within(self) -> frozenset[str]:
        """What attentions stay within."""
        ops = (each.op for kind in self.layers.kinds for each in kind.sublayers)
        return frozenset(grid.within for op in ops if (grid := getattr(op, "grid", None)))

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim = self.layers.dim
        yield plain("patch.weight", dim, self.channels, self.patch, self.patch)
        if self.patch_bias:
            yield plain("patch.bias", dim)
        if self.class_token:
            yield plain("class_token", dim)
        yield plain("position", self.patches + self.class_token, dim)
        yield plain("time", self.frames, dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, dim)

    def summary(self) -> str:
        size = f"{self.height} px" if self.height == self.width else f"{self.height} x {self.width} px"
        layers = counted(len(self.layers.order), "layer")
        return f"video_vit, {counted(self.frames, 'frame')} of {size}, {layers}, {self.layers.dim} wide"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.layers.dim, **self.layers.resolved()}

    def with_stack(self, stack: Stack) -> VideoVit:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class VideoVitView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    channels: int
    patch_bias: str
    class_token: bool
    final_norm: str
    within: frozenset[str]
    pooled: bool
    video: str
    output: str


class VideoVitComponent:
    """Ports, checks and page of `encoder/video_vit`."""

    modules = MODULES | {"patch", "class_token", "position", "time", "norm"}

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", removable=False)
        axes = ("frames", "channels", "height", "width", "tokens")
        frames, channels, height, width, tokens = (Var(f"{name}.{axis}", axis) for axis in axes)
        (high, wide), patch = image_size(settings), int(settings.get("patch", "size"))
        videos, own = Var(f"{name}.videos", "videos"), bool(settings.get("class_token", default=False))
        count, span = int(settings.get("frames")), settings.span("image", "size")
        pooled = settings.get("pool", default="none") == "frames"
        many = (high // patch) * (wide // patch) * (1 if pooled else count) + own
        of = "the mean of frames" if pooled else f"{count} frames"
        written |= {
            frames: Written(count, settings.span("frames"), name),
            channels: Written(
                int(settings.get("image", "channels", default=3)), settings.span("image", "channels"), name
            ),
            height: Written(high, span, name),
            width: Written(wide, span, name),
            tokens: Written(many, span, name, text=f"{of} of {high // patch} x {wide // patch} patches"),
        }
        return Signature(
            inputs={"video": Port("video", (videos, frames, channels, height, width))},
            outputs={"features": Port("features", (videos, tokens, sizes["dim"]))},
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> VideoVit | None:
        check_patches(inferred.node, settings, problems)
        check_read(inferred.node, "video_vit", settings, _UNREAD, problems)
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems, video=True)
        if blocks is None:
            return None
        check_order(inferred.node, settings, blocks, problems, tokens="the patches of a video")
        (height, width) = image_size(settings)
        return VideoVit(
            height=height,
            width=width,
            channels=int(settings.get("image", "channels", default=3)),
            frames=int(settings.get("frames")),
            patch=int(settings.get("patch", "size")),
            patch_bias=bool(settings.get("patch", "bias", default=False)),
            class_token=bool(settings.get("class_token", default=False)),
            final_norm=parse_norm(settings, "norm") if settings.get("final_norm", default=True) else None,
            layers=blocks,
            pooled=settings.get("pool", default="none") == "frames",
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, VideoVit)
        name = class_name(node.name)
        config = f"{name}Config"
        use = Use(("videos", "tokens"), frames=bool(spec.within))
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=(spec.final_norm,))
        fields: tuple[Field, ...] = (
            Field("frames", "int", str(spec.frames)),
            Field("patch_size", "int", str(spec.patch)),
            Field("places", "int", str(spec.patches), "patches of a frame"),
            *blocks.fields,
        )
        final_norm, fields = outer_norm(fields, spec.final_norm)
        view = VideoVitView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            stack=blocks,
            channels=spec.channels,
            patch_bias="" if spec.patch_bias else ", bias=False",
            class_token=spec.class_token,
            final_norm=final_norm,
            within=spec.within,
            pooled=spec.pooled,
            video=f"[videos, {spec.frames}, {spec.channels}, {spec.height}, {spec.width}]",
            output=f"[videos, {spec.tokens}, {spec.layers.dim}]",
        )
        call = Statement(
            wiring.results["features"],
            f"self.{node.module}",
            (wiring.arguments["video"],),
            wiring.shapes["features"],
        )
        return NodePage("encoder/video_vit.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


_UNREAD = (("patch", "channels"), ("patch", "frames"), ("patch", "group"), ("patch", "norm"), ("patch", "partial"))


COMPONENT = VideoVitComponent()
