"""`projector/pool`: fewer tokens of an image, made of neighbouring ones, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

from ...code import Field, literal
from ...dims import Dim, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, known
from ._grids import Grid, check_side, grid_of, grouped
from ._ports import one_call


@dataclass(frozen=True, slots=True)
class Pool(Spec):
    """A decided pooling from one grid of tokens to a smaller one; `window` if equal squares do it."""

    grid: Grid
    pooled: Grid
    dim: int
    method: str = "mean"

    @property
    def window(self) -> int | None:
        """The side of the squares that become one token; None if the grid does not divide into them, or is scaled."""
        side = self.grid[0] // self.pooled[0]
        even = self.grid == (side * self.pooled[0], side * self.pooled[1])
        return side if even and self.method != "bilinear" else None

    def summary(self) -> str:
        rows, columns = self.pooled
        return f"{_NAMES[self.method]} to {rows} x {columns} tokens"

    def resolved(self) -> dict[str, Any]:
        return {"grid": list(self.grid)}


@dataclass(frozen=True, slots=True)
class PoolView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    even: bool
    method: str
    before: str
    after: str


class PoolComponent:
    """Ports, checks and page of `projector/pool`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        images, dim = Var(f"{name}.images", "images"), Var(f"{name}.dim", "dim")
        tokens: Dim = Var(f"{name}.all_tokens", "tokens")
        if settings.has("window"):
            tokens, out, written = grouped(name, settings, int(settings.get("window")))
        else:
            out = Var(f"{name}.tokens", "tokens")
            written = {out: known(name, settings, "tokens")}
        return Signature(
            inputs={"features": Port("features", (images, tokens, dim))},
            outputs={"features": Port("features", (images, out, dim))},
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Pool | None:
        grid, dim = grid_of(settings, inferred, problems), inferred.inputs["features"].shape[2]
        if grid is None:
            return None
        if not isinstance(dim, int):
            raise AssertionError("features without a width after inference")
        method = settings.get("method", default="mean")
        if settings.has("window"):
            side = int(settings.get("window"))
            even = check_side(grid, "window", settings, inferred.node, problems)
            return Pool(grid, (grid[0] // side, grid[1] // side), dim, method) if even else None
        side = isqrt(int(settings.get("tokens")))
        if side * side != settings.get("tokens") or side > min(grid):
            problems.error(
                "grid-mismatch",
                f"`{inferred.node}` cannot pool a grid of {grid[0]} x {grid[1]} tokens to {settings.get('tokens')}",
                settings.span("tokens"),
                help=f"use a square, of at most {min(grid)} x {min(grid)}",
            )
            return None
        return Pool(grid, (side, side), dim, method)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Pool)
        name = class_name(node.name)
        (rows, columns), (fewer, narrower) = spec.grid, spec.pooled
        view = PoolView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            even=spec.window is not None,
            method=spec.method,
            before=f"[images, {rows * columns}, {spec.dim}]",
            after=f"[images, {fewer * narrower}, {spec.dim}]",
        )
        fields = [Field("grid", "tuple[int, int]", literal(spec.grid), "rows and columns of tokens")]
        if spec.window is not None:
            fields.append(Field("window", "int", str(spec.window)))
        else:
            fields.append(Field("pooled_grid", "tuple[int, int]", literal(spec.pooled)))
        construct = f"{name}(config.{node.name})"
        return NodePage("projector/pool.py.j2", view, name, tuple(fields), construct, one_call(node, wiring))


_NAMES = {"mean": "average pooling", "max": "maximum pooling", "bilinear": "bilinear scaling"}

COMPONENT = PoolComponent()
