"""How wide a text is, and how to make it fit, without knowing the reader's font.

The widths are those of the widest face in common use (DejaVu Sans, or Arial where that is wider), so an estimate is
an upper bound on most machines rather than an average that half of them exceed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

ELLIPSIS = "\u2026"
LONGEST = 600  # characters kept of any text; more cannot be shown anywhere

# Advance widths of U+0020 to U+007E in hundredths of the font size.
_ASCII = (
    "31 39 45 81 62 92 76 27 38 38 48 81 31 35 31 33 62 62 62 62 62 62 62 62 62 62 33 33 81 81 81 56 "
    "102 67 67 72 75 67 61 78 73 29 50 67 56 84 73 78 67 78 72 67 61 72 67 96 67 67 66 38 33 38 81 56 "
    "48 59 62 53 62 60 34 62 61 27 27 56 27 94 61 59 62 62 40 51 38 61 57 79 57 57 51 62 33 62 81"
)
_WIDTHS = {chr(32 + place): int(width) / 100 for place, width in enumerate(_ASCII.split())}
_WIDTHS.update({"\u00b7": 0.32, "\u00d7": 0.84, "\u2192": 1.0, ELLIPSIS: 1.0})
_BOLD = 1.11


def clean(text: str, longest: int | None = LONGEST) -> str:
    """`text` on one line, without what XML forbids and without invisible characters that reorder the rest."""
    text = text[:longest]
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    for char in text:
        category = unicodedata.category(char)
        if char.isspace() or category in ("Zl", "Zp"):
            out.append(" ")
        elif category in ("Cc", "Cs") or ord(char) & 0xFFFE == 0xFFFE:
            out.append("\ufffd")
        elif category not in ("Cf", "Mn", "Me"):  # marks are composed below, or would pile up over the neighbours
            out.append(char)
        elif category == "Mn" and out:
            composed = unicodedata.normalize("NFC", out[-1] + char)
            out[-1] = composed if len(composed) == 1 else out[-1]
    return "".join(out)


def width(text: str, size: float, bold: bool = False) -> float:
    """An upper estimate of the width of `text` at a font size."""
    total = 0.0
    for char in text:
        total += _WIDTHS.get(char) or _other(char)
    return total * size * (_BOLD if bold else 1.0)


def _other(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    return 0.75 if char.islower() else 1.1


def is_common(text: str) -> bool:
    """Whether every character is Latin or in the table of widths, so that the estimate can be trusted."""
    return all(char in _WIDTHS or char < "\u0250" for char in text)


def shorten(text: str, room: float, size: float, bold: bool = False) -> str:
    """`text`, or as much of it as fits with an ellipsis."""
    if width(text, size, bold) <= room:
        return text
    left = room - width(ELLIPSIS, size, bold)
    kept = 0
    for char in text:
        left -= width(char, size, bold)
        if left < 0:
            break
        kept += 1
    return text[:kept].rstrip() + ELLIPSIS


def fit(text: str, room: float, sizes: Iterable[float], bold: bool = False) -> tuple[str, float]:
    """The largest of `sizes` (falling) at which `text` fits; at the last one it is shortened."""
    size = 0.0
    for size in sizes:
        if width(text, size, bold) <= room:
            return text, size
    return shorten(text, room, size, bold), size


def wrap(text: str, room: float, size: float) -> list[str]:
    """`text` in lines no wider than `room`, broken at ` · ` where it has them and else at spaces."""
    separator = " \u00b7 " if " \u00b7 " in text else " "
    lines: list[str] = []
    for piece in text.split(separator):
        joined = lines[-1] + separator + piece if lines else piece
        if lines and width(joined, size) <= room:
            lines[-1] = joined
        else:
            lines.append(piece)
    return [shorten(line, room, size) for line in lines]
