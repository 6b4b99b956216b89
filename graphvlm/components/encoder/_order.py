"""What encoders refuse whose tokens all see each other: options that need a direction, those of other types, masks."""

from __future__ import annotations

from ...blocks.settings import Stack
from ...diagnostics import Label
from ...problems import Problems
from ...settings import Settings


def check_order(name: str, settings: Settings, blocks: Stack, problems: Problems, *, tokens: str) -> None:
    """Note options that need a direction, and positions of single layers; `tokens` are what the encoder reads."""
    check_direction(name, settings, blocks, problems, tokens=tokens)
    if blocks.rotary:
        problems.error(
            "position-of-layer",
            f"`position` of a layer of `{name}`: this encoder has one kind of position, before its first layer",
            settings.span("layers", "where"),
            help="remove `position` under `where`",
        )


def check_direction(name: str, settings: Settings, blocks: Stack, problems: Problems, *, tokens: str) -> None:
    """Note what counts along a sequence and linear attention, where `tokens` see each other in both directions."""
    for path, found in (
        (("window",), any(blocks.windows)),
        (("mask", "chunk"), any(blocks.chunks)),
        (("temperature",), blocks.tempered),
    ):
        if found:
            written, key = settings.has("attention", *path), ".".join(path)
            problems.error(
                "window-without-order",
                f"`{key}` of `{name}` counts along a sequence, and {tokens} see each other in both directions",
                settings.span("attention", *path) if written else settings.span("layers", "where"),
                help=f"remove `{path[-1]}`",
            )
    if any(blocks.linear):
        written = settings.has("attention", "linear")
        problems.error(
            "linear-conflict",
            f"`linear` of `{name}` goes through a sequence in order, and {tokens} see each other in both directions",
            settings.span("attention", "linear") if written else settings.span("layers", "where"),
            help="remove `linear`",
        )


def check_read(
    name: str, type_: str, settings: Settings, other: tuple[tuple[str, str], ...], problems: Problems
) -> None:
    """Note the settings `other` that this type of encoder does not read."""
    for path in other:
        if settings.has(*path):
            problems.error(
                "unread-setting",
                f"`{'.'.join(path)}` of `{name}` is not read: an encoder of type `{type_}` has no use for it",
                settings.span(*path),
                help=f"remove `{path[-1]}`",
            )


def check_mask(name: str, settings: Settings, blocks: Stack, problems: Problems) -> bool:
    """Whether a mask of images can hide patches; if not, that is noted."""
    place = Label(settings.span("inputs"), "reads a mask")
    if settings.get("class_token", default=False):
        problems.clash(
            "mask-conflict",
            f"a mask of images hides patches of `{name}`, and the class token is none",
            place,
            *settings.labels("class_token", text="no patch"),
            help="remove `class_token`, or feed no `pixel_mask`",
        )
        return False
    if any(op.square for op in blocks.attentions):
        problems.clash(
            "mask-conflict",
            f"a mask of images hides patches of `{name}`, and its attention goes by the rows and columns of all",
            place,
            help="feed no `pixel_mask`",
        )
        return False
    return True
