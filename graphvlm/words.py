"""Words of the messages about graphs: lists of names, and what flows along edges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from .diagnostics import did_you_mean

_MOST = 12

WHAT: Mapping[str, str] = MappingProxyType(
    {
        "image": "images",
        "tokens": "token ids",
        "token_types": "types of tokens",
        "mask": "an attention mask",
        "features": "features",
        "vector": "one vector for each sample",
        "logits": "logits",
        "scores": "scores",
        "cache": "keys and values of a call",
        "classes": "classes of samples",
        "labels": "labels of tokens",
        "repeats": "numbers of rows of each sample",
        "weights": "weights of samples",
        "chosen": "numbers of candidates",
        "loss": "a loss",
        "video": "videos",
        "tiles": "tiles of images",
        "tile_grid": "grids of tiles",
        "arrangement": "arrangements of tiles",
        "tile_mask": "masks of tiles",
        "patches": "patches of images",
        "grid": "grids of patches",
        "sizes": "sizes of images",
        "audio": "spectrograms",
        "stack": "stacks of images",
        "stack_mask": "masks of stacks of images",
        "pixel_mask": "masks of images",
        "counts": "numbers of images",
        "seconds": "seconds between frames",
        "positions": "positions",
        "visible": "flags of what each token sees",
    }
)


def listed(names: Iterable[object], joint: str = "and") -> str:
    """`a`, `b` and `c`."""
    named = list(names)
    quoted = [f"`{name}`" for name in named[:_MOST]]
    if len(named) > _MOST:
        quoted[-1] = f"{len(named) - _MOST + 1} more"
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {joint} {quoted[-1]}"


def suggestion(name: str, known: Collection[str], what: str) -> str:
    """The nearest known name, else all of them: `the nodes are ...`."""
    if close := did_you_mean(name, known):
        return close
    return f"the {what}s are {listed(known)}" if len(known) > 1 else f"the only {what} is {listed(known)}"
