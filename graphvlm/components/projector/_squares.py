"""Tokens of an image in squares: each square becomes one token, its mean, which reads those of the square alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from ...blocks.settings import Attention, Stack
from ...diagnostics import Label
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred
from ._grids import Grid


@dataclass(frozen=True, slots=True)
class Squares:
    """Squares of `side` x `side` tokens of a `grid`."""

    grid: Grid
    side: int

    @property
    def count(self) -> int:
        """How many there are."""
        return (self.grid[0] // self.side) * (self.grid[1] // self.side)


def side_of(settings: Settings) -> int:
    """The side of the squares whose means are the tokens of a node; 0 if these are learned."""
    return next((int((own or {}).get("window") or 0) for own in settings.get("segments").values()), 0)


def read_squares(settings: Settings, inferred: Inferred, blocks: Stack, problems: Problems) -> Squares | None:
    """The squares of what flows in; None where it does not divide into them, or is not one image, and that is noted."""
    node, side, place = inferred.node, side_of(settings), settings.span("segments")
    ops = [sublayer.op for kind in blocks.kinds for sublayer in kind.sublayers]
    crosses = {op.cross for op in ops if isinstance(op, Attention) and op.cross}
    if len(inferred.inputs) > 1 or any(cross.present for cross in crosses):
        message = f"tokens of `{node}` are means of squares of one image without padding, and it reads more"
        problems.error("bad-queries", message, place, help="let its sublayers read one port, without a `mask`")
        return None
    (port,) = inferred.inputs.values()
    tokens = port.shape[1]
    if not isinstance(tokens, int):
        if not problems.any:  # or the number is open because of these
            message = f"nothing says how many tokens `{node}` reads in squares"
            problems.error("cannot-infer", message, place, help="feed it features of so many tokens an image")
        return None
    rows, columns = settings.get("grid", default=(isqrt(tokens), isqrt(tokens)))
    if rows * columns == tokens and rows % side == columns % side == 0:
        return Squares((rows, columns), side)
    problems.clash(
        "grid-mismatch",
        f"`{node}` cannot read {tokens} tokens in squares of {side} x {side}: they are {rows} x {columns}",
        Label(place, f"`window: {side}`"),
        *settings.labels("grid", text="the tokens"),
        help="use a `window` that divides rows and columns, or write `grid: [rows, columns]`",
    )
    return None
