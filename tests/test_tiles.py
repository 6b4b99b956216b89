"""Images in tiles: every option of packing against plain loops, stacks that were filled up, and images never cut."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

import graphvlm
from graphvlm.components.projector.tile_packing import TilePacking
from graphvlm.diagnostics import GraphError
from graphvlm.ir import Graph

from .running import TINY, VARIANTS, packaged, randomise
from .tiling import SIZES, grid, pack

pytestmark = pytest.mark.usefixtures("one_thread")

RESOLUTIONS = ((56, 56), (56, 112), (112, 56), (168, 168), (56, 224))
OPTIONS = {
    "newline": (True, False),
    "separator": (False, True),
    "unpad": (True, False),
    "max_tiles": (None, 2),
    "whole": ("first", "last"),
}
CHOICES = [dict(zip(OPTIONS, choice, strict=True)) for choice in product(*OPTIONS.values())]
HALF = [choice for choice in CHOICES if sum(map(bool, choice.values())) % 2]  # any four of them in every way
HALF += [choice | {"newline_after": "all"} for choice in CHOICES if choice["newline"] and choice not in HALF]


@cache
def graph(choice: tuple[tuple[str, Any], ...] = ()) -> Graph:
    settings = ", ".join(f"{name}: {str(value).lower()}" for name, value in choice if value is not None)
    changes = [*VARIANTS["tiles"], f"nodes.tiles.tiling.resolutions={[list(each) for each in RESOLUTIONS]}"]
    changes += [f"nodes.packed={{{settings}}}"] if settings else []
    if ("unpad", False) in choice:
        changes.append("nodes.packed.inputs.sizes=null")
    return graphvlm.load(TINY, overrides=changes)


@cache
def model(choice: tuple[tuple[str, Any], ...] = ()) -> Any:
    made = packaged(graph(choice)).Model()
    randomise(made)
    return made


def features(count: int, dim: int = 40) -> Tensor:
    return torch.randn(count, 16, dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("choice", HALF, ids=lambda choice: "-".join(map(str, choice.values())))
def test_packing_is_what_loops_make(choice: dict[str, Any]) -> None:
    """Also of an image that was not cut, in the middle and at the end, and of one too flat or thin for a token."""
    key = tuple(choice.items())
    packed, spec = model(key).packed, graph(key).nodes["packed"].spec
    assert isinstance(spec, TilePacking)
    shapes = [(3, 211), *SIZES[:2], (211, 3), *SIZES[2:]]
    grids = [grid(size, RESOLUTIONS, 56) for size in shapes]
    grids[1] = grids[-1] = (0, 0)
    tiles = features(sum(rows * columns + 1 for rows, columns in grids))
    learned = torch.stack([getattr(packed, name) for name in spec.learned] or [torch.zeros(40)])
    sizes = (torch.tensor(shapes),) if choice["unpad"] else ()
    made = packed(tiles, torch.tensor(grids), *sizes)
    expected = pack(spec, tiles, grids, shapes, learned)
    assert made.shape == (1, *expected.shape)
    assert torch.allclose(made[0], expected, rtol=0, atol=1e-6)


def test_a_newline_that_is_not_there_is_after_no_row() -> None:
    with pytest.raises(GraphError) as caught:
        graph((("newline", False), ("newline_after", "all")))
    (found,) = caught.value.diagnostics
    assert found.rule == "unread-setting"
    assert found.help == "remove `newline_after`, or `newline: false`"


def test_tiles_are_chosen_by_the_size_of_the_image() -> None:
    """For many sizes; those that fit several resolutions equally well, too."""
    sizes = [(high, wide) for high in range(1, 240, 7) for wide in (1, 8, 56, 57, high, 2 * high, 239)]
    resolutions = model().tiles.best_resolution(torch.tensor(sizes))
    assert (resolutions // 56).tolist() == [list(grid(size, RESOLUTIONS, 56)) for size in sizes]


def test_what_fills_a_stack_up_does_not_matter() -> None:
    """Nor how much there is of it, and an image alone is what it is beside others."""
    tiles = [1 + rows * columns for rows, columns in (grid(size, RESOLUTIONS, 56) for size in SIZES)]
    sizes = torch.tensor(SIZES)
    stack = torch.randn(len(SIZES), max(tiles) + 2, 3, 56, 56)
    together = model().encode_image(stack, sizes)
    alone = [
        model().encode_image(stack[image : image + 1, :count], sizes[image : image + 1])
        for image, count in enumerate(tiles)
    ]
    assert torch.allclose(together, torch.cat(alone, dim=1), atol=1e-5)


def test_images_of_zeros_fill_a_stack_up() -> None:
    """Without `tiling`, a stack is the images of a prompt; a mask of pixels goes with its image."""
    overrides = [
        "inputs={pixel_values: stack, pixel_attention_mask: stack_mask, input_ids: null}",
        "nodes={llm: null, fused: null, text: null, projector: null}",
        "nodes.images={kind: encoder, type: image_stack}",
        "nodes.images.inputs={stack: pixel_values, stack_mask: pixel_attention_mask}",
        "nodes.vision.inputs=images",
        "outputs={logits: null, features: vision}",
        "checkpoint=null",
    ]
    images = packaged(graphvlm.load(TINY, overrides=overrides)).Model().images
    stack = torch.randn(3, 2, 3, 56, 56)
    stack[0, 1] = stack[2, 0] = 0
    mask = torch.arange(6).view(3, 2, 1, 1).expand(3, 2, 56, 56)
    made, masks = images(stack, mask)
    assert torch.equal(made, stack.flatten(0, 1)[[0, 2, 3, 5]])
    assert masks[:, 0, 0].tolist() == [0, 2, 3, 5]
    assert images(stack, None)[1] is None


@pytest.mark.parametrize("way", ["prefix", "kv"])
def test_what_fills_a_graph_up_is_not_read(way: str) -> None:
    """Packed tiles before a text, or attended to: a compiled graph has as many tokens as there can be."""
    beside = {
        "prefix": (
            "nodes.fused={type: prefix, placeholder: null, inputs: null}",
            "nodes.fused.inputs={text: text, image: packed}",
        ),
        "kv": (
            "nodes={fused: null, projector: {out: 36}, llm: {inputs: {features: text, image: packed}}}",
            "nodes.llm.sublayers={see: {op: attention, heads: 2, kv: image}}",
            "nodes.llm.layers={count: 2, each: [attn, see, mlp]}",
        ),
    }[way]
    made = packaged(graphvlm.load(TINY, overrides=[*VARIANTS["tiles"], *beside])).Model()
    randomise(made)
    sizes, ids = torch.tensor([(61, 97), (40, 211)]), torch.tensor([[3, 5, 7, 9]])
    pixels = torch.randn(2, 5, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    torch._dynamo.reset()
    compiled: Any = torch.compile(made, fullgraph=True, backend="eager")
    with torch.no_grad():
        expected = made(ids, pixel_values=pixels, image_sizes=sizes).logits
        found = compiled(ids, pixel_values=pixels, image_sizes=sizes).logits
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)


def test_what_fills_a_graph_up_is_no_segment() -> None:
    """The tokens of one keep their positions, whether they are seen or not."""
    apart = "nodes={fused: null, llm: {inputs: {image: packed, text: text}, segments: {image: {}, text: {}}}}"
    with pytest.raises(GraphError) as caught:
        graphvlm.load(TINY, overrides=[*VARIANTS["tiles"], apart])
    (found,) = caught.value.diagnostics
    assert found.rule == "bad-segments"
    assert found.message.startswith("segment `image` of `llm` is as long as the images in `packed` are")
