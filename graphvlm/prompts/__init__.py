"""Prompts: what stands in a text for an image or a sound, and how many tokens one of some size comes to.

`read` gives what is written, `pictures` and `sounds` that and what the graph says of them, `check` what does not fit.
"""

from __future__ import annotations

from typing import Any

from ..ir import Graph
from . import processors
from .checking import check
from .pictures import Pictures, pictures
from .reading import read
from .sounds import Sounds, extractor, sounds
from .videos import Videos, video_preprocessor, videos

__all__ = ["Pictures", "Sounds", "Videos", "check", "pictures", "preprocessors", "read", "sounds", "videos"]


def preprocessors(graph: Graph) -> dict[str, dict[str, Any]]:
    """The files by which transformers makes the pixels or spectrograms of a prompt."""
    seen, heard, clips = pictures(graph), sounds(graph), videos(graph)
    if heard:
        return {"preprocessor_config.json": extractor(heard)}
    made = {"preprocessor_config.json": processors.preprocessor(seen)} if seen else {}
    if clips:
        made["video_preprocessor_config.json"] = video_preprocessor(clips, made["preprocessor_config.json"])
    return made
