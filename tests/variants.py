"""Overrides of the tiny graph with nodes that are called again: other images, frames of videos."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CALLS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "calls": (
            "inputs.other_pixels=image",
            "nodes.other_vision={module: vision, inputs: other_pixels}",
            "nodes.other_projector={module: projector, inputs: other_vision}",
            "nodes.fused={inputs: {video: other_projector}, placeholder: {video: 98}}",
            "outputs.seen=other_vision",
        ),
        "video": (
            "inputs.video=video",
            "nodes.frames={kind: encoder, type: video_frames, inputs: video}",
            "nodes.video_vision={module: vision, inputs: frames}",
            "nodes.pooled={kind: projector, type: pool, window: 2, method: max, inputs: video_vision}",
            "nodes.video_projector={module: projector, inputs: pooled}",
            "nodes.fused={inputs: {video: video_packed}, placeholder: {video: 98}}",
            "nodes.video_packed={kind: projector, type: video_packing,"
            " inputs: {features: video_projector, video: video}}",
        ),
        "video_newline": (
            "inputs={pixel_values: stack, image_sizes: sizes, video: video}",
            "nodes.tiles={kind: encoder, type: image_stack, inputs: {stack: pixel_values, sizes: image_sizes},"
            " tiling: {size: 56, resolutions: [[56, 112], [112, 56], [112, 112]]}}",
            "nodes.vision.inputs=tiles",
            "nodes.packed={kind: projector, type: tile_packing,"
            " inputs: {features: projector, grid: tiles.grid, sizes: image_sizes}}",
            "nodes.frames={kind: encoder, type: video_frames, inputs: video}",
            "nodes.video_vision={module: vision, inputs: frames}",
            "nodes.video_projector={module: projector, inputs: video_vision}",
            "nodes.pooled={kind: projector, type: pool, tokens: 9, method: bilinear, inputs: video_projector}",
            "nodes.video_packed={kind: projector, type: video_packing,"
            " inputs: {features: pooled, video: video, newline: packed.newline}}",
            "nodes.fused={inputs: {image: packed, video: video_packed}, placeholder: {video: 98}}",
        ),
    }
)

TILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tiles": (
            "inputs={pixel_values: stack, image_sizes: sizes}",
            "nodes.tiles={kind: encoder, type: image_stack, inputs: {stack: pixel_values, sizes: image_sizes}}",
            "nodes.tiles.tiling={size: 56, resolutions: [[56, 112], [112, 56], [112, 112], [56, 168]]}",
            "nodes.vision.inputs=tiles",
            "nodes.packed={kind: projector, type: tile_packing}",
            "nodes.packed.inputs={features: projector, grid: tiles.grid, sizes: image_sizes}",
            "nodes.fused.inputs.image=packed",
        ),
        "tiles_lined": (
            "inputs={pixel_values: stack, image_sizes: sizes}",
            "nodes.tiles={kind: encoder, type: image_stack, inputs: {stack: pixel_values, sizes: image_sizes}}",
            "nodes.tiles.tiling={size: 56}",
            "nodes.vision.inputs=tiles",
            "nodes.packed={kind: projector, type: tile_packing, newline_after: all, separator: true, whole: last}",
            "nodes.packed={unpad: false, inputs: {features: projector, grid: tiles.grid}}",
            "nodes.fused.inputs.image=packed",
        ),
        "tiles_scaled": (
            "inputs={pixel_values: stack, image_sizes: sizes}",
            "nodes.tiles={kind: encoder, type: image_stack, inputs: {stack: pixel_values, sizes: image_sizes}}",
            "nodes.tiles.tiling={size: 56, resolutions: [[56, 56], [112, 112], [168, 168]]}",
            "nodes.vision.inputs=tiles",
            "nodes.packed={kind: projector, type: tile_packing, max_tiles: 2, separator: true, whole: last}",
            "nodes.packed.inputs={features: projector, grid: tiles.grid, sizes: image_sizes}",
            "nodes.fused.inputs.image=packed",
        ),
    }
)
