"""The smallest pieces of SVG text: numbers, escaped words, a text element, signs."""

from __future__ import annotations

from html import escape

from .text import LONGEST, clean, is_common, width

# A snowflake in a square of 12: three axes, each with two pairs of twigs.
_FLAKE = (
    "M6 .6v10.8M1.3 3.3l9.4 5.4M1.3 8.7l9.4-5.4M4.5 1.7 6 3l1.5-1.3M4.5 10.3 6 9l1.5 1.3"
    "M1.5 5.2l2-.7-.5-2M10.5 6.8l-2 .7.5 2M10.5 5.2l-2-.7.5-2M1.5 6.8l2 .7-.5 2"
)


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def words(text: str, longest: int | None = LONGEST) -> str:
    """`text` made fit for XML, in elements and in attributes."""
    return escape(clean(text, longest))


def text_element(x: float, y: float, size: float, role: str, text: str, *, anchor: str = "") -> str:
    """One line of text. Where the estimate of its width cannot be trusted, the reader's program is told to keep it."""
    held = "" if is_common(text) else f' textLength="{number(width(text, size))}" lengthAdjust="spacingAndGlyphs"'
    turned = f' text-anchor="{anchor}"' if anchor else ""
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
    return f'<text class="{role}" {place}{turned}{held}>{words(text)}</text>'


def snowflake(x: float, y: float) -> str:
    return f'<path class="flake" transform="translate({number(x)} {number(y)})" d="{_FLAKE}"/>'
