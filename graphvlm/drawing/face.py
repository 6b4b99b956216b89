"""What a box looks like inside: its texts and badges, in places relative to its top left corner, and its size."""

from __future__ import annotations

from dataclasses import dataclass

from .picture import Box, human_count
from .text import clean, fit, shorten, width, wrap

PAD = 12.0
PORT_PITCH = 16.0
ICON = 12.0
MOST_NAMED_PORTS = 24
_LINE_ROOM = 176.0
_TITLE_ROOM = 196.0
_MOST_LINES = 5
_MOST_MARKS = 6
TITLE_SIZE, LINE_SIZE, COUNT_SIZE, SMALL_SIZE = 13.0, 11.0, 11.0, 9.5
_TITLE_SIZES = (13.0, 12.0, 11.0)


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text: `x` is where it starts (in a badge its middle), `y` its baseline, `role` its style."""

    x: float
    y: float
    size: float
    role: str
    words: str


@dataclass(frozen=True, slots=True)
class Badge:
    x: float
    y: float
    width: float
    height: float
    text: Text


@dataclass(frozen=True, slots=True)
class Face:
    """The inside of a box. The gutters are the strips at its left and right that hold names of ports."""

    width: float
    height: float
    texts: tuple[Text, ...]
    badges: tuple[Badge, ...]
    snowflake: tuple[float, float] | None
    left_gutter: float
    right_gutter: float
    pill: bool


def is_pill(box: Box) -> bool:
    return box.kind in ("input", "output")


def face(box: Box, ports: tuple[str, ...], exits: tuple[str, ...], compact: bool) -> Face:
    """Measure `box`, whose wires come in at `ports` and leave at `exits` (in any order)."""
    left, right = _gutter(ports), _gutter(exits)
    built = _small(box, left, right, compact) if is_pill(box) or compact else _full(box, left, right)
    slots = max(len(ports), len(exits))
    # Ports beyond what can be named are packed tighter: nobody counts them, the box only has to hold them.
    pitch = PORT_PITCH if slots <= MOST_NAMED_PORTS else 6.0
    height = max(built.height, (slots - 1) * pitch + 22.0 if slots > 1 else 0.0)
    return _centred(built, height)


def port_name(name: str) -> str:
    return shorten(clean(name), 84.0, SMALL_SIZE)


def _gutter(ports: tuple[str, ...]) -> float:
    """Names are only needed to tell ports apart: one port needs none, and too many cannot be read."""
    if len(set(ports)) < 2 or len(ports) > MOST_NAMED_PORTS:
        return 0.0
    return max(width(port_name(port), SMALL_SIZE) for port in ports) + 16.0


def _small(box: Box, left: float, right: float, compact: bool) -> Face:
    """A pill, or a box of a very large graph: the title and one line."""
    pad = PAD + 3.0 if is_pill(box) else PAD
    title, size = fit(clean(box.title), _TITLE_ROOM, _TITLE_SIZES, bold=True)
    if compact:
        note = human_count(box.parameters) if box.parameters else ""
    else:
        note = shorten(" \u00b7 ".join(clean(line) for line in box.lines), _LINE_ROOM, LINE_SIZE)
    x = left + pad
    texts = [Text(x, 20.0, size, "title", title)]
    widest = width(title, size, bold=True)
    if note:
        texts.append(Text(x, 35.0, LINE_SIZE, "line", note))
        widest = max(widest, width(note, LINE_SIZE))
    flake = (x + widest + 6.0, 9.0) if box.frozen else None
    widest += ICON + 8.0 if flake else 0.0
    return Face(x + widest + pad + right, 46.0 if note else 31.0, tuple(texts), (), flake, left, right, is_pill(box))


def _full(box: Box, left: float, right: float) -> Face:
    x = left + PAD + 3.0
    title, size = fit(clean(box.title), _TITLE_ROOM, _TITLE_SIZES, bold=True)
    texts = [Text(x, 23.0, size, "title", title)]
    widest = width(title, size, bold=True) + (ICON + 12.0 if box.frozen else 0.0)
    y = 24.0
    for line in _lines(box):
        y += 15.5
        texts.append(Text(x, y, LINE_SIZE, "line", line))
        widest = max(widest, width(line, LINE_SIZE))
    badges: tuple[Badge, ...] = ()
    if box.parameters or box.marks:
        foot, badges, bottom, reach = _foot(box, x, y + 19.0, max(widest, 150.0))
        texts += foot
        widest = max(widest, reach - x)
        y = bottom
    full = max(x + widest + PAD + right, 108.0)
    flake = (full - right - PAD - ICON, 12.0) if box.frozen else None
    return Face(full, y + 12.0, tuple(texts), badges, flake, left, right, pill=False)


def _lines(box: Box) -> list[str]:
    lines = [piece for line in box.lines[: _MOST_LINES + 1] for piece in wrap(clean(line), _LINE_ROOM, LINE_SIZE)]
    if len(lines) > _MOST_LINES:
        last = shorten(lines[_MOST_LINES - 1] + " \u2026", _LINE_ROOM, LINE_SIZE)
        return [*lines[: _MOST_LINES - 1], last]
    return lines


def _foot(box: Box, x: float, y: float, room: float) -> tuple[list[Text], tuple[Badge, ...], float, float]:
    """The parameter count and the marks behind it, in rows: texts, badges, the last baseline and the right end."""
    texts = []
    at = x
    if box.parameters:
        count = human_count(box.parameters)
        texts.append(Text(x, y, COUNT_SIZE, "count", count))
        at += width(count, COUNT_SIZE, bold=True) + 10.0
    reach = at - 10.0
    badges = []
    marks = [shorten(clean(mark), 110.0, SMALL_SIZE) for mark in box.marks[:_MOST_MARKS]]
    if len(box.marks) > _MOST_MARKS:
        marks.append(f"+{len(box.marks) - _MOST_MARKS}")
    for mark in marks:
        wide = width(mark, SMALL_SIZE) + 10.0
        if at > x and at + wide > x + room:
            at, y = x, y + 18.0
        badges.append(Badge(at, y - 11.0, wide, 15.0, Text(at + wide / 2, y, SMALL_SIZE, "mark", mark)))
        reach = max(reach, at + wide)
        at += wide + 5.0
    return texts, tuple(badges), y, reach


def _centred(built: Face, height: float) -> Face:
    """`built` in a box of `height`, its content in the middle."""
    shift = (height - built.height) / 2
    if shift <= 0:
        return built

    def moved(text: Text) -> Text:
        return Text(text.x, text.y + shift, text.size, text.role, text.words)

    return Face(
        built.width,
        height,
        tuple(moved(text) for text in built.texts),
        tuple(Badge(one.x, one.y + shift, one.width, one.height, moved(one.text)) for one in built.badges),
        (built.snowflake[0], built.snowflake[1] + shift) if built.snowflake else None,
        built.left_gutter,
        built.right_gutter,
        built.pill,
    )
