"""Vertical places: wires as straight as the order of the columns allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

# How much straightness is worth. A bend between two passing places is the ugliest; from box to box goes the main line.
_BOX_BOX, _BOX_PASS, _PASS_PASS = 14, 10, 32
_WIDE_COLUMN = 200  # beyond it means instead of medians: they need no merging of samples

Samples = list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Tie:
    """A hop as seen from one of its ends: `shift` is what to add to the other item's top to be level with it."""

    other: int
    shift: float
    weight: int


def ties(tail: int, head: int, shift: float, tail_is_box: bool, head_is_box: bool) -> tuple[Tie, Tie]:
    """A hop as seen from its head and from its tail; `shift` is from the tail's top to the head's when it is level.

    Seen from the head it weighs a little more: an item between one neighbour on the left and one on the right then
    stands level with the left one, and the wire has one bend and not two.
    """
    weight = (_PASS_PASS, _BOX_PASS, _BOX_BOX)[tail_is_box + head_is_box]
    return Tie(tail, shift, weight + 1), Tie(head, -shift, weight)


def place(
    columns: Sequence[Sequence[int]],
    *,
    height: Callable[[int], float],
    gap: Callable[[int, int], float],
    left: dict[int, list[Tie]],
    right: dict[int, list[Tie]],
    sweeps: int,
) -> dict[int, float]:
    """The top of every item of one row of columns; nothing overlaps, the order is kept."""
    top: dict[int, float] = {}
    offsets = []
    for column in columns:
        offset = 0.0
        own = []
        for number, item in enumerate(column):
            if number:
                offset += height(column[number - 1]) + gap(column[number - 1], item)
            own.append(offset)
        offsets.append(own)
        middle = (offset + height(column[-1])) / 2 if column else 0.0
        top.update((item, at - middle) for item, at in zip(column, own, strict=True))
    count = len(columns)
    for sweep in range(sweeps):
        last = sweep >= sweeps - 2
        forward = (sweeps - sweep) % 2 == 1  # the last one is
        sides = (left, right) if last else (left,) if forward else (right,)
        for index in range(count) if forward else range(count - 1, -1, -1):
            _settle_column(columns[index], offsets[index], sides, top)
    return top


def _settle_column(
    column: Sequence[int], offsets: list[float], sides: Iterable[dict[int, list[Tie]]], top: dict[int, float]
) -> None:
    wishes: list[Samples] = []
    for item, offset in zip(column, offsets, strict=True):
        wish = [
            (top[tie.other] + tie.shift - offset, tie.weight)
            for side in sides
            for tie in side.get(item, ())
            if tie.other in top
        ]
        wishes.append(wish or [(top[item] - offset, 1)])
    levels = _isotonic_means(wishes) if len(wishes) > _WIDE_COLUMN else _isotonic_medians(wishes)
    for item, offset, level in zip(column, offsets, levels, strict=True):
        top[item] = round(level + offset, 2)


def _isotonic_medians(wishes: list[Samples]) -> list[float]:
    """Non-decreasing levels with the least total distance to the wishes (pool adjacent violators)."""
    blocks: list[tuple[float, Samples, int]] = []
    for wish in wishes:
        samples, size = sorted(wish), 1
        level = _median(samples)
        while blocks and blocks[-1][0] > level:
            _, others, more = blocks.pop()
            samples = sorted(others + samples)
            size += more
            level = _median(samples)
        blocks.append((level, samples, size))
    return [level for level, _, size in blocks for _ in range(size)]


def _median(samples: Samples) -> float:
    """The weighted median; the middle between two where both are."""
    half = sum(weight for _, weight in samples) / 2
    total = 0
    for number, (value, weight) in enumerate(samples):
        total += weight
        if total > half:
            return value
        if total == half:
            return (value + samples[number + 1][0]) / 2
    raise AssertionError("a median of nothing")


def _isotonic_means(wishes: list[Samples]) -> list[float]:
    blocks: list[tuple[float, float, int]] = []  # (weighted sum, weight, size)
    for wish in wishes:
        total = sum(value * weight for value, weight in wish)
        mass = float(sum(weight for _, weight in wish))
        size = 1
        while blocks and blocks[-1][0] * mass > total * blocks[-1][1]:
            more, more_mass, more_size = blocks.pop()
            total, mass, size = total + more, mass + more_mass, size + more_size
        blocks.append((total, mass, size))
    return [total / mass for total, mass, size in blocks for _ in range(size)]
