"""What a drawing is made of: colours that can be told apart, texts that fit, rows and strips."""

from __future__ import annotations

import pytest

from graphvlm.drawing import KINDS, Kind, human_count
from graphvlm.drawing.folding import breaks
from graphvlm.drawing.heights import Tie
from graphvlm.drawing.style import DARK, LIGHT, Palette
from graphvlm.drawing.text import clean, shorten, width, wrap
from graphvlm.drawing.tighten import close_strips, tighten


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_everything_can_be_read(palette: Palette, kind: Kind) -> None:
    tint = palette.kinds[kind]
    for ground in (palette.page, tint.fill, tint.hatch):
        for text in (palette.text, palette.muted, tint.ink):
            assert contrast(text, ground) >= 4.5
    assert contrast(tint.edge, palette.page) >= 3  # what WCAG asks of lines


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (842, "842"),
        (999, "999"),
        (1000, "1.00 k"),
        (12_800, "12.8 k"),
        (999_949, "999.9 k"),
        (999_960, "1.00 M"),
        (303_507_456, "303.5 M"),
        (7_063_427_072, "7.06 B"),
        (9_995_000_000, "10.0 B"),
        (10**12, "1.00 T"),
        (10**400, "over 999 T"),
    ],
)
def test_human_count(count: int, text: str) -> None:
    assert human_count(count) == text


def test_text_is_cleaned_and_cut() -> None:
    assert clean("a\nb\tc") == "a b c"
    assert clean("e\u0301") == "\u00e9"
    assert clean("z" + "\u0336" * 50) == "z"
    assert shorten("projector", 30.0, 11.0).endswith("\u2026")
    assert width(shorten("projector" * 9, 80.0, 11.0), 11.0) <= 80.0
    assert wrap("vit · 23 layers · 1024 wide · 16 heads", 150.0, 11.0) == ["vit · 23 layers · 1024 wide", "16 heads"]
    assert width("名", 10.0) == 10.0


def test_a_drawing_is_folded_only_where_it_is_too_wide_and_few_wires_cross() -> None:
    assert breaks([300.0] * 5, [80.0] * 5, [0, 1, 1, 1, 1, 0]) == frozenset()
    assert breaks([300.0] * 10, [80.0] * 10, [0, *[1] * 9, 0]) == frozenset({5})
    assert breaks([300.0] * 10, [80.0] * 10, [0, 1, 1, 1, 1, 3, 1, 1, 1, 1, 0]) <= {4, 6}
    assert breaks([300.0] * 10, [80.0] * 10, [0, *[30] * 9, 0]) == frozenset()
    assert breaks([], [], [0]) == frozenset()


def test_empty_strips_are_closed_in_order() -> None:
    top = {0: 0.0, 1: 500.0, 2: 20.0, 3: 505.0}
    close_strips(top, lambda item: 40.0, 26.0)
    assert top == {0: 0.0, 2: 20.0, 1: 86.0, 3: 91.0}


def test_a_level_group_moves_as_one_and_pushes_nothing_over() -> None:
    # 1 and 2 are level; 3 pulls 2 down by 50, while 4, below 1, leaves room for 30.
    top = {1: 0.0, 2: 0.0, 3: 50.0, 4: 50.0}
    ties = {1: [Tie(2, 0.0, 8)], 2: [Tie(1, 0.0, 8), Tie(3, 0.0, 8)], 3: [Tie(2, 0.0, 8)]}
    tighten([[1, 4], [2], [3]], top, room=lambda upper, lower: 20.0, ties=ties, passes=4)
    assert top[1] == top[2]
    assert top[4] - top[1] >= 20.0
    assert top[2] == pytest.approx(top[3], abs=0.1)
