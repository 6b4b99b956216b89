"""`projector/pixel_shuffle`: neighbouring tokens of an image side by side in one, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...code import Field, literal
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, sizes_of
from ._grids import Grid, check_side, filled, grid_of, grouped
from ._ports import one_call


@dataclass(frozen=True, slots=True)
class PixelShuffle(Spec):
    """A decided regrouping: each `factor` x `factor` tokens of the grid become one, row by row.

    A grid that does not divide so is filled up with zeros at its right and lower edge. `numbers` is their order.
    """

    grid: Grid
    factor: int
    inside: int
    numbers: Literal["tokens", "channels"] = "tokens"

    @property
    def shuffled(self) -> Grid:
        """Rows and columns of what goes out."""
        rows, columns = self.grid
        return -(-rows // self.factor), -(-columns // self.factor)

    def summary(self) -> str:
        return f"pixel shuffle, {self.factor} x {self.factor} tokens in one"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside, "grid": list(self.grid)}


@dataclass(frozen=True, slots=True)
class PixelShuffleView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    before: str
    after: str
    filled: bool
    channels: bool


class PixelShuffleComponent:
    """Ports and page of `projector/pixel_shuffle`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, known = sizes_of(name, settings, "in")
        factor, images = int(settings.get("factor", default=2)), Var(f"{name}.images", "images")
        many, tokens, written = (filled if _padded(settings) else grouped)(name, settings, factor)
        wide = Sum((Many(factor * factor, sizes["in"]),))
        return Signature(
            inputs={"features": Port("features", (images, many, sizes["in"]))},
            outputs={"features": Port("features", (images, tokens, wide))},
            sizes=sizes,
            written=written | known,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> PixelShuffle | None:
        factor, grid = int(settings.get("factor", default=2)), grid_of(settings, inferred, problems)
        if grid is None:
            return None
        if _padded(settings) and not settings.has("grid"):
            message = f"`{inferred.node}` fills its grid up, and how many rows and columns that has cannot be inferred"
            edit = "write `grid: [rows, columns]`, or remove `remainder`"
            problems.error("cannot-infer", message, settings.span("remainder"), help=edit)
            return None
        if not _padded(settings) and not check_side(grid, "factor", settings, inferred.node, problems):
            return None
        return PixelShuffle(grid, factor, inferred.sizes["in"], settings.get("numbers", default="tokens"))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, PixelShuffle)
        name = class_name(node.name)
        (rows, columns), (fewer, narrower) = spec.grid, spec.shuffled
        view = PixelShuffleView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            before=f"[images, {rows * columns}, {spec.inside}]",
            after=f"[images, {fewer * narrower}, {spec.inside * spec.factor**2}]",
            filled=any(size % spec.factor for size in spec.grid),
            channels=spec.numbers == "channels",
        )
        fields = (
            Field("grid", "tuple[int, int]", literal(spec.grid), "rows and columns of tokens"),
            Field("factor", "int", str(spec.factor)),
        )
        construct = f"{name}(config.{node.name})"
        return NodePage("projector/pixel_shuffle.py.j2", view, name, fields, construct, one_call(node, wiring))


def _padded(settings: Settings) -> bool:
    """Whether squares at the edges may be filled up."""
    return bool(settings.get("remainder", default="refuse") == "pad")


COMPONENT = PixelShuffleComponent()
