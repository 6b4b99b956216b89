"""`projector/pixel_shuffle`: neighbouring tokens of an image side by side in one, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...code import Field, NodePage, Wiring, literal
from ...component import Inferred, Port, Signature, Spec, sizes_of
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings
from ._grids import Grid, check_side, grid_of, grouped
from ._ports import one_call


@dataclass(frozen=True, slots=True)
class PixelShuffle(Spec):
    """A decided regrouping: each `factor` x `factor` tokens of the grid become one, row by row."""

    grid: Grid
    factor: int
    inside: int

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


class PixelShuffleComponent:
    """Ports and page of `projector/pixel_shuffle`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, known = sizes_of(name, settings, "in")
        factor, images = int(settings.get("factor", default=2)), Var(f"{name}.images", "images")
        many, tokens, written = grouped(name, settings, factor)
        wide = Sum((Many(factor * factor, sizes["in"]),))
        return Signature(
            inputs={"features": Port("features", (images, many, sizes["in"]))},
            outputs={"features": Port("features", (images, tokens, wide))},
            sizes=sizes,
            written=written | known,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> PixelShuffle | None:
        factor, grid = int(settings.get("factor", default=2)), grid_of(settings, inferred, problems)
        if grid is None or not check_side(grid, "factor", settings, inferred.node, problems):
            return None
        return PixelShuffle(grid, factor, inferred.sizes["in"])

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, PixelShuffle)
        name = class_name(node.name)
        (rows, columns), square = spec.grid, spec.factor * spec.factor
        view = PixelShuffleView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            before=f"[images, {rows * columns}, {spec.inside}]",
            after=f"[images, {rows * columns // square}, {spec.inside * square}]",
        )
        fields = (
            Field("grid", "tuple[int, int]", literal(spec.grid), "rows and columns of tokens"),
            Field("factor", "int", str(spec.factor)),
        )
        construct = f"{name}(config.{node.name})"
        return NodePage("projector/pixel_shuffle.py.j2", view, name, fields, construct, one_call(node, wiring))


COMPONENT = PixelShuffleComponent()
