"""Prompts: what stands in a text for an image, and how many tokens an image of some size comes to.

`read` gives what is written, `pictures` that and what the graph says of its images, `check` what does not fit it.
"""

from __future__ import annotations

from .checking import check
from .pictures import Pictures, pictures
from .reading import read

__all__ = ["Pictures", "check", "pictures", "read"]
