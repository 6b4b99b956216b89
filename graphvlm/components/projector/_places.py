"""Fixed positions of learned tokens and of what they read: sines of columns and rows, which no value has."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from ...blocks.settings import Stack
from ...code import Field, literal
from ...diagnostics import Label
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred
from ._grids import Grid


@dataclass(frozen=True, slots=True)
class FixedPlaces:
    """What is added to what keys are made of, `width` wide, on a `grid`, and to queries if these have a place too.

    The learned tokens are a square of `side` rows; those of keys are made for them and `stretched` over the grid, or
    for the grid itself.
    """

    queries: bool
    stretched: bool
    side: int
    grid: Grid
    width: int
    theta: float


_QUARTERS = 4  # sines and cosines of columns, and of rows


def read_places(
    settings: Settings, inferred: Inferred, blocks: Stack, count: int, problems: Problems
) -> FixedPlaces | None:
    """The positions of a node that has some; None where it has none, or where they cannot be, which is noted."""
    if not settings.has("position") or settings.get("position", "type") != "sincos":
        return None
    node, span, side = inferred.node, settings.span("position"), isqrt(count)
    queries = settings.get("position", "of", default="both") == "both"
    stretched = bool(settings.get("position", "stretched", default=False))
    crosses = blocks.crossed
    if len(crosses) != 1 or crosses[0].own or len(settings.get("segments")) > 1:
        message = f"positions of `{node}` are of one image, and it reads something else beside it"
        problems.error("bad-queries", message, span, help="let its sublayers read one port, or remove `position`")
        return None
    if (queries or stretched) and side * side != count:
        problems.clash(
            "grid-mismatch",
            f"the {count} learned tokens of `{node}` are no square, and have rows and columns as positions",
            Label(settings.span("segments"), f"{count} tokens"),
            Label(span, "positions of them"),
            help=f"use {side**2} or {(side + 1) ** 2} tokens, or write `of: keys` and leave `stretched` out",
        )
        return None
    cross = crosses[0]
    grid = _grid(settings, inferred, cross.port, problems)
    width = blocks.dim if queries or stretched else cross.dim
    if grid is None:
        return None
    if width % _QUARTERS or (width != cross.dim):
        problems.error(
            "grid-mismatch",
            f"positions of `{node}` are sines and cosines of rows and columns, and `{cross.port}` is {cross.dim} wide",
            span,
            help=f"make what comes in a multiple of 4 wide{f', {blocks.dim}' if queries or stretched else ''}",
        )
        return None
    return FixedPlaces(queries, stretched, side, grid, width, float(settings.get("position", "theta", default=1e4)))


def place_fields(places: FixedPlaces | None) -> tuple[Field, ...]:
    """Config fields of fixed positions."""
    if places is None:
        return ()
    side = (Field("side", "int", str(places.side), "rows and columns of learned tokens"),)
    return (
        *(side if places.queries or places.stretched else ()),
        Field("grid", "tuple[int, int]", literal(places.grid), "rows and columns of what is read"),
        Field("theta", "float", literal(places.theta)),
    )


def _grid(settings: Settings, inferred: Inferred, port: str, problems: Problems) -> Grid | None:
    """Rows and columns of what is read: `grid`, else a square."""
    tokens, node = inferred.inputs[port].shape[1], inferred.node
    if not isinstance(tokens, int):
        if not problems.any:
            message = f"nothing says how many rows and columns `{node}` reads, and positions are by these"
            edit = "feed it features of so many tokens an image"
            problems.error("cannot-infer", message, settings.span("position"), help=edit)
        return None
    rows, columns = settings.get("grid", default=(isqrt(tokens), isqrt(tokens)))
    if rows * columns == tokens:
        return rows, columns
    problems.clash(
        "grid-mismatch",
        f"`{node}` reads {tokens} tokens, which are not {rows} x {columns}",
        Label(settings.span("position"), "positions by row and column"),
        *settings.labels("grid", text="the tokens"),
        help="leave a class token out with `drop_cls`, or write `grid: [rows, columns]`",
    )
    return None
