"""Attention over the patches of images of one size: windows of rows and columns, and relative positions in them."""

from __future__ import annotations

from dataclasses import replace

from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred
from .settings import Attention
from .settings_grid import Windows

Square = tuple[int, int]


def on_square(
    attention: Attention, settings: Settings, inferred: Inferred, square: Square | None, problems: Problems
) -> Attention | None:
    """The attention of a layer whose tokens are `square`, rows and columns of patches, or have no such places (None).

    `settings` are those of the layer. None if something is wrong, and noted.
    """
    relative = bool(settings.get("attention", "relative", default=False))
    if relative and not _may_be_relative(attention, settings, inferred, square, problems):
        return None
    if square is None:
        return attention
    if attention.grid is None or attention.grid.within != "window":
        attention = replace(attention, grid=None)
        return replace(attention, square=square, relative=square) if relative else attention
    side = attention.grid.size
    if not _check_edge(attention, settings, inferred, square, problems):
        return None
    whole = square[0] % side == 0 and square[1] % side == 0
    return replace(
        attention,
        grid=None,
        windows=Windows(side, padded=not whole),
        square=square,
        relative=(side, side) if relative else None,
    )


def _may_be_relative(
    attention: Attention, settings: Settings, inferred: Inferred, square: Square | None, problems: Problems
) -> bool:
    other = next((key for key in ("latent", "softcap", "sinks") if settings.get("attention", key)), "")
    if square is not None and not other:
        return True
    problems.clash(
        "relative-conflict",
        f"`relative` of `{inferred.node}` goes together with no `{other}`"
        if other
        else f"`relative` of `{inferred.node}` counts rows and columns, and its tokens have none",
        Label(settings.span("attention", "relative"), "relative positions"),
        *(settings.labels("attention", other, text="makes scores of its own") if other else ()),
        help=f"remove `relative` or `{other}`"
        if other
        else "remove `relative`: it is for `type: vit` without a class token",
    )
    return False


def _check_edge(
    attention: Attention, settings: Settings, inferred: Inferred, square: Square, problems: Problems
) -> bool:
    """Whether windows fill the square, or are filled up themselves."""
    assert attention.grid is not None
    side = attention.grid.size
    uneven = next((size for size in square if size % side), None)
    if uneven is None or attention.grid.padded:
        return True
    problems.error(
        "bad-mask",
        f"windows of {side} x {side} do not fill the {square[0]} x {square[1]} patches of `{inferred.node}`",
        settings.span("attention", "mask"),
        note=f"{uneven} / {side} is not whole",
        help="write `edge: padded` beside `grid_window`, or use a side that divides both",
    )
    return False
