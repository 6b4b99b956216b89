"""What projectors that regroup the tokens of an image have in common: how the tokens lie, and the checks of that."""

from __future__ import annotations

from math import isqrt

from ...diagnostics import Label
from ...dims import Many, Sum, Var, Written
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred

Grid = tuple[int, int]


def grouped(name: str, settings: Settings, side: int) -> tuple[Sum, Var, dict[Var, Written]]:
    """Tokens that come in and go out where squares of `side` x `side` become one, and what a written grid says."""
    out = Var(f"{name}.tokens", "tokens")
    written = {}
    if settings.has("grid"):
        rows, columns = settings.get("grid")
        text = f"{rows} x {columns} tokens"
        if rows % side == 0 and columns % side == 0:
            count = rows * columns // side**2
            written[out] = Written(count, settings.span("grid"), name, setting="grid", text=text)
    return Sum((Many(side * side, out),)), out, written


def filled(name: str, settings: Settings, side: int) -> tuple[Var, Var, dict[Var, Written]]:
    """The same where squares at the right and lower edge are filled up: what a written grid says of both counts."""
    inside, out = Var(f"{name}.all_tokens", "tokens"), Var(f"{name}.tokens", "tokens")
    written = {}
    if settings.has("grid"):
        rows, columns = settings.get("grid")
        span, text = settings.span("grid"), f"{rows} x {columns} tokens"
        written[inside] = Written(rows * columns, span, name, text=text)
        written[out] = Written(-(-rows // side) * -(-columns // side), span, name, text=text)
    return inside, out, written


def grid_of(settings: Settings, inferred: Inferred, problems: Problems) -> Grid | None:
    """Rows and columns of the tokens of an image: `grid`, else a square; None if there is none (and that is noted)."""
    name, tokens = inferred.node, inferred.inputs["features"].shape[1]
    if settings.has("grid"):
        rows, columns = settings.get("grid")
        return rows, columns
    if not isinstance(tokens, int):
        if not problems.any:  # or the number is open because of these
            problems.error(
                "cannot-infer",
                f"nothing says how many rows and columns the tokens of `{name}` have: their number is open",
                settings.span(),
                help="write `grid: [rows, columns]`",
            )
        return None
    side = isqrt(tokens)
    if side * side == tokens:
        return side, side
    problems.error(
        "grid-mismatch",
        f"`{name}` takes {tokens} tokens of an image, which are no square",
        settings.span("inputs"),
        help="leave a class token out with `drop_cls`, or write `grid: [rows, columns]` if the image is no square",
    )
    return None


def check_side(grid: Grid, key: str, settings: Settings, name: str, problems: Problems) -> bool:
    """Whether squares of the side that the setting `key` says fill the grid; if not, that is noted there."""
    side = int(settings.get(key, default=2))
    uneven = next((size for size in grid if size % side), None)
    if uneven is None:
        return True
    problems.clash(
        "grid-mismatch",
        f"`{name}` cannot cut a grid of {grid[0]} x {grid[1]} tokens into squares of {side} x {side}",
        Label(settings.span(key), f"{uneven} / {side} is not whole"),
        *settings.labels("grid", text="the tokens"),
        help=f"use a `{key}` that divides {grid[0]} and {grid[1]}",
    )
    return False
