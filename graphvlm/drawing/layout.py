"""From a picture to places: every box, wire and label with its coordinates, rows from the top, (0, 0) top left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from . import folding, heights, layers
from .face import PORT_PITCH, Face, face
from .heights import Tie
from .picture import Box, Picture
from .ranks import Trunk, ranks, reach_limit, trunks
from .text import clean, shorten, width
from .tighten import close_strips, tighten

COMPACT_FROM = 301  # boxes from which a drawing shows less of each
LABEL_SIZE = 10.0
_LABEL_ROOM = 150.0
_BOX_GAP, _BOX_PASS_GAP, _PASS_GAP = 26.0, 18.0, 12.0
_ARROW = 9.0
_ROW_PAD = 22.0


@dataclass(frozen=True, slots=True)
class Slot:
    """Where wires touch a box: `name` is the port, `y` is absolute."""

    name: str
    y: float


@dataclass(frozen=True, slots=True)
class PlacedBox:
    box: Box
    face: Face
    x: float
    y: float
    width: float
    slots_in: tuple[Slot, ...]
    slots_out: tuple[Slot, ...]

    @property
    def height(self) -> float:
        return self.face.height


@dataclass(frozen=True, slots=True)
class Curve:
    """Level at `y0` from `x0` to `x1`, an S to `x2`, level at `y3` to `x3`."""

    x0: float
    x1: float
    x2: float
    x3: float
    y0: float
    y3: float


@dataclass(slots=True)
class Route:
    """All that is drawn of one trunk. `tips` are the arrow heads, `turns` the returns to the next row (corners),
    `cuts` the ends of wires that are too long to be drawn."""

    trunk: Trunk
    curves: list[Curve] = field(default_factory=list)
    turns: list[tuple[tuple[float, float], ...]] = field(default_factory=list)
    tips: list[tuple[float, float]] = field(default_factory=list)
    cuts: list[tuple[float, float, float]] = field(default_factory=list)  # y, from x, to x
    label: str = ""
    label_at: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Layout:
    boxes: tuple[PlacedBox, ...]
    routes: tuple[Route, ...]
    width: float
    height: float
    compact: bool


def layout(picture: Picture) -> Layout:
    """Place `picture`."""
    return _Placer(picture).result()


class _Placer:
    """One run of the layout. Each step fills in what the next one reads."""

    def __init__(self, picture: Picture) -> None:
        self.boxes = picture.boxes
        self.count = len(picture.boxes)
        self.compact = self.count >= COMPACT_FROM
        self.trunks = trunks(picture)
        self.rank = ranks(picture, self.trunks)
        self.ports: list[list[str]] = [[] for _ in self.boxes]
        self.exits: list[list[int]] = [[] for _ in self.boxes]
        for number, trunk in enumerate(self.trunks):
            self.exits[trunk.source].append(number)
            for head, port in trunk.heads:
                if port not in self.ports[head]:
                    self.ports[head].append(port)
        self.labels = ["" if self.compact else self._label(trunk) for trunk in self.trunks]
        self.faces = [
            face(box, tuple(ports), tuple(self.trunks[number].port for number in exits), self.compact)
            for box, ports, exits in zip(self.boxes, self.ports, self.exits, strict=True)
        ]
        limit = reach_limit(self.rank, self.trunks, 12 * self.count + 1000)
        self.layers = layers.build(self.rank, self.trunks, self._breaks(limit), limit)
        layers.order(self.layers, sweeps=6 if self.compact else 24)
        self.slot_in: dict[tuple[int, str], float] = {}
        self.slot_out: dict[int, float] = {}
        self._order_slots()
        self.top: dict[int, float] = {}
        self.left, self.width = [0.0] * self.count, [0.0] * self.count
        self.column_left = [0.0] * len(self.layers.columns)
        self.column_width = [0.0] * len(self.layers.columns)
        self.bend_from = [0.0] * len(self.layers.columns)
        self.channel: list[float] = []

    @staticmethod
    def _label(trunk: Trunk) -> str:
        return shorten(clean(trunk.label), _LABEL_ROOM, LABEL_SIZE)

    def _breaks(self, limit: int) -> frozenset[int]:
        depth = max(self.rank, default=-1) + 1
        widths, tall, crossing = [0.0] * depth, [0.0] * depth, [0] * (depth + 1)
        for box, at in enumerate(self.rank):
            widths[at] = max(widths[at], self.faces[box].width + self._label_width(box) + 50.0)
            tall[at] += self.faces[box].height + _BOX_GAP
        for trunk in self.trunks:
            here = self.rank[trunk.source]
            reach = max((r for head, _ in trunk.heads if (r := self.rank[head]) - here <= limit), default=here)
            for at in range(here + 1, reach + 1):
                crossing[at] += 1
                tall[at] += _PASS_GAP if at < reach else 0.0
        return folding.breaks(widths, tall, crossing)

    def _label_width(self, box: int) -> float:
        widest = max((width(self.labels[number], LABEL_SIZE) for number in self.exits[box]), default=0.0)
        return widest + 14.0 if widest else 6.0

    def _order_slots(self) -> None:
        """Ports of a box in the order in which their wires arrive or leave, so that none cross at its side."""
        position = {item: place for column in self.layers.columns for place, item in enumerate(column)}
        arriving: dict[tuple[int, str], list[int]] = {}
        leaving: dict[int, list[int]] = {}
        for hop in self.layers.hops:
            if hop.head < self.count:
                arriving.setdefault((hop.head, hop.port), []).append(position[hop.tail])
            if hop.tail < self.count:
                leaving.setdefault(hop.trunk, []).append(position[hop.head])
        for box, built in enumerate(self.faces):
            ports = sorted(self.ports[box], key=lambda port: _mean(arriving.get((box, port), ())))
            exits = sorted(self.exits[box], key=lambda number: _mean(leaving.get(number, ())))
            self.ports[box], self.exits[box] = ports, exits
            self.slot_in.update(zip(((box, port) for port in ports), _spread(len(ports), built.height), strict=True))
            self.slot_out.update(zip(exits, _spread(len(exits), built.height), strict=True))

    def result(self) -> Layout:
        self._place_vertically()
        margin = max((len(self.layers.columns[start]) for start in self.layers.row_starts[1:]), default=0)
        indent = margin * _lane_pitch(margin) + 10.0 if margin else 0.0
        edge = max((self._place_row(row, indent) for row in self.layers.rows()), default=0.0)
        bottom = self._stack_rows()
        routes = self._routes()
        boxes = tuple(self._placed(box) for box in range(self.count))
        return Layout(boxes, tuple(routes), edge + indent, bottom, self.compact)

    def _height(self, item: int) -> float:
        return self.faces[item].height if item < self.count else 0.0

    def _gap(self, upper: int, lower: int) -> float:
        if upper < self.count and lower < self.count:
            return _BOX_GAP
        return _BOX_PASS_GAP if upper < self.count or lower < self.count else _PASS_GAP

    def _room(self, upper: int, lower: int) -> float:
        return self._height(upper) + self._gap(upper, lower)

    def _anchor_out(self, item: int, trunk: int) -> float:
        return self.slot_out[trunk] if item < self.count else 0.0

    def _anchor_in(self, item: int, port: str) -> float:
        return self.slot_in[item, port] if item < self.count else 0.0

    def _place_vertically(self) -> None:
        left: dict[int, list[Tie]] = {}
        right: dict[int, list[Tie]] = {}
        for hop in self.layers.hops:
            shift = self._anchor_out(hop.tail, hop.trunk) - self._anchor_in(hop.head, hop.port)
            to_tail, to_head = heights.ties(hop.tail, hop.head, shift, hop.tail < self.count, hop.head < self.count)
            left.setdefault(hop.head, []).append(to_tail)
            right.setdefault(hop.tail, []).append(to_head)
        sweeps, passes = (5, 2) if self.compact else (15, 10)
        ties = {item: [*left.get(item, ()), *right.get(item, ())] for item in (*left, *right)}
        for row in self.layers.rows():
            columns = [self.layers.columns[index] for index in row]
            top = heights.place(columns, height=self._height, gap=self._gap, left=left, right=right, sweeps=sweeps)
            tighten(columns, top, room=self._room, ties=ties, passes=passes)
            close_strips(top, self._height, _BOX_GAP)
            self.top.update(top)

    def _place_row(self, row: range, indent: float) -> float:
        """The horizontal places of one row; its right end."""
        rise = [0.0] * (len(self.layers.columns) + 1)
        for hop in self._hops_of(row):
            at = self.layers.column_of[hop.head]
            drop = abs(self._level_in(hop.head, hop.port) - self._level_out(hop.tail, hop.trunk))
            rise[at] = max(rise[at], drop)
        x = indent
        for index in row:
            column = self.layers.columns[index]
            boxes = [item for item in column if item < self.count]
            wide = max((self.faces[box].width for box in boxes), default=0.0)
            pill = max((self.faces[box].width for box in boxes if self.faces[box].pill), default=0.0)
            self.column_left[index], self.column_width[index] = x, wide
            for box in boxes:
                # Inputs end where the boxes of their column end, outputs start where they start.
                self.width[box] = pill if self.faces[box].pill else wide
                self.left[box] = x + wide - self.width[box] if self.exits[box] else x
            x += wide
            if index + 1 in row:
                x += max((self._label_width(box) for box in boxes), default=0.0)
                self.bend_from[index] = x
                x += _ARROW + (min(110.0, 26.0 + 0.3 * rise[index + 1]) if rise[index + 1] > 0.05 else 4.0)
        return x

    def _hops_of(self, row: range) -> Iterable[layers.Hop]:
        return (hop for hop in self.layers.hops if self.layers.column_of[hop.head] in row)

    def _level_out(self, item: int, trunk: int) -> float:
        return self.top[item] + self._anchor_out(item, trunk)

    def _level_in(self, item: int, port: str) -> float:
        return self.top[item] + self._anchor_in(item, port)

    def _stack_rows(self) -> float:
        """Move the rows below each other, with room for the wires that return between them; the lower end."""
        y = 0.0
        for row in self.layers.rows():
            items = [item for index in row for item in self.layers.columns[index]]
            upper = min((self.top[item] for item in items), default=0.0)
            lower = max((self.top[item] + self._height(item) for item in items), default=0.0)
            for item in items:
                self.top[item] += y - upper
            y += lower - upper
            returning = len(self.layers.columns[row[-1]]) if row and row[-1] + 1 in self.layers.row_starts else 0
            self.channel.append(y + _ROW_PAD)  # where the wires below this row start
            y += 2 * _ROW_PAD + returning * _lane_pitch(returning) if returning else 0.0
        return y

    def _routes(self) -> list[Route]:
        routes = [Route(trunk, label=label) for trunk, label in zip(self.trunks, self.labels, strict=True)]
        for hop in self.layers.hops:
            self._add_hop(routes[hop.trunk], hop)
        for number, start in enumerate(self.layers.row_starts[1:], start=1):
            self._add_returns(routes, number, start)
        for trunk, box, port in self.layers.jumps:
            x, y = self.left[box], self._level_in(box, port)
            routes[trunk].cuts.append((y, x - 16.0, x - 7.0))
            routes[trunk].tips.append((x, y))
            source = self.trunks[trunk].source
            right, level = self.left[source] + self.width[source], self._level_out(source, trunk)
            routes[trunk].cuts.append((level, right + 10.0, right))
        for number, route in enumerate(routes):
            source = route.trunk.source
            route.label_at = (self.left[source] + self.width[source] + 7.0, self._level_out(source, number) - 5.0)
        return routes

    def _add_hop(self, route: Route, hop: layers.Hop) -> None:
        before, after = self.layers.column_of[hop.tail], self.layers.column_of[hop.head]
        x0 = self.left[hop.tail] + self.width[hop.tail] if hop.tail < self.count else self.column_left[before]
        y0, y3 = self._level_out(hop.tail, hop.trunk), self._level_in(hop.head, hop.port)
        edge = self.column_left[after]
        x3 = self.left[hop.head] if hop.head < self.count else edge
        if hop.head < self.count:
            route.tips.append((x3, y3))
            x3 -= 6.0
        route.curves.append(Curve(x0, self.bend_from[before], edge - _ARROW, x3, y0, y3))

    def _add_returns(self, routes: list[Route], number: int, start: int) -> None:
        """The wires that go from the end of row `number` - 1 around to its successor: nested, so that none cross."""
        count = len(self.layers.columns[start])
        pitch = _lane_pitch(count)
        pairs = {leaving: (trunk, entering) for trunk, leaving, entering in self.layers.links}
        for place, leaving in enumerate(self.layers.columns[start - 1]):
            trunk, entering = pairs[leaving]
            inner = (count - 1 - place) * pitch
            right = self.column_left[start - 1] + 8.0 + inner
            left = self.column_left[start] - 8.0 - place * pitch
            level = self.channel[number - 1] + inner
            out, back = self.top[leaving], self.top[entering]
            corners = ((self.column_left[start - 1], out), (right, out), (right, level), (left, level), (left, back))
            routes[trunk].turns.append((*corners, (self.column_left[start], back)))

    def _placed(self, box: int) -> PlacedBox:
        built, y = self.faces[box], self.top[box]
        return PlacedBox(
            self.boxes[box],
            built,
            self.left[box],
            y,
            self.width[box],
            tuple(Slot(port, y + self.slot_in[box, port]) for port in self.ports[box]),
            tuple(Slot(self.trunks[number].port, y + self.slot_out[number]) for number in self.exits[box]),
        )


def _mean(values: Iterable[int]) -> float:
    kept = list(values)
    return sum(kept) / len(kept) if kept else float("inf")


def _spread(count: int, height: float) -> list[float]:
    """`count` places, evenly about the middle of a side of `height`."""
    pitch = min(PORT_PITCH, (height - 22.0) / (count - 1)) if count > 1 else 0.0
    return [height / 2 + (number - (count - 1) / 2) * pitch for number in range(count)]


def _lane_pitch(count: int) -> float:
    return max(2.0, min(9.0, 240.0 / count)) if count else 0.0
