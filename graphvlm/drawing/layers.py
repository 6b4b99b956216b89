"""The layered form of a picture: columns of boxes and of places where long wires pass, and an order in each column.

The items of a column are numbers: a box is its place in `Picture.boxes`, a passing place any greater number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .ranks import Trunk


@dataclass(frozen=True, slots=True)
class Hop:
    """A piece of a wire from one column to the next. `port` is the input port where the head is a box."""

    trunk: int
    tail: int
    head: int
    port: str = ""


@dataclass(slots=True)
class Layers:
    """Columns from left to right, in rows. `returns` are pairs of columns: the end of a row and the start of the next.

    Wires go from column to column by hops, and from the last column of a row to the first of the next by `links`,
    which pair the place where a wire leaves the row with the place where it enters the next.
    """

    rank: list[int]
    breaks: frozenset[int]
    columns: list[list[int]] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    links: list[tuple[int, int, int]] = field(default_factory=list)  # (trunk, leaving, entering)
    jumps: list[tuple[int, int, str]] = field(default_factory=list)  # (trunk, box, port): too long to be drawn
    row_starts: list[int] = field(default_factory=list)  # indices into columns
    column_of: list[int] = field(default_factory=list)  # of each item

    def rows(self) -> list[range]:
        """The columns of each row."""
        ends = [*self.row_starts[1:], len(self.columns)]
        return [range(start, end) for start, end in zip(self.row_starts, ends, strict=True)]

    def passing(self, column: int) -> int:
        """A new place in `column` where a wire passes."""
        item = len(self.column_of)
        self.columns[column].append(item)
        self.column_of.append(column)
        return item


def build(rank: list[int], groups: list[Trunk], breaks: frozenset[int], limit: int) -> Layers:
    """Columns for boxes of these ranks; `breaks` are the ranks at which a row starts, 0 not among them.

    Wires that reach over more than `limit` columns are left out and listed as jumps.
    """
    layers = Layers(rank, breaks)
    column_of_rank: list[int] = []
    layers.row_starts.append(0)
    for at in range(max(rank, default=-1) + 1):
        if at in breaks:
            layers.row_starts.append(len(layers.columns) + 1)
            layers.columns += [[], []]
        column_of_rank.append(len(layers.columns))
        layers.columns.append([])
    for box, at in enumerate(rank):
        layers.columns[column_of_rank[at]].append(box)
        layers.column_of.append(column_of_rank[at])
    for number, trunk in enumerate(groups):
        near = [head for head in trunk.heads if rank[head[0]] - rank[trunk.source] <= limit]
        layers.jumps += [(number, *head) for head in trunk.heads if rank[head[0]] - rank[trunk.source] > limit]
        _route(layers, number, trunk.source, near, column_of_rank)
    return layers


def _route(layers: Layers, trunk: int, source: int, heads: list[tuple[int, str]], column_of_rank: list[int]) -> None:
    """Lay the hops of one trunk: one line through the columns, from which a hop goes to each head."""
    heads_at: dict[int, list[tuple[int, str]]] = {}
    for head in heads:
        heads_at.setdefault(layers.rank[head[0]], []).append(head)
    tail, last = source, max(heads_at, default=0)
    for at in range(layers.rank[source] + 1, last + 1):
        column = column_of_rank[at]
        if at in layers.breaks:
            leaving, entering = layers.passing(column - 2), layers.passing(column - 1)
            layers.hops.append(Hop(trunk, tail, leaving))
            layers.links.append((trunk, leaving, entering))
            tail = entering
        layers.hops += [Hop(trunk, tail, *head) for head in heads_at.get(at, ())]
        if at < last:
            through = layers.passing(column)
            layers.hops.append(Hop(trunk, tail, through))
            tail = through


def order(layers: Layers, sweeps: int) -> None:
    """Order every column so that few wires cross: barycentre sweeps, the best of them kept, then neighbours swapped."""
    left: dict[int, list[int]] = {}
    right: dict[int, list[int]] = {}
    for tail, head in _edges(layers):
        right.setdefault(tail, []).append(head)
        left.setdefault(head, []).append(tail)
    position: dict[int, int] = {}
    for column in layers.columns:
        position.update((item, place) for place, item in enumerate(column))
    best, fewest = [list(column) for column in layers.columns], _crossings(layers.columns, right, position)
    for sweep in range(sweeps):
        if not fewest:
            break
        forward = sweep % 2 == 0
        neighbours = left if forward else right
        for column in layers.columns if forward else reversed(layers.columns):
            _sort_column(column, neighbours, position)
        count = _crossings(layers.columns, right, position)
        if count < fewest:
            best, fewest = [list(column) for column in layers.columns], count
    layers.columns[:] = best
    for column in best:
        position.update((item, place) for place, item in enumerate(column))
        if len(column) <= 40 and fewest:
            _swap_neighbours(column, left, right, position)
    _match_returns(layers)


def _edges(layers: Layers) -> Iterable[tuple[int, int]]:
    yield from ((hop.tail, hop.head) for hop in layers.hops)
    yield from ((leaving, entering) for _, leaving, entering in layers.links)


def _sort_column(column: list[int], neighbours: dict[int, list[int]], position: dict[int, int]) -> None:
    weight = {}
    for place, item in enumerate(column):
        near = neighbours.get(item)
        weight[item] = sum([position[other] for other in near]) / len(near) if near else float(place)
    column.sort(key=weight.__getitem__)
    for place, item in enumerate(column):
        position[item] = place


def _crossings(columns: list[list[int]], right: dict[int, list[int]], position: dict[int, int]) -> int:
    """How many pairs of hops cross: inversions between neighbouring columns, counted with a Fenwick tree."""
    total = 0
    for column in columns:
        ends = [place for item in column for place in sorted(position[head] for head in right.get(item, ()))]
        if len(ends) < 2:
            continue
        size = max(ends) + 1
        tree = [0] * (size + 1)
        for seen, end in enumerate(ends):
            at, below = end + 1, 0
            while at:
                below += tree[at]
                at &= at - 1
            total += seen - below
            at = end + 1
            while at <= size:
                tree[at] += 1
                at += at & -at
    return total


def _swap_neighbours(
    column: list[int], left: dict[int, list[int]], right: dict[int, list[int]], position: dict[int, int]
) -> None:
    """Swap neighbours in one column while that removes crossings."""
    for _ in range(4):
        improved = False
        for place in range(len(column) - 1):
            upper, lower = column[place], column[place + 1]
            gain = 0
            for side in (left, right):
                ups, downs = side.get(upper, ()), side.get(lower, ())
                gain += _gain([position[item] for item in ups], [position[item] for item in downs])
            if gain > 0:
                column[place], column[place + 1] = lower, upper
                position[lower], position[upper] = place, place + 1
                improved = True
        if not improved:
            return


def _gain(upper: list[int], lower: list[int]) -> int:
    """How many crossings fewer there are if the item with neighbours at `upper` goes below that with `lower`."""
    if len(upper) * len(lower) > 400:
        return 0
    return sum((a > b) - (a < b) for a in upper for b in lower)


def _match_returns(layers: Layers) -> None:
    """Wires enter a row in the order in which they left the one before: then their returns can be nested."""
    entering = {leaving: entering for _, leaving, entering in layers.links}
    for start in layers.row_starts[1:]:
        layers.columns[start] = [entering[item] for item in layers.columns[start - 1]]
