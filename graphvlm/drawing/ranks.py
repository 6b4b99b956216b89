"""Which column each box stands in: its rank."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .picture import Picture, Wire

# An input stands in the first column so long as its first reader is near; further off it would drag a long wire.
_NEAR = 3


@dataclass(frozen=True, slots=True)
class Trunk:
    """All wires that carry one value: they leave their box at one point and part later."""

    source: int
    port: str
    label: str
    wires: tuple[Wire, ...]
    heads: tuple[tuple[int, str], ...]  # (box, input port), each once


def trunks(picture: Picture) -> list[Trunk]:
    """The wires of `picture` by the value they carry, in the order written."""
    number = {box.id: place for place, box in enumerate(picture.boxes)}
    grouped: dict[tuple[int, str, str], list[Wire]] = {}
    for wire in picture.wires:
        grouped.setdefault((number[wire.source], wire.source_port, wire.label), []).append(wire)
    return [
        Trunk(*key, tuple(wires), tuple(dict.fromkeys((number[wire.target], wire.port) for wire in wires)))
        for key, wires in grouped.items()
    ]


def ranks(picture: Picture, groups: list[Trunk]) -> list[int]:
    """The column of each box: one more than the furthest box it reads, then pulled right where wires get shorter."""
    count = len(picture.boxes)
    after: list[list[int]] = [[] for _ in range(count)]
    before: list[list[int]] = [[] for _ in range(count)]
    for trunk in groups:
        for head in dict.fromkeys(head for head, _ in trunk.heads):
            after[trunk.source].append(head)
            before[head].append(trunk.source)
    order = _topological(before, after)
    rank = [0] * count
    for node in order:
        rank[node] = max((rank[source] + 1 for source in before[node]), default=0)
    outgoing = [0] * count
    for trunk in groups:
        outgoing[trunk.source] += 1
    for node in reversed(order):
        if not after[node]:
            continue
        latest = min(rank[head] for head in after[node]) - 1
        if before[node]:
            if outgoing[node] > len(before[node]):
                rank[node] = latest
        elif picture.boxes[node].kind != "input" or latest > _NEAR:
            rank[node] = latest
    return rank


def _topological(before: list[list[int]], after: list[list[int]]) -> list[int]:
    waiting = [len(sources) for sources in before]
    ready = deque(node for node, missing in enumerate(waiting) if not missing)
    order = []
    while ready:
        node = ready.popleft()
        order.append(node)
        for head in after[node]:
            waiting[head] -= 1
            if not waiting[head]:
                ready.append(head)
    if len(order) < len(before):
        raise ValueError("the wires of a picture form a cycle")
    return order


def reach_limit(rank: list[int], groups: list[Trunk], budget: int) -> int:
    """The longest reach (in columns) that wires may have so that together they pass no more than `budget` columns."""
    reaches = [[rank[head] - rank[trunk.source] for head, _ in trunk.heads] for trunk in groups]

    def passed(limit: int) -> int:
        return sum(max((reach for reach in each if reach <= limit), default=1) - 1 for each in reaches)

    low, high = 1, max((reach for each in reaches for reach in each), default=1)
    if passed(high) <= budget:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passed(middle) <= budget else (low, middle)
    return low
