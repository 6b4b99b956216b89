"""What the pages of prompts place for videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..code import quoted
from .videos import Videos


@dataclass(frozen=True, slots=True)
class VideoTokensView:
    """Constants of the page that counts, and what makes the text of a frame, and of a video."""

    constants: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    piece: str
    whole: str


def video_tokens_view(given: Videos) -> VideoTokensView:
    """The part of the page that counts the tokens of videos."""
    prompt = given.prompt
    before, after = ("before" if prompt.before_frame else "", "after" if prompt.after_frame else "")
    piece = " + ".join(part for part in (before, "inside", after) if part)
    lines = [f"{name} = VIDEO_{name.upper()}_FRAME.format(**at)" for name in (before, after) if name]
    inner = "VIDEO_FEATURE * video_tokens(frames, height, width)"
    if given.framed:
        inner = "VIDEO_BETWEEN_FRAMES.join(pieces)" if prompt.between_frames else '"".join(pieces)'
    start, end = ("VIDEO_START" if prompt.start else "", "VIDEO_END" if prompt.end else "")
    return VideoTokensView(
        constants=tuple(_constants(given)),
        lines=tuple(lines),
        piece=piece,
        whole=" + ".join(part for part in (start, inner, end) if part),
    )


def _constants(given: Videos) -> Iterator[tuple[str, str]]:
    prompt = given.prompt
    if given.patch:
        yield "VIDEO_MIN_PIXELS", str(prompt.least)
        yield "VIDEO_MAX_PIXELS", str(prompt.most)
    else:
        yield "VIDEO_TOKENS", str(given.tokens)
    yield "VIDEO_FEATURE", quoted(prompt.feature)
    for name in ("start", "end", "before_frame", "between_frames", "after_frame"):
        text = getattr(prompt, name)
        if text:
            yield f"VIDEO_{name.upper()}", quoted(text)
