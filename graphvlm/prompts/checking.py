"""What does not fit: a prompt that its graph has no form for, numbers that are missing, texts that nothing reads."""

from __future__ import annotations

import string

from ..ir import Graph
from ..problems import Problems
from ..settings import Settings
from . import sounds, videos
from .pictures import Pictures, found
from .views import CUT, NATIVE

# The numbers of each strategy: those that it needs, and others that it reads.
_NUMBERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "whole": ((), ()),
    "resolutions": ((), ()),
    "closest_grid": (("max_tiles",), ("min_tiles",)),
    "covering_grid": (("max_tiles",), ()),
    "canvas": (("max_tiles",), ()),
    "arrangements": ((), ()),
    "longest_side": (("longest",), ()),
    "native": (("min_pixels", "max_pixels"), ()),
    "native_volume": (("min_pixels", "max_pixels"), ()),
}
# What the encoders of a graph are made for, and the strategies that give them that.
_FITTING = {
    "whole": ("whole", "closest_grid", "covering_grid", "canvas"),
    "resolutions": ("resolutions",),
    "arrangements": ("arrangements",),
    "longest_side": ("longest_side",),
    "native": ("native", "native_volume"),
}
_TEXTS = ("before_tile", "between_tiles", "between_rows", "after_rows", "before_overview", "after_overview")


def check(graph: Graph, problems: Problems) -> None:
    """Whether the prompt of a graph is one for it."""
    sounds.check(graph, problems)
    videos.check(graph, problems)
    image = graph.prompt.image
    if image is None:
        return
    settings = Settings(graph.tree).child("prompt", "image")
    given = found(graph, image)
    if given is None:
        problems.error(
            "bad-prompt",
            "`prompt.image` is of images, and no encoder here takes images that a prompt could have: one size, tiles "
            "put together, or patches, whose features take the places of tokens",
            settings.tree.span,
            help="remove `prompt.image`, or feed the encoder of images to a fusion by placeholders",
        )
        return
    _check_tiling(given, settings, problems)
    _check_texts(given, settings, problems)
    _check_fields(given.prompt.before_tile, settings, problems)


def _check_tiling(given: Pictures, settings: Settings, problems: Problems) -> None:
    type_, numbers = given.tiling.type, given.tiling.numbers
    span = settings.span("tiling")
    fitting = ("native",) if given.padded else _FITTING[given.kind]
    if type_ not in fitting:
        problems.error(
            "bad-prompt",
            f"images that are cut by `{type_}` are not what the encoder of images takes",
            settings.span("tiling", "type"),
            help=f"write {' or '.join(f'`type: {name}`' for name in fitting)}",
        )
        return
    needed, read = (("longest",), ()) if given.padded else _NUMBERS[type_]
    missing = [name for name in needed if name not in numbers]
    if missing:
        words = " and ".join(f"`{name}`" for name in missing)
        problems.error(
            "bad-prompt",
            f"how many tokens an image comes to is not known: cutting by `{type_}` needs {words}",
            span,
            help=f"write {words} below `prompt.image.tiling`",
        )
    for name in numbers:
        if name not in (*needed, *read):
            problems.error(
                "unread-setting",
                f"`tiling.{name}` is not read: images are cut by `{type_}`",
                settings.span("tiling", name),
                help=f"remove `{name}`",
            )
    pairs = (("min_tiles", "max_tiles"), ("min_pixels", "max_pixels"))
    for least, most in pairs:
        if not missing and numbers.get(least, 1) > numbers.get(most, numbers.get(least, 1)):
            problems.error(
                "bad-prompt",
                f"`{least}` is {numbers[least]}, more than `{most}`, {numbers[most]}",
                settings.span("tiling", least),
                help=f"write at most {numbers[most]}",
            )
    if type_ in (*CUT, "resolutions") and given.height != given.width:
        problems.error(
            "bad-prompt",
            f"tiles are square, and the encoder takes images of {given.height} x {given.width} pixels",
            span,
            help="write `tiling: {type: whole}`",
        )


def _check_texts(given: Pictures, settings: Settings, problems: Problems) -> None:
    type_ = given.tiling.type
    read = _TEXTS if type_ in CUT else ("between_rows",) if type_ in NATIVE else ()
    for name in _TEXTS:
        if settings.has(name) and name not in read:
            problems.error(
                "unread-setting",
                f"`prompt.image.{name}` is not read: no image is cut so that there would be such a place (`{type_}`)",
                settings.span(name),
                help=f"remove `{name}`",
            )


def _check_fields(text: str, settings: Settings, problems: Problems) -> None:
    """Whether the braces of `before_tile` are those of places that it has."""
    try:
        fields = [each[1:] for each in string.Formatter().parse(text) if each[1] is not None]
    except ValueError:  # a brace without its other one
        fields = [("", "", None)]
    if any(name not in ("row", "column", "number") or form or turned for name, form, turned in fields):
        problems.error(
            "bad-prompt",
            f"`before_tile` has braces that stand for nothing: {text!r}",
            settings.span("before_tile"),
            help="write `{row}`, `{column}` or `{number}`, and `{{` for a brace",
        )
