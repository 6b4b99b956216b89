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

__all__ = ["Pictures", "Sounds", "check", "pictures", "preprocessor", "read", "sounds"]


def preprocessor(graph: Graph) -> dict[str, Any]:
    """`preprocessor_config.json`: how transformers makes the pixels or spectrograms of a prompt; empty without any."""
    seen, heard = pictures(graph), sounds(graph)
    return processors.preprocessor(seen) if seen else extractor(heard) if heard else {}
