"""Masks over the places of patches: whether they stand where these are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .settings import Attention
from .settings_grid import GridMask

if TYPE_CHECKING:
    from .parse_sublayers import Layer


def check_grid(layer: Layer, attention: Attention) -> bool:
    """Whether a mask over the places of patches stands where these are known."""
    if not layer.causal and layer.settings.has("attention", "mask", "any"):
        layer.problems.error(
            "bad-mask",
            f"`mask` of `{layer.inferred.node}` goes by the order of the tokens, and those of an encoder have none",
            layer.settings.span("attention", "mask"),
            help="remove `mask`: every token sees every other",
        )
        return False
    mask = attention.grid
    if mask is not None and mask.within == "place" and not layer.video:
        layer.problems.error(
            "bad-mask",
            f"`mask` of `{layer.inferred.node}` goes by places in all frames of a video, and this node reads none",
            layer.settings.span("attention", "mask"),
            help="remove `mask`, or encode videos with `type: video_vit`",
        )
        return False
    if mask is not None and layer.video:
        return _check_video(layer, mask)
    if mask is None or layer.square is not None or (layer.grid and not mask.padded):
        return True
    if layer.grid:
        layer.problems.error(
            "bad-mask",
            f"windows of `{layer.inferred.node}` are smaller at the edges of an image, and cannot be filled up",
            layer.settings.span("attention", "mask", "edge"),
            help="remove `edge`",
        )
        return False
    layer.problems.error(
        "bad-mask",
        f"`mask` of `{layer.inferred.node}` goes by frames and windows of images, and this node is not given a grid",
        layer.settings.span("attention", "mask"),
        help="remove `mask`, or encode the images with `type: native_vit`",
    )
    return False


def _check_video(layer: Layer, mask: GridMask) -> bool:
    """Whether a mask is one of a video whose frames are of one size."""
    if mask.within in ("frame", "place"):
        return True
    layer.problems.error(
        "bad-mask",
        f"`mask` of `{layer.inferred.node}` is of images of any size: patches of its videos have a frame and a place",
        layer.settings.span("attention", "mask"),
        help="write `frame` or `place`, or remove `mask`",
    )
    return False
