"""How transformers makes pixels: `preprocessor_config.json` for each strategy. Every number is written down."""

from __future__ import annotations

from typing import Any

from .pictures import Pictures

# How Pillow numbers what `resample` can be.
_RESAMPLE = {"lanczos": 1, "bilinear": 2, "bicubic": 3}


def preprocessor(given: Pictures) -> dict[str, Any]:
    """The file of an image processor of transformers, which makes the pixels of these images."""
    image = given.prompt
    return {
        **_SIZES[given.tiling.type](given),
        "do_convert_rgb": given.channels == 3,
        "do_resize": True,
        "resample": _RESAMPLE[image.resample],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(image.mean),
        "image_std": list(image.std),
    }


def _square(given: Pictures) -> dict[str, int]:
    return {"height": given.height, "width": given.width}


def _whole(given: Pictures) -> dict[str, Any]:
    cropped = given.prompt.resize == "crop"
    size = _square(given)
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": max(given.height, given.width)} if cropped else size,
        "do_center_crop": cropped,
        "crop_size": size,
    }


def _resolutions(given: Pictures) -> dict[str, Any]:
    shared = {"image_grid_pinpoints": [list(each) for each in given.resolutions], "do_pad": True}
    if given.alone:
        return {"image_processor_type": "LlavaOnevisionImageProcessor", "size": _square(given), **shared}
    return {
        "image_processor_type": "LlavaNextImageProcessor",
        "size": {"shortest_edge": given.height},
        "do_center_crop": True,
        "crop_size": _square(given),
        **shared,
    }


def _closest_grid(given: Pictures) -> dict[str, Any]:
    return {
        "image_processor_type": "GotOcr2ImageProcessor",
        "size": _square(given),
        "crop_to_patches": True,
        "min_patches": given.tiling.numbers.get("min_tiles", 1),
        "max_patches": given.tiling.numbers["max_tiles"],
    }


def _covering_grid(given: Pictures) -> dict[str, Any]:
    return {
        "image_processor_type": "Ovis2ImageProcessor",
        "size": _square(given),
        "crop_to_patches": True,
        "max_patches": given.tiling.numbers["max_tiles"],
        "use_covering_area_grid": True,
    }


def _canvas(given: Pictures) -> dict[str, Any]:
    return {
        "image_processor_type": "Llama4ImageProcessor",
        "size": _square(given),
        "max_patches": given.tiling.numbers["max_tiles"],
        "resize_to_max_canvas": False,
    }


def _arrangements(given: Pictures) -> dict[str, Any]:
    return {
        "image_processor_type": "MllamaImageProcessor",
        "size": _square(given),
        "do_pad": True,
        "max_image_tiles": given.tiles,
    }


def _longest_side(given: Pictures) -> dict[str, Any]:
    return {
        "image_processor_type": "Idefics3ImageProcessor",
        "size": {"longest_edge": given.tiling.numbers["longest"]},
        "max_image_size": {"longest_edge": given.height},
        "do_image_splitting": True,
        "do_pad": True,
    }


_PATCHES = {"native": "Qwen2VLImageProcessor", "native_volume": "Glm4vImageProcessor"}


def _native(given: Pictures) -> dict[str, Any]:
    numbers = given.tiling.numbers
    if given.padded:
        block = given.patch * given.merge
        return {
            "image_processor_type": "PixtralImageProcessor",
            "size": {"longest_edge": numbers["longest"]},
            "patch_size": {"height": block, "width": block},
        }
    return {
        "image_processor_type": _PATCHES[given.tiling.type],
        "size": {"shortest_edge": numbers["min_pixels"], "longest_edge": numbers["max_pixels"]},
        "patch_size": given.patch,
        "temporal_patch_size": given.frames,
        "merge_size": given.merge,
    }


_SIZES = {
    "whole": _whole,
    "resolutions": _resolutions,
    "closest_grid": _closest_grid,
    "covering_grid": _covering_grid,
    "canvas": _canvas,
    "arrangements": _arrangements,
    "longest_side": _longest_side,
    "native": _native,
    "native_volume": _native,
}
