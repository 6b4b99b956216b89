"""Mistakes in graphs whose images are cut into tiles."""

from __future__ import annotations

from collections.abc import Mapping

from .cases import Case

_RESOLUTIONS = "[[56, 112], [112, 112]]"


def tiled(**changes: str) -> Mapping[str, str]:
    """The tiny graph with images in tiles."""
    text = {"size": "56", "resolutions": _RESOLUTIONS, "drop_cls": "true", "packed": "", **changes}
    inputs = "inputs: {features: projector, grid: tiles.grid, sizes: image_sizes}"
    return {
        "  pixel_values: image\n": "  pixel_values: stack\n  image_sizes: sizes\n",
        "nodes:\n": "nodes:\n  tiles:\n    kind: encoder\n    type: image_stack\n"
        "    inputs: {stack: pixel_values, sizes: image_sizes}\n"
        f"    tiling: {{size: {text['size']}, resolutions: {text['resolutions']}}}\n",
        "    inputs: pixel_values\n": "    inputs: tiles\n",
        "drop_cls: true": f"drop_cls: {text['drop_cls']}",
        "  fused:\n": f"  packed: {{kind: projector, type: tile_packing, {inputs}{text['packed']}}}\n  fused:\n",
        "{text: text, image: projector,": "{text: text, image: packed,",
    }


TILE_CASES = [
    Case(
        "tile-not-divisible",
        tiled(resolutions="[[56, 112], [112, 100]]"),
        *("[112, 100]", ("56",), "images of 112 x 100 pixels do not divide", "multiples of 56"),
        tiled(),
    ),
    Case(
        "grid-mismatch",
        tiled(drop_cls="false"),
        "{features: projector, grid: tiles.grid, sizes: image_sizes}",
        ("56",),
        "a tile has 17 tokens",
        "`output: {drop_cls: true}`",
        tiled(),
    ),
    Case(
        "shape-mismatch",
        tiled(packed=", tokens: 16", drop_cls="false"),
        *("projector", ("56", "16"), "takes features of 16 tokens", "leave the class token out"),
        tiled(packed=", tokens: 16"),
    ),
    Case(
        "mask-conflict",
        {
            "  pixel_values: image\n": "  pixel_values: stack\n  seen: stack_mask\n",
            "nodes:\n": "nodes:\n  images:\n    kind: encoder\n    type: image_stack\n"
            "    inputs: {stack: pixel_values, stack_mask: seen}\n",
            "    inputs: pixel_values\n": "    inputs: {image: images, pixel_mask: images.pixel_mask}\n",
        },
        "{image: images, pixel_mask: images.pixel_mask}",
        ("true",),
        "the class token is none",
        "remove `class_token`",
    ),
    Case(
        "shape-mismatch",
        tiled(size="28"),
        *("tiles", ("28", "56"), "`vision.image` takes images 56 pixels high, `tiles` gives 28", ""),
    ),
]
