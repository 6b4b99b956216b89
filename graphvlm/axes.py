"""The axes of what flows along edges."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .spec import What

# What the axes of what flows are called, or how long they are.
AXES: Mapping[What, tuple[str | int, ...]] = MappingProxyType(
    {
        "image": ("images", "channels", "height", "width"),
        "video": ("videos", "frames", "channels", "height", "width"),
        "features": ("images", "tokens", "dim"),
        "patches": ("patches", "numbers"),
        "grid": ("images", 3),
        "sizes": ("images", 2),
        "stack": ("stacks", "depth", "channels", "height", "width"),
        "stack_mask": ("stacks", "depth", "height", "width"),
        "pixel_mask": ("images", "height", "width"),
        "counts": ("batch",),
        "seconds": ("images",),
        "audio": ("clips", "bins", "frames"),
        "tiles": ("batch", "images", "tiles", "channels", "height", "width"),
        "tile_grid": ("batch", "images", 2),
        "arrangement": ("batch", "images"),
        "tile_mask": ("batch", "images", "tiles"),
        "token_types": ("batch", "seq"),
        "labels": ("batch", "seq"),
        "classes": ("batch",),
        "repeats": ("batch",),
        "weights": ("batch",),
        "visible": ("batch", "seq", "images", "tiles"),
        "tokens": ("batch", "seq"),
        "mask": ("batch", "seq"),
        "vector": ("batch", "dim"),
    }
)
