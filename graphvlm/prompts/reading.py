"""The settings below `prompt:` as values."""

from __future__ import annotations

from ..ir import ImagePrompt, Prompt, SoundPrompt, Tiling, VideoPrompt
from ..settings import Settings

_HALF = [0.5, 0.5, 0.5]


def read(settings: Settings) -> Prompt:
    """What a graph says of its prompts."""
    image = _image(settings.child("prompt", "image")) if settings.has("prompt", "image") else None
    sound = _sound(settings.child("prompt", "audio")) if settings.has("prompt", "audio") else None
    video = _video(settings.child("prompt", "video")) if settings.has("prompt", "video") else None
    return Prompt(settings.get("prompt", "template", default=""), image, sound, video)


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


def _sound(found: Settings) -> SoundPrompt:
    return SoundPrompt(
        token=found.get("token", default="<audio>"),
        start=found.get("start", default=""),
        end=found.get("end", default=""),
        rate=int(found.get("rate", default=16000)),
        hop=int(found.get("hop", default=160)),
        window=int(found.get("window", default=400)),
        long=found.get("long", default="cut"),
        seconds=int(found.get("seconds", default=0)),
    )


def _video(found: Settings) -> VideoPrompt:
    token = found.get("token", default="<video>")
    return VideoPrompt(
        token=token,
        feature=found.get("feature_token", default=token),
        start=found.get("start", default=""),
        end=found.get("end", default=""),
        before_frame=found.get("before_frame", default=""),
        between_frames=found.get("between_frames", default=""),
        after_frame=found.get("after_frame", default=""),
        time=found.get("time", default="first"),
        volume=found.get("limits", default="native") == "native_volume",
        least=int(found.get("min_pixels", default=0)),
        most=int(found.get("max_pixels", default=0)),
    )


def _tiling(found: Settings) -> Tiling:
    numbers = {name: int(value) for name, value in (found.get() or {}).items() if name != "type" and value is not None}
    return Tiling(found.get("type"), numbers)
