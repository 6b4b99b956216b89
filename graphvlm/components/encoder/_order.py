"""What encoders refuse whose tokens all see each other: options that need a direction."""

from __future__ import annotations

from ...blocks.settings import Stack
from ...problems import Problems
from ...settings import Settings


def check_order(name: str, settings: Settings, blocks: Stack, problems: Problems, *, tokens: str) -> None:
    """Note windows that count back, and positions of single layers; `tokens` says what the encoder reads."""
    if any(blocks.windows):
        written = settings.has("attention", "window")
        problems.error(
            "window-without-order",
            f"`window` of `{name}` counts back along a sequence, and {tokens} see each other in both directions",
            settings.span("attention", "window") if written else settings.span("layers", "where"),
            help="remove `window`",
        )
    if blocks.rotary:
        problems.error(
            "position-of-layer",
            f"`position` of a layer of `{name}`: this encoder has one kind of position, before its first layer",
            settings.span("layers", "where"),
            help="remove `position` under `where`",
        )
