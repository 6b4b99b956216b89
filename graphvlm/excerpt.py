"""Drawing marks under lines of a source: the block of a diagnostic that shows where."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .diagnostics import Span

WIDTH = 120  # characters of a line that are shown
_MARGIN = 24  # of them, at least before a mark where the line is trimmed
_TAB = "    "

Paint = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A span to underline, and the words beside the line."""

    span: Span
    text: str
    is_primary: bool

    @property
    def style(self) -> str:
        return "primary" if self.is_primary else "label"


@dataclass(frozen=True, slots=True)
class _Placed:
    """A mark in display columns of a shown line."""

    start: int
    end: int
    mark: Mark


def excerpts(marks: Sequence[Mark], paint: Paint) -> Iterator[str]:
    """The rows of all marks, file by file; the first mark gives the first file."""
    by_source: dict[int, list[Mark]] = {}
    for mark in marks:
        by_source.setdefault(id(mark.span.source), []).append(mark)
    gutter = len(str(max(mark.span.line for mark in marks)))
    for index, group in enumerate(by_source.values()):
        if index:
            yield paint(f"{' ' * gutter} |", "gutter")
        first = group[0].span
        arrow = "-->" if index == 0 else ":::"
        name = visible(first.source.name)
        yield f"{' ' * gutter}{paint(arrow, 'gutter')} {name}:{first.line}:{first.column}"
        yield paint(f"{' ' * gutter} |", "gutter")
        yield from _file(group, gutter, paint)
    yield paint(f"{' ' * gutter} |", "gutter")


def _file(marks: list[Mark], gutter: int, paint: Paint) -> Iterator[str]:
    lines = _lines(marks[0].span.source.text)
    by_line: dict[int, list[Mark]] = {}
    for mark in sorted(marks, key=lambda mark: (mark.span.line, mark.span.column)):
        by_line.setdefault(mark.span.line, []).append(mark)
    previous = 0
    for number, group in by_line.items():
        if previous and number == previous + 2:
            yield from _rows(lines, previous + 1, [], gutter, paint)
        elif previous and number > previous + 2:
            yield paint("...", "gutter")
        for window in _windows(group):
            yield from _rows(lines, number, window, gutter, paint)
        previous = number


@lru_cache(maxsize=4)
def _lines(text: str) -> list[str]:
    return text.splitlines()


def _windows(marks: list[Mark]) -> Iterator[list[Mark]]:
    """The marks of one line in groups that fit into one shown piece of it."""
    group: list[Mark] = []
    for mark in marks:
        if group and mark.span.column > group[0].span.column + WIDTH - 2 * _MARGIN:
            yield group
            group = []
        group.append(mark)
    yield group


def _rows(lines: list[str], number: int, marks: list[Mark], gutter: int, paint: Paint) -> Iterator[str]:
    """One line of the source and the rows under it."""
    line = lines[number - 1].rstrip() if number <= len(lines) else ""
    start = 0
    if len(line) > WIDTH and marks:
        start = max(0, min(marks[0].span.column - 1 - _MARGIN, len(line) - WIDTH))
    piece, columns = _displayed(line[start : start + WIDTH])
    before, after = "…" if start else "", "…" if start + WIDTH < len(line) else ""
    yield paint(f"{number:>{gutter}} |", "gutter") + f" {before}{piece}{after}".rstrip()
    placed = [_place(mark, number, start, columns, len(before)) for mark in marks]
    for row in _underlines(placed, paint) if placed else ():
        yield paint(f"{' ' * gutter} |", "gutter") + f" {row}"


def _displayed(text: str) -> tuple[str, list[int]]:
    """The text as a terminal shows it, and the column at which each character starts, and where the last one ends."""
    shown, columns, column = [], [], 0
    for character in text:
        columns.append(column)
        cell = _TAB if character == "\t" else visible(character)
        shown.append(cell)
        column += _width(cell)
    return "".join(shown), [*columns, column]


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    none = sum(unicodedata.category(character) in ("Mn", "Me") for character in text)
    return len(text) + wide - none


def visible(text: str) -> str:
    """`text` with every character that could move the cursor, colour the terminal or turn the writing replaced."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") else each for each in text)


def _place(mark: Mark, number: int, start: int, columns: list[int], indent: int) -> _Placed:
    last = len(columns) - 1
    first = mark.span.column - 1 - start
    until = mark.span.end_column - 1 - start if mark.span.end_line == number else last
    left = columns[min(first, last)] + max(0, min(first - last, 1))
    right = columns[max(0, min(until, last))]
    return _Placed(indent + left, indent + max(right, left + 1), mark)


def _underlines(placed: list[_Placed], paint: Paint) -> Iterator[str]:
    """The row of underlines, then a row for each text that has no room beside them, the rightmost first."""
    last = max(placed, key=lambda each: (each.start, each.mark.is_primary))
    row = [("", " ")] * max(each.end for each in placed)
    for each in sorted(placed, key=lambda each: each.mark.is_primary):
        sign = "^" if each.mark.is_primary else "-"
        row[each.start : each.end] = [(each.mark.style, sign)] * (each.end - each.start)
    beside = last.mark.text if last.end == len(row) else ""
    text = f" {paint(visible(beside), last.mark.style)}" if beside else ""
    yield _painted(row, paint) + text
    below = [each for each in placed if each.mark.text and not (beside and each is last)]
    below.sort(key=lambda each: -each.start)
    if below:
        yield _painted(_bars(below), paint)
    for index, each in enumerate(below):
        bars = _bars([other for other in below[index + 1 :] if other.start < each.start])
        bars += [("", " ")] * (each.start - len(bars))
        yield _painted(bars, paint) + paint(visible(each.mark.text), each.mark.style)


def _bars(placed: list[_Placed]) -> list[tuple[str, str]]:
    row = [("", " ")] * (max((each.start for each in placed), default=-1) + 1)
    for each in placed:
        row[each.start] = (each.mark.style, "|")
    return row


def _painted(row: list[tuple[str, str]], paint: Paint) -> str:
    """The cells of a row as text, each run of one style painted as a whole."""
    parts: list[tuple[str, str]] = []
    for style, cell in row:
        if parts and parts[-1][0] == style:
            parts[-1] = (style, parts[-1][1] + cell)
        else:
            parts.append((style, cell))
    return "".join(paint(text, style) if style else text for style, text in parts)
