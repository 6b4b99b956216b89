"""`projector/tile_packing`: the tokens of images that were cut into tiles, put together again, in one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

from ...blocks.parameters import Parameter, plain
from ...code import Field, Statement
from ...diagnostics import Label
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, sizes_of


@dataclass(frozen=True, slots=True)
class TilePacking(Spec):
    """A decided packing of tiles of `side` x `side` tokens; if `lined`, rows of the whole image end in newlines too."""

    dim: int
    side: int
    newline: bool
    lined: bool
    separator: bool
    unpad: bool
    max_tiles: int
    whole_first: bool

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(plain(name, self.dim) for name in self.learned)

    @property
    def learned(self) -> tuple[str, ...]:
        """The learned tokens, in the order in which they stand behind those of the tiles."""
        return (*(("newline",) if self.newline else ()), *(("separator",) if self.separator else ()))

    def summary(self) -> str:
        words = ["tile packing", f"{self.side} x {self.side} tokens", *self.learned]
        return ", ".join([*words, *(["unpadded"] if self.unpad else [])])

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.dim, "tokens": self.side**2}


@dataclass(frozen=True, slots=True)
class TilePackingView:
    """What the template places: the learned tokens, and expressions over the numbers of each image or token.

    `newline` and `separator` are their rows in the table of all tokens; `rest` what is in it behind those of the tiles.
    With `masked` it is said which tokens are real: all, but in a graph. If it `lends`, another node reads the newline.
    """

    name: str
    class_name: str
    config: str
    tokens: int
    dim: int
    learned: tuple[str, ...]
    unpad: bool
    masked: bool
    lends: bool
    scaled: bool
    lined: bool
    whole_first: bool
    inner: str
    lengths: str
    longest: str
    width: str
    span: str
    view: str
    before: str
    newline: str
    separator: str
    rest: str
    parameters: tuple[str, ...]

    @property
    def inside(self) -> str:
        """The place of a token among those of the tiles put together."""
        return "inside" if self.whole_first else "place"

    def shifted(self, row: str, column: str) -> str:
        """Where a row and a column of an image are in all its tiles."""
        return f"{row} + margin[image, 0], {column} + margin[image, 1]"


class TilePackingComponent:
    """Ports, checks and page of `projector/tile_packing`."""

    modules = frozenset(("newline", "separator"))

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", "tokens")
        images, tiles = Var(f"{name}.images", "images"), Var(f"{name}.tiles", "tiles")
        inputs = {
            "features": Port("features", (tiles, sizes["tokens"], sizes["dim"])),
            "grid": Port("sizes", (images, 2)),
        }
        if settings.get("unpad", default=True):
            inputs["sizes"] = Port("sizes", (images, 2))
        length = Var(f"{name}.packed", "tokens")
        packed = {
            "features": Port("features", (1, length, sizes["dim"])),
            "mask": Port("mask", (1, length)),
        }
        newline = {"newline": Port("features", (1, 1, sizes["dim"]), weight="lent_newline()")}
        has = settings.get("newline", default=True)
        absent = {} if has else {"newline": Label(settings.span("newline"), "no such token")}
        return Signature(inputs, {**packed, **(newline if has else {})}, sizes, written, absent=absent)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> TilePacking | None:
        tokens = inferred.sizes["tokens"]
        side = isqrt(tokens)
        if side**2 != tokens:
            problems.error(
                "grid-mismatch",
                f"`{inferred.node}` puts square tiles together, and a tile has {tokens} tokens, no square number",
                settings.span("tokens") if settings.has("tokens") else settings.span("inputs"),
                labels=inferred.label("tokens", f"{tokens} tokens"),
                help="leave the class token out with `output: {drop_cls: true}` in the encoder"
                if isqrt(tokens - 1) ** 2 == tokens - 1
                else "feed it an encoder of square images",
            )
            return None
        newline = bool(settings.get("newline", default=True))
        if settings.has("newline_after") and not newline:
            problems.error(
                "unread-setting",
                f"`newline_after` of `{inferred.node}` is not read: there is no newline",
                settings.span("newline_after"),
                labels=(Label(settings.span("newline"), "no such token"),),
                help="remove `newline_after`, or `newline: false`",
            )
            return None
        return TilePacking(
            dim=inferred.sizes["dim"],
            side=side,
            newline=newline,
            lined=settings.get("newline_after", default="tiles") == "all",
            separator=bool(settings.get("separator", default=False)),
            unpad=bool(settings.get("unpad", default=True)),
            max_tiles=int(settings.get("max_tiles", default=0)),
            whole_first=settings.get("whole", default="first") == "first",
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, TilePacking)
        name = class_name(node.name)
        view = _view(node.name, spec, masked="mask" in wiring.read, lends="newline" in wiring.read)
        fields = [Field("side", "int", str(spec.side), "rows and columns of tokens in a tile")]
        if spec.max_tiles:
            fields.append(Field("max_tiles", "int", str(spec.max_tiles), "larger images are scaled down"))
        if spec.learned:
            fields.append(Field("dim", "int", str(spec.dim)))
        arguments = tuple(wiring.arguments[port] for port in node.inputs)
        results = [wiring.results["features"], *([wiring.results.get("mask", "_")] if view.masked else [])]
        call = Statement(", ".join(results), f"self.{node.module}", arguments, wiring.shapes["features"])
        construct = f"{name}(config.{node.name})"
        methods = ("lent_newline",) if view.lends else ()
        return NodePage("projector/tile_packing.py.j2", view, name, tuple(fields), construct, (call,), methods=methods)


def _view(name: str, spec: TilePacking, *, masked: bool, lends: bool) -> TilePackingView:
    """The page of a packing."""
    tokens, most = ("rows * (columns + 1)", "side * (side + 1)") if spec.newline else ("rows * columns", "whole")
    if spec.newline and not spec.lined:
        tokens = "lines * (columns + 1)"
    view = "view" if spec.lined else "whole"
    cut = " - cut[image]" if spec.separator else ""
    learned = [f"self.{each}" for each in spec.learned]
    rest = f"{learned[0]}.unsqueeze(0)" if len(learned) == 1 else f"torch.stack(({', '.join(learned)}))"
    return TilePackingView(
        name=name,
        class_name=class_name(name),
        config=f"{class_name(name)}Config",
        tokens=spec.side**2,
        dim=spec.dim,
        learned=spec.learned,
        unpad=spec.unpad,
        masked=masked,
        lends=lends,
        scaled=bool(spec.max_tiles),
        lined=spec.lined,
        whole_first=spec.whole_first,
        inner="high, wide" if spec.max_tiles else "rows, columns",
        lengths=f"{view} + {'cut + ' if spec.separator else ''}{tokens}",
        longest=("(view + 1)" if spec.lined else f"({most} + 1)")
        if spec.separator
        else ("view" if spec.lined else most),
        width="columns[image] + 1" if spec.newline else "columns[image].clamp(min=1)",
        span=f"({tokens})[image]",
        view=view,
        before=f" - {view}{cut}" if spec.whole_first else "",
        newline=f"table.size(0) - {len(learned)}" if spec.newline else "",
        separator="table.size(0) - 1" if spec.separator else "",
        rest=rest if learned else "",
        parameters=(
            "self",
            "features: Tensor",
            "grid: Tensor",
            *(("sizes: Tensor",) if spec.unpad else ()),
        ),
    )


COMPONENT = TilePackingComponent()
