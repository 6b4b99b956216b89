"""What a graph says of the images of its prompts: their sizes, their tokens, and the inputs that take them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeVar

from ..components.encoder.image_stack import ImageStack
from ..components.encoder.native_vit import NativeVit
from ..components.encoder.patches import Patches
from ..components.encoder.tiled_vit import TiledVit
from ..components.encoder.vit import Vit
from ..components.fusion.prefix import Prefix
from ..components.fusion.scatter import Scatter
from ..components.projector.patch_merger import PatchMerger
from ..components.projector.tile_packing import TilePacking
from ..ir import Graph, ImagePrompt, Node, Ref, Tiling
from ..spec import Spec, What

# What the image processors of transformers call what flows into a graph.
_KEYS: dict[What, str] = {
    "image": "pixel_values",
    "stack": "pixel_values",
    "tiles": "pixel_values",
    "patches": "pixel_values",
    "sizes": "image_sizes",
    "grid": "image_grid_thw",
    "counts": "batch_num_images",
    "stack_mask": "pixel_attention_mask",
    "arrangement": "aspect_ratio_ids",
    "tile_mask": "aspect_ratio_mask",
}


_PIXELS = ("image", "stack", "patches")


@dataclass(frozen=True, slots=True)
class Pictures:
    """The images of a graph, and how its prompt has them.

    `kind` is the strategy that its encoders are made for. An image or tile has `height` x `width` pixels and `tokens`.
    Where images keep their size these are 0, patches are `patch` pixels wide over so many `frames` (images come whole,
    `padded` to one size, or cut), and `merge` x `merge` of them become a token. `resolutions`, smallest first, and
    `packing` are those of images put together from tiles; `alone` if an image is cut only where it is the only one of a
    request. `inputs` are pairs of an input of the graph and its name in image processors. Without a `token_id`, no
    token makes room for features; `visible` is the input that says then who sees which image, of so many `tiles`,
    or so many images stand `before` each text.
    """

    prompt: ImagePrompt
    kind: str
    tiling: Tiling
    token_id: int | None
    inputs: tuple[tuple[str, str], ...]
    channels: int = 3
    height: int = 0
    width: int = 0
    tokens: int = 0
    patch: int = 0
    merge: int = 1
    frames: int = 1
    resolutions: tuple[tuple[int, int], ...] = ()
    packing: TilePacking | None = None
    alone: bool = False
    padded: bool = False
    tiles: int = 0
    visible: str = ""
    before: int = 0


def pictures(graph: Graph) -> Pictures | None:
    """The images of a checked graph; None where its prompt speaks of none."""
    image = graph.prompt.image
    return found(graph, image) if image else None


def found(graph: Graph, image: ImagePrompt) -> Pictures | None:
    """The images that `prompt.image` speaks of; None where the graph has none that a prompt could have."""
    place = _place(graph)
    if place is None:
        return None
    nodes, inputs, token_id, tokens = place
    specs = [node.spec for node in nodes]
    kind = _usual(specs)
    if kind is None:
        return None
    vit = _only(specs, Vit)
    tower, stack = _only(specs, TiledVit), _only(specs, ImageStack)
    native, patches, packing = _only(specs, NativeVit), _only(specs, Patches), _only(specs, TilePacking)
    patch = native.patch if native else None
    size = (vit.height, vit.width) if vit and not native else (tower.size, tower.size) if tower else (0, 0)
    return Pictures(
        prompt=image,
        kind=kind,
        tiling=image.tiling or Tiling(kind, {}),
        token_id=token_id,
        inputs=tuple((name, _KEYS[graph.inputs[name].port.what]) for name in inputs),
        channels=vit.channels if vit else patch.channels if patch else 3,
        height=size[0],
        width=size[1],
        tokens=packing.side**2 if packing else tokens,
        patch=patch.size if patch else patches.size if patches else 0,
        merge=prod(spec.group for spec in specs if isinstance(spec, PatchMerger)),
        frames=(patch.frames or 1) if patch else 1,
        resolutions=stack.resolutions if stack else (),
        packing=packing,
        alone=bool(stack and stack.counted),
        padded=patches is not None,
        tiles=tower.tiles if tower else 0,
        visible=next((name for name, each in graph.inputs.items() if each.port.what == "visible"), "") if tower else "",
        before=sum(node.spec.images for node in graph.nodes.values() if isinstance(node.spec, Prefix))
        if token_id is None and not tower
        else 0,
    )


def _place(graph: Graph) -> tuple[list[Node], list[str], int | None, int] | None:
    """Nodes and inputs that the features of images come from, the token whose places they take, and how many."""
    for node in graph.nodes.values():
        spec = node.spec
        if not isinstance(spec, Scatter):
            continue
        ids = dict(spec.placeholder)
        for port in sorted(ids, key=lambda port: port != "image"):  # of several ports that one
            names = above(graph, node.inputs[port])
            if any(graph.inputs[name].port.what in _PIXELS for name in names & {*graph.inputs}):
                return *_sorted(graph, names), ids[port], dict(spec.tokens).get(port, 0)
    for node in graph.nodes.values():
        if isinstance(node.spec, Prefix):
            count = node.signature.inputs["image"].shape[1]
            names = above(graph, node.inputs["image"])
            if any(graph.inputs[name].port.what in _PIXELS for name in names & {*graph.inputs}):
                return *_sorted(graph, names), None, count if isinstance(count, int) else 0
    towers = [node for node in graph.nodes.values() if isinstance(node.spec, TiledVit)]
    if len(towers) == 1:
        names = above(graph, Ref(towers[0].name))
        return *_sorted(graph, names), None, 1
    return None


def _sorted(graph: Graph, names: set[str]) -> tuple[list[Node], list[str]]:
    nodes = [node for name, node in graph.nodes.items() if name in names]
    return nodes, [name for name, each in graph.inputs.items() if name in names and each.port.what in _KEYS]


def above(graph: Graph, ref: Ref) -> set[str]:
    """The names of everything that a value depends on."""
    found, waiting = set[str](), [ref.name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [source.name for source in graph.nodes[name].inputs.values()] if name in graph.nodes else []
    return found


def _usual(specs: list[Spec]) -> str | None:
    """The strategy that the encoders of a graph are made for."""
    if _only(specs, TiledVit):
        return "arrangements"
    if _only(specs, NativeVit):
        return "native"
    stack = _only(specs, ImageStack)
    if stack and stack.tile:
        return "resolutions" if stack.resolutions and _only(specs, TilePacking) else None
    if _only(specs, Vit):
        return "longest_side" if stack else "whole"
    return None


_S = TypeVar("_S", bound=Spec)


def _only(specs: list[Spec], kind: type[_S]) -> _S | None:
    """The spec of a kind, if there is one and no other."""
    found = [spec for spec in specs if isinstance(spec, kind)]
    return found[0] if len(found) == 1 else None
