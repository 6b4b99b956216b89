"""Cut images in plain loops: what `encoder/image_stack` and `projector/tile_packing` have to agree with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from graphvlm.components.encoder.image_stack import ImageStack
from graphvlm.components.encoder.video_frames import VideoFrames
from graphvlm.components.projector.tile_packing import TilePacking
from graphvlm.components.projector.video_packing import VideoPacking
from graphvlm.dims import Var
from graphvlm.ir import Graph
from graphvlm.spec import Port

from .open_sizes import Sizes, UnfitError

Size = tuple[int, int]
SIZES: tuple[Size, ...] = ((61, 97), (40, 211), (84, 126), (300, 300), (17, 9))


def image_sizes(images: int) -> list[Size]:
    """Heights and widths, in pixels, of so many images."""
    return [SIZES[index % len(SIZES)] for index in range(images)]


def image_counts(images: int, batch: int) -> list[int]:
    """How many of so many images each prompt has."""
    return [images // batch + (row < images % batch) for row in range(batch)]


def grid(size: Size, resolutions: Sequence[Size], tile: int) -> Size:
    """Rows and columns of tiles in the resolution that keeps most of an image, the smallest if several do.

    Without resolutions those that hold the image as it is.
    """
    if not resolutions:
        return math.ceil(size[0] / tile), math.ceil(size[1] / tile)
    best, most, area = resolutions[0], -1, 0
    for high, wide in resolutions:
        scale = min(wide / size[1], high / size[0])
        kept = min(int(size[1] * scale) * int(size[0] * scale), size[0] * size[1])
        if kept > most or (kept == most and high * wide < area):
            best, most, area = (high, wide), kept, high * wide
    return best[0] // tile, best[1] // tile


def pack(spec: TilePacking, features: Tensor, grids: Sequence[Size], sizes: Sequence[Size], learned: Tensor) -> Tensor:
    """Tokens of all images [tokens, dim], from tiles [tiles, tokens, dim] and the learned tokens [learned, dim]."""
    newline, separator = learned[0], learned[-1]
    found, at = list[Tensor](), 0
    for (rows, columns), size in zip(grids, sizes, strict=True):
        whole, tiles = features[at], features[at + 1 : at + 1 + rows * columns]
        at += 1 + rows * columns
        parts = [list(_lines(spec, tiles, (rows, columns), size, newline))]
        if not len(tiles) and spec.newline and not spec.lined:
            parts = [[newline.unsqueeze(0)]]
        if spec.separator and len(tiles):
            parts.insert(0, [separator.unsqueeze(0)])
        parts.insert(0, [whole])
        if spec.lined:
            parts[0] = [torch.cat([line, newline.unsqueeze(0)]) for line in torch.split(whole, spec.side)]
        if not spec.whole_first:
            parts.reverse()
        found += [line for part in parts for line in part]
    return torch.cat(found)


def _lines(spec: TilePacking, tiles: Tensor, grids: Size, size: Size, newline: Tensor) -> Iterator[Tensor]:
    """The rows of the tiles put together."""
    if not len(tiles):
        return
    (rows, columns), side = grids, spec.side
    canvas = torch.cat(
        [
            torch.cat([tile.view(side, side, -1) for tile in tiles[row * columns : (row + 1) * columns]], dim=1)
            for row in range(rows)
        ]
    )
    if spec.unpad:
        canvas = _unpadded(canvas, size)
    ratio = math.sqrt(canvas.shape[0] * canvas.shape[1] / (spec.max_tiles * side**2)) if spec.max_tiles else 1
    if ratio > 1.1:
        wanted = [int(canvas.shape[0] // ratio), int(canvas.shape[1] // ratio)]
        image = torch.nn.functional.interpolate(canvas.permute(2, 0, 1)[None], wanted, mode="bilinear")
        canvas = image[0].permute(1, 2, 0)
    for line in canvas:
        yield torch.cat([line, newline.unsqueeze(0)]) if spec.newline else line


def _unpadded(canvas: Tensor, size: Size) -> Tensor:
    high, wide = canvas.shape[:2]
    if size[1] * high > size[0] * wide:
        margin = (high - size[0] * wide // size[1]) // 2
        return canvas[margin : high - margin]
    margin = (wide - size[1] * high // size[0]) // 2
    return canvas[:, margin : wide - margin]


def packed_tokens(spec: TilePacking, grids: Sequence[Size], sizes: Sequence[Size]) -> int:
    """How many tokens images take."""
    features = torch.zeros(sum(rows * columns + 1 for rows, columns in grids), spec.side**2, 1)
    return len(pack(spec, features, grids, sizes, torch.zeros(2, 1)))


def open_sizes(graph: Graph, known: Mapping[str, int]) -> dict[str, int]:
    """What the sizes of images decide: how deep their stacks are, how many tiles and tokens they are."""
    found, grids = dict(known), dict[str, list[Size]]()
    for node in graph.nodes.values():
        if isinstance(node.spec, ImageStack) and node.spec.tile:
            sizes = image_sizes(_size(node.signature.inputs["stack"], 0, found))
            grids[node.name] = [grid(size, node.spec.resolutions, node.spec.tile) for size in sizes]
            if "counts" in node.inputs:
                counts = image_counts(len(sizes), _size(node.signature.inputs["counts"], 0, found))
                alone = [count == 1 for count in counts for _ in range(count)]
                grids[node.name] = [cut if one else (0, 0) for cut, one in zip(grids[node.name], alone, strict=True)]
            tiles = [rows * columns + 1 for rows, columns in grids[node.name]]
            found[_key(node.signature.inputs["stack"], 1)] = max(tiles)
            found[_key(node.signature.outputs["image"], 0)] = sum(tiles)
        elif isinstance(node.spec, ImageStack):
            stacks, depth = (_size(node.signature.inputs["stack"], axis, found) for axis in (0, 1))
            found[_key(node.signature.outputs["image"], 0)] = stacks * depth
        elif isinstance(node.spec, VideoFrames):
            videos, frames = (_size(node.signature.inputs["video"], axis, found) for axis in (0, 1))
            found[_key(node.signature.outputs["image"], 0)] = videos * frames
        elif isinstance(node.spec, VideoPacking):
            frames, tokens = _size(node.signature.inputs["video"], 1, found), node.signature.inputs["features"].shape[1]
            assert isinstance(tokens, int)
            found[_key(node.signature.outputs["features"], 1)] = frames * tokens + node.spec.newline
        elif isinstance(node.spec, TilePacking):
            cut = grids[node.inputs["grid"].name]
            packed = packed_tokens(node.spec, cut, image_sizes(len(cut)))
            found[_key(node.signature.outputs["features"], 1)] = packed
    return found


def _size(port: Port, axis: int, known: Mapping[str, int]) -> int:
    return Sizes(known).evaluate(port.shape[axis])


def _key(port: Port, axis: int) -> str:
    dim = port.shape[axis]
    if not isinstance(dim, Var):
        raise UnfitError(f"{port} gives what follows from the input, and it is written")
    return dim.key
