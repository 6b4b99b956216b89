"""A last step of the vertical placement: groups of level items move as one, to where their wires are shorter.

Placing column by column cannot move a straight line of several items without bending it first, and leaves wide empty
strips between parts that no wire holds together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from .heights import Tie

_LEVEL = 0.05


def tighten(
    columns: Sequence[Sequence[int]],
    top: dict[int, float],
    *,
    room: Callable[[int, int], float],
    ties: Mapping[int, Sequence[Tie]],
    passes: int,
) -> None:
    """Move groups in place. `room(upper, lower)` is the least distance of the tops of two neighbours in a column."""
    neighbours = [(upper, lower) for column in columns for upper, lower in pairwise(column)]
    above = {lower: upper for upper, lower in neighbours}
    below = dict(neighbours)
    items = [item for column in columns for item in column]
    if not items:
        return
    for turn in range(passes):
        group, members = _groups(items, top, ties)
        middle = sorted(top[item] for item in items)[len(items) // 2]
        for number in sorted(members, key=lambda each: top[each], reverse=turn % 2 == 1):
            own = members[number]
            up = min((_slack(top, room, above.get(item), item, group) for item in own), default=0.0)
            down = min((_slack(top, room, item, below.get(item), group) for item in own), default=0.0)
            pulls = [
                (top[tie.other] + tie.shift - top[item], tie.weight)
                for item in own
                for tie in ties.get(item, ())
                if group[tie.other] != number
            ]
            move = max(-up, min(down, _wish(pulls, middle - top[own[0]])))
            if abs(move) > _LEVEL:
                for item in own:
                    top[item] = round(top[item] + move, 2)


def close_strips(top: dict[int, float], height: Callable[[int], float], gap: float) -> None:
    """Close every empty strip from the left to the right of a row that is higher than `gap`, in place."""
    bottom: float | None = None
    shift = 0.0
    for item in sorted(top, key=lambda each: top[each]):
        if bottom is not None and top[item] - bottom > gap:
            shift += top[item] - bottom - gap
            bottom = top[item]
        bottom = max(top[item] + height(item), top[item] if bottom is None else bottom)
        top[item] = round(top[item] - shift, 2)


def _groups(
    items: Iterable[int], top: Mapping[int, float], ties: Mapping[int, Sequence[Tie]]
) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Items joined by level wires: the group of each item, and the items of each group."""
    group: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    for first in items:
        if first in group:
            continue
        group[first] = first
        own = members[first] = [first]
        for item in own:  # grows while it is read
            for tie in ties.get(item, ()):
                if tie.other not in group and abs(top[tie.other] + tie.shift - top[item]) <= _LEVEL:
                    group[tie.other] = first
                    own.append(tie.other)
    return group, members


def _slack(
    top: Mapping[int, float],
    room: Callable[[int, int], float],
    upper: int | None,
    lower: int | None,
    group: Mapping[int, int],
) -> float:
    if upper is None or lower is None or group[upper] == group[lower]:
        return float("inf")
    return max(0.0, top[lower] - top[upper] - room(upper, lower))


def _wish(pulls: list[tuple[float, int]], to_middle: float) -> float:
    """How far a group wants to move: to the median of what pulls at it, and where that leaves it free to the middle."""
    if not pulls:
        return to_middle
    pulls.sort()
    half = sum(weight for _, weight in pulls) / 2
    total = 0.0
    for number, (pull, weight) in enumerate(pulls):
        total += weight
        if total > half:
            return pull
        if total == half:
            return max(pull, min(pulls[number + 1][0], to_middle))
    return 0.0
