"""The settings below `prompt:` as values."""

from __future__ import annotations

from ..ir import ImagePrompt, Prompt, Tiling
from ..settings import Settings

_HALF = [0.5, 0.5, 0.5]


def read(settings: Settings) -> Prompt:
    """What a graph says of its prompts."""
    image = _image(settings.child("prompt", "image")) if settings.has("prompt", "image") else None
    return Prompt(settings.get("prompt", "template", default=""), image)


def _image(found: Settings) -> ImagePrompt:
    def text(name: str) -> str:
        return str(found.get(name, default=""))

    token = text("token") or "<image>"
    return ImagePrompt(
        token=token,
        token_id=found.get("token_id"),
        feature=text("feature_token") or token,
        start=text("start"),
        end=text("end"),
        before_tile=text("before_tile"),
        between_tiles=text("between_tiles"),
        between_rows=text("between_rows"),
        after_rows=text("after_rows"),
        before_overview=text("before_overview"),
        after_overview=text("after_overview"),
        tiling=_tiling(found.child("tiling")) if found.has("tiling") else None,
        resize=found.get("resize", default="stretch"),
        resample=found.get("resample", default="bicubic"),
        mean=tuple(map(float, found.get("mean", default=_HALF))),
        std=tuple(map(float, found.get("std", default=_HALF))),
    )


def _tiling(found: Settings) -> Tiling:
    numbers = {name: int(value) for name, value in (found.get() or {}).items() if name != "type" and value is not None}
    return Tiling(found.get("type"), numbers)
