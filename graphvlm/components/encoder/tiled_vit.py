"""`encoder/tiled_vit`: images cut into tiles, the tiles of an image in one sequence of a bidirectional stack.

A tile knows its place by learned tables over rows and columns of tiles, each behind a gate. Only padding does not see
padding, as the models with such towers were trained.
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


@dataclass(frozen=True, slots=True)
class TiledVit(Spec):
    """A decided tower. `local` layers stand before the norm; `taps` are layers whose inputs stand beside the output.

    Tables of positions are over rows and columns of tiles, or over `arrangements` and their tiles.
    """

    size: int
    channels: int
    tiles: int
    arrangements: int | None
    patch: int
    patch_bias: bool
    multiple: int
    outer_norm: Norm
    layers: Stack
    local: int
    taps: tuple[int, ...]

    @property
    def stack(self) -> Stack:
        return self.layers

    @property
    def tokens(self) -> int:
        """Patches of a tile, and its class token."""
        return (self.size // self.patch) ** 2 + 1

    @property
    def padded(self) -> int:
        """Tokens of a tile inside the stack."""
        return -(-self.tokens // self.multiple) * self.multiple

    @property
    def places(self) -> int:
        """Rows of the tables: of tiles, or arrangements and one for no image."""
        return self.tiles if self.arrangements is None else self.arrangements + 1

    @property
    def width(self) -> int:
        """Numbers of a token of the output."""
        return self.layers.dim * (1 + len(self.taps))

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim, tiles = self.layers.dim, self.tiles
        yield plain("patch.weight", dim, self.channels, self.patch, self.patch)
        if self.patch_bias:
            yield plain("patch.bias", dim)
        yield plain("class_token", dim)
        yield plain("position", self.tokens, dim)
        yield plain("position_gate", 1)
        for name, tokens in (("tile_before", 1), ("tile_position", self.tokens), ("tile_after", 1)):
            yield plain(name, self.places, tiles, tokens, dim)
        yield plain("before_gate", 1)
        yield plain("after_gate", 1)
        yield from norm("input_norm", self.outer_norm, dim)
        yield from stack(self.layers)
        yield from norm("norm", self.outer_norm, dim)

    def summary(self) -> str:
        heads = counted(self.layers.attentions[0].heads, "head")
        layers = counted(len(self.layers.order), "layer")
        return f"tiled vit, {self.tiles} tiles of {self.size} px, {layers}, {self.layers.dim} wide, {heads}"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.layers.dim, **self.layers.resolved()}

    def with_stack(self, stack: Stack) -> TiledVit:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class TiledVitView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    patch_bias: str
    norm: str
    local: bool
    taps: bool
    padded: bool
    spec: TiledVit


class TiledVitComponent:
    """Ports, checks and page of `encoder/tiled_vit`."""

    modules = MODULES | {
        *("patch", "class_token", "position", "position_gate", "tile_position", "tile_before", "before_gate"),
        *("tile_after", "after_gate", "input_norm", "norm"),
    }

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", removable=False)
        axes = ("batch", "images", "tiles", "channels", "height", "width")
        batch, images, tiles, channels, height, width = (Var(f"{name}.{axis}", axis) for axis in axes)
        size, most = _side(settings), int(settings.get("tiles"))
        place, out = settings.span("image", "size"), Var(f"{name}.out", "dim")
        written |= {
            channels: Written(
                int(settings.get("image", "channels", default=3)), settings.span("image", "channels"), name
            ),
            height: Written(size, place, name),
            width: Written(size, place, name),
            tiles: Written(most, settings.span("tiles"), name),
            out: Written(
                int(settings.get("dim")) * (1 + len(settings.get("taps", default=[]))), settings.span("dim"), name
            ),
        }
        placed = {"tile_grid": Port("tile_grid", (batch, images, 2))}
        if settings.has("arrangements"):
            mask = Port("tile_mask", (batch, images, tiles))
            placed = {"arrangement": Port("arrangement", (batch, images)), "tile_mask": mask}
        return Signature(
            inputs={"tiles": Port("tiles", (batch, images, tiles, channels, height, width)), **placed},
            outputs={"features": Port("features", (batch, Var(f"{name}.tokens", "tokens"), out))},
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> TiledVit | None:
        name, size, patch = inferred.node, _side(settings), int(settings.get("patch", "size"))
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems)
        check_read(name, "tiled_vit", settings, _UNREAD, problems)
        if size % patch or isinstance(settings.get("image", "size"), list):
            problems.clash(
                "patch-not-divisible",
                f"tiles of `{name}` are squares that divide into its patches, {patch} x {patch}",
                Label(settings.span("image", "size"), f"{size} / {patch} = {size / patch:.2f}"),
                Label(settings.span("patch", "size"), "the patches"),
                help=f"write `size: {max(size // patch, 1) * patch}`",
            )
            return None
        if blocks is None:
            return None
        check_order(name, settings, blocks, problems, tokens="patches of an image")
        count, behind = len(blocks.order), int(settings.get("global_layers", default=0))
        taps = tuple(sorted(int(layer) for layer in settings.get("taps", default=[])))
        late = next((layer for layer in taps if behind <= count and layer >= count - behind), None)
        if late is not None or behind > count:
            what = f"`taps` names layer {late}" if late is not None else f"{behind} layers stand behind the norm"
            problems.clash(
                "no-such-layer",
                f"{what} of `{name}`, which has {count} layers, {max(count - behind, 0)} of them before the norm",
                Label(settings.span("taps" if late is not None else "global_layers"), "no such layer"),
                *settings.labels("layers", text=f"{count} layers"),
                help=f"use numbers below {max(count - behind, 0)}"
                if late is not None
                else f"write a number of at most {count}",
            )
            return None
        return TiledVit(
            size=size,
            channels=int(settings.get("image", "channels", default=3)),
            tiles=int(settings.get("tiles")),
            arrangements=settings.get("arrangements"),
            patch=patch,
            patch_bias=bool(settings.get("patch", "bias", default=False)),
            multiple=int(settings.get("multiple", default=1)),
            outer_norm=parse_norm(settings, "norm"),
            layers=blocks,
            local=count - behind,
            taps=taps,
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, TiledVit)
        name = class_name(node.name)
        config = f"{name}Config"
        use, of = Use(mask="Tensor"), spec.arrangements
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=(spec.outer_norm,))
        fields: tuple[Field, ...] = (
            Field("patch_size", "int", str(spec.patch)),
            Field("channels", "int", str(spec.channels)),
            Field(
                "tiles", "int", str(spec.tiles), f"at most, of an image{'' if of else '; and rows or columns of them'}"
            ),
            *((Field("arrangements", "int", str(of), "of tiles"),) if of else ()),
            Field("tokens", "int", str(spec.tokens), "of a tile: patches and class token"),
            *((Field("multiple", "int", str(spec.multiple)),) if spec.padded > spec.tokens else ()),
            *blocks.fields,
            Field("local_layers", "int", str(spec.local), "before the norm"),
            *((Field("taps", "tuple[int, ...]", literal(spec.taps)),) if spec.taps else ()),
        )
        norm, fields = outer_norm(fields, spec.outer_norm)
        view = TiledVitView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            stack=blocks,
            patch_bias="" if spec.patch_bias else ", bias=False",
            norm=norm,
            local=spec.local < len(spec.layers.order),
            taps=bool(spec.taps),
            padded=spec.padded > spec.tokens,
            spec=spec,
        )
        arguments = tuple(wiring.arguments[port] for port in node.signature.inputs)
        call = Statement(wiring.results["features"], f"self.{node.module}", arguments, wiring.shapes["features"])
        return NodePage("encoder/tiled_vit.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


_UNREAD = (
    *(("patch", "channels"), ("patch", "frames"), ("patch", "group"), ("patch", "norm"), ("patch", "remainder")),
    ("patch", "partial"),
)


def _side(settings: Settings) -> int:
    size = settings.get("image", "size")
    return int(size[0]) if isinstance(size, list) else int(size)


COMPONENT = TiledVitComponent()
