"""What the pages of prompts with sounds place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..code import quoted
from ..ir import Graph
from .sounds import Sounds


@dataclass(frozen=True, slots=True)
class SoundTokensView:
    """The page that counts tokens: its constants, the lines that count, and the text of a sound."""

    constants: tuple[tuple[str, str], ...]
    samples: str
    tokens: tuple[str, ...]
    text: str

    @property
    def mathematics(self) -> bool:
        """Whether it needs more than the four operations."""
        return "math." in "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class SoundPromptView:
    """The page of the processor: pairs of an input and what tokenizers call it, the inputs of sounds, what is long."""

    token_id: int
    text: tuple[tuple[str, str], ...]
    audio: str
    mask: str
    bins: int
    frames: int
    long: str
    seconds: int
    template: bool
    marks: str = "ids == self.token_id"


def sound_prompt_view(graph: Graph, given: Sounds, tokens: str, mask: str) -> SoundPromptView:
    """The view of the processor of a graph whose text is `tokens`, with a `mask`."""
    return SoundPromptView(
        token_id=given.token_id,
        text=((tokens, "input_ids"), (mask, "attention_mask")),
        audio=given.audio,
        mask=given.mask,
        bins=given.bins,
        frames=given.frames,
        long=given.prompt.long,
        seconds=given.prompt.seconds,
        template=bool(graph.prompt.template),
    )


def sound_tokens_view(given: Sounds) -> SoundTokensView:
    """The view of the page that counts the tokens of these sounds."""
    prompt = given.prompt
    fixed = not given.mask and prompt.long == "cut"
    count = "TOKENS" if fixed else "sound_tokens(samples)"
    around = [name for name, text in (("START", prompt.start), ("END", prompt.end)) if text]
    pieces = [*around[: bool(prompt.start)], f"FEATURE * {count}", *around[bool(prompt.start) :]]
    return SoundTokensView(
        constants=tuple(_constants(given)),
        samples="_samples" if fixed else "samples",
        tokens=tuple(_count(given)),
        text=" + ".join(pieces),
    )


def _constants(given: Sounds) -> Iterator[tuple[str, str]]:
    prompt = given.prompt
    yield "RATE", str(prompt.rate)
    if prompt.long != "cut":
        yield "CLIP", str(given.clip)
    if prompt.seconds:
        yield "LONGEST", str(prompt.seconds * prompt.rate // given.clip * given.clip)
    if given.mask:
        yield "HOP", str(prompt.hop)
        yield from [("FRAMES", str(given.frames))] if prompt.long == "cut" else []
    else:
        yield "TOKENS", str(given.tokens)
    yield "FEATURE", quoted(prompt.token)
    yield from ((name, quoted(text)) for name, text in (("START", prompt.start), ("END", prompt.end)) if text)


def _count(given: Sounds) -> Iterator[str]:
    """The lines of `sound_tokens`."""
    prompt = given.prompt
    if prompt.seconds:
        yield "samples = min(samples, LONGEST)"
    if not given.mask:
        yield "return TOKENS" if prompt.long == "cut" else "return TOKENS * max(1, math.ceil(samples / CLIP))"
        return
    yield "frames = math.ceil(samples / HOP)"
    frames = "min(frames, FRAMES)" if prompt.long == "cut" else "frames"
    inner = f"math.ceil({frames} / {given.stride})" if given.stride > 1 else frames
    yield f"return {inner} // {given.pool}" if given.pool > 1 else f"return {inner}"
