"""Where a long drawing is folded into rows, so that it can be read on one screen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise

# What a drawing is to be read on. What does not fit is shown smaller or scrolled, and that is the cost of a fold less.
_SCREEN = (1700.0, 1050.0)
_MOST_ROWS = 80
_BETWEEN = 70.0  # height of the channel between two rows, less the wires in it
_FOLD_COST, _WIRE_COST = 0.08, 0.15  # of a fold, and of each wire more than one that returns there


def breaks(widths: Sequence[float], heights: Sequence[float], crossing: Sequence[int]) -> frozenset[int]:
    """The columns (from the second on) at which a row starts.

    `widths` and `heights` are those of the columns, `crossing[i]` is the number of values that go from before
    column i to it or beyond.
    """
    ends = list(accumulate(widths))
    best: tuple[float, list[int]] = (float("inf"), [])
    for rows in range(1, min(len(widths), _MOST_ROWS) + 1):
        if rows > 1 and best[0] <= 1.0:
            break
        starts = _split(ends, crossing, rows)
        score = _score(ends, heights, crossing, starts)
        if score < best[0]:
            best = score, starts
    return frozenset(best[1])


def _split(ends: Sequence[float], crossing: Sequence[int], rows: int) -> list[int]:
    """Starts of rows of about equal width, each moved by one column where fewer wires cross it."""
    starts: list[int] = []
    for row in range(1, rows):
        wanted = ends[-1] * row / rows
        at = bisect_left(ends, wanted) + 1
        near = [place for place in (at - 1, at, at + 1) if (starts[-1] if starts else 0) < place < len(ends)]
        if near:
            starts.append(min(near, key=lambda place: (crossing[place], abs(ends[place - 1] - wanted))))
    return starts


def _score(ends: Sequence[float], heights: Sequence[float], crossing: Sequence[int], starts: Sequence[int]) -> float:
    bounds = [0, *starts, len(ends)]
    width = max(ends[end - 1] - (ends[start - 1] if start else 0.0) for start, end in pairwise(bounds))
    height = sum(max(heights[start:end]) for start, end in pairwise(bounds)) + _BETWEEN * len(starts)
    wires = sum(crossing[start] for start in starts)
    scale = max(width / _SCREEN[0], (height + 9.0 * wires) / _SCREEN[1], 1.0)
    return scale + _FOLD_COST * len(starts) + _WIRE_COST * (wires - len(starts))
