"""Which patches see each other, where their places are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class GridMask:
    """Patches see each other within an image (all frames of a video), a frame, or a window of `size` by `size` patches
    of a frame; those at the edges are smaller, or filled up if `padded`.

    Those of a video may see each other at one `place` of all frames. Frames or places are `apart` where all videos have
    the same: then each goes through the attention by itself.
    """

    within: Literal["image", "frame", "window", "place"]
    size: int = 0
    padded: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Windows:
    """Patches of a square see their window of `side` by `side`; `padded` if those at the edges are filled up."""

    side: int
    padded: bool
