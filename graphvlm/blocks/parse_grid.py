"""Masks over the places of patches: whether they stand where these are known."""

from __future__ import annotations

from ..settings import Settings
from .layer import Layer
from .settings import Attention
from .settings_grid import GridMask


def check_grid(layer: Layer, own: Settings, attention: Attention) -> bool:
    """Whether a mask over the places of patches stands where these are known; `own` are the settings of `attention`."""
    found = _misplaced(layer, own, attention)
    if found is None:
        return True
    message, fix, *option = found
    message = f"`mask` of `{layer.inferred.node}` {message}"
    layer.problems.error("bad-mask", message, own.span("mask", *option), help=fix)
    return False


def _misplaced(layer: Layer, own: Settings, attention: Attention) -> tuple[str, ...] | None:
    """What is wrong with a mask, how to mend it, and at which option if not at the whole."""
    mask = attention.grid
    if not layer.causal and own.has("mask", "any"):
        return (
            "goes by the order of the tokens, and those of an encoder have none",
            "remove `mask`: every token sees every other",
        )
    if mask is None or _stands(layer, mask):
        return None
    if layer.video:
        return (
            "is of images of any size: patches of its videos have a frame and a place",
            "write `frame` or `place`, or remove `mask`",
        )
    if mask.within == "place":
        return (
            "goes by places in all frames of a video, and this node reads none",
            "remove `mask`, or encode videos with `type: video_vit`",
        )
    if layer.grid:
        return "has windows that are smaller at the edges, which cannot be filled up", "remove `edge`", "edge"
    return (
        "goes by frames and windows of images, and this node is not given a grid",
        "remove `mask`, or encode the images with `type: native_vit`",
    )


def _stands(layer: Layer, mask: GridMask) -> bool:
    """Whether the places that a mask goes by are known in the layer."""
    if layer.video:
        return mask.within in ("frame", "place")
    if mask.within == "place":
        return False
    return layer.square is not None or (layer.grid and not mask.padded)
