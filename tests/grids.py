"""Rows and columns of images of any size, for the inputs of tests."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from graphvlm.components.encoder.native_vit import NativeVit
from graphvlm.components.encoder.patches import Patches
from graphvlm.components.projector.patch_merger import PatchMerger
from graphvlm.ir import Graph, Node, Ref

from . import tiling
from .open_sizes import Sizes


def grid_of(graph: Graph, name: str, images: int, known: Sizes) -> Tensor:
    """One frame, and a row of blocks of patches for each image, the last of which has what is left of all patches."""
    reader = next(node for node in graph.nodes.values() if Ref(name) in node.inputs.values() and "grid" in node.inputs)
    assert isinstance(reader.spec, NativeVit)
    assert reader.spec.patch
    side = reader.spec.patch.group * _squares(graph)
    return _rows(known.evaluate(reader.signature.inputs["patches"].shape[0]), images, side)


def sizes_of(graph: Graph, name: str, images: int, known: Sizes) -> Tensor:
    """Rows and columns of patches, or heights and widths in pixels: of images that are padded, or cut into tiles."""
    node = next((node for node in _readers(graph, name) if isinstance(node.spec, Patches)), None)
    if node is None:
        return torch.tensor(tiling.image_sizes(images))
    assert isinstance(node.spec, Patches)
    if node.spec.cut:
        return _rows(known.evaluate(node.signature.outputs["patches"].shape[0]), images, _squares(graph))[:, 1:]
    return torch.tensor([known.shape(node.signature.inputs["image"].shape)[2:]] * images)


def _readers(graph: Graph, name: str) -> list[Node]:
    return [node for node in graph.nodes.values() if Ref(name) in node.inputs.values()]


def _squares(graph: Graph) -> int:
    """The side of the squares of patches, given row by row, that become one token."""
    return prod(node.spec.group for node in graph.owners if isinstance(node.spec, PatchMerger) and node.spec.rows)


def _rows(patches: int, images: int, side: int) -> Tensor:
    blocks = patches // side**2
    columns = [1] * (images - 1) + [blocks - images + 1]
    return torch.tensor([[1, side, side * count] for count in columns])
