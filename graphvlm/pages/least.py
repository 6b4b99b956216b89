"""The least that an encoder can be given: one image, video or sound, as small as may be, with what says more of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt, prod

from ..components.encoder.audio import Audio
from ..components.encoder.image_stack import ImageStack
from ..components.encoder.patches import Patches
from ..components.projector.patch_merger import PatchMerger
from ..dims import Dim, Many, Var
from ..ir import Graph, Input, Node, Ref
from ..stages import Stage


def inputs(graph: Graph, stage: Stage) -> tuple[str, ...]:
    """Expressions for the inputs that a stage needs, on `device`."""
    numbers = dict(_numbers(graph, stage))
    needed = [(name, graph.inputs[name]) for name in stage.inputs if not graph.inputs[name].optional]
    return tuple(_least(graph, name, given, numbers) for name, given in needed)


def _numbers(graph: Graph, stage: Stage) -> Iterator[tuple[str, int]]:
    """The open sizes that are not one, by their keys."""
    for node in map(graph.nodes.__getitem__, stage.nodes):
        spec, ports = node.spec, node.signature.inputs
        if isinstance(spec, ImageStack) and spec.tile:
            high, wide = _resolution(spec)
            yield from _sized(ports["stack"].shape[1], high * wide // spec.tile**2 + 1)
        elif isinstance(spec, Patches) and not spec.cut:
            for side in ports["image"].shape[2:]:
                yield from _sized(side, spec.size * spec.group * _squares(graph, stage))
        elif isinstance(spec, Audio):
            yield from _sized(ports["audio"].shape[2], prod(spec.strides) * (spec.pool.size if spec.pool else 1))


def _sized(dim: Dim, size: int) -> Iterator[tuple[str, int]]:
    if isinstance(dim, Var):
        yield dim.key, size


def _resolution(spec: ImageStack) -> tuple[int, int]:
    """Height and width of an image that few tiles are cut from."""
    return spec.resolutions[0] if spec.resolutions else (spec.tile, spec.tile)


def _squares(graph: Graph, stage: Stage) -> int:
    """The side of the squares of patches, given row by row, that become one token."""
    specs = (graph.nodes[name].spec for name in stage.nodes)
    return prod(spec.group for spec in specs if isinstance(spec, PatchMerger) and spec.rows)


def _least(graph: Graph, name: str, given: Input, numbers: Mapping[str, int]) -> str:
    shape = [_size(dim, numbers) for dim in given.port.shape]
    sizes = ", ".join(map(str, shape))
    match given.port.what:
        case "grid":
            side = _side(graph, name, numbers)
            return f"torch.tensor([[1, {side}, {side}]], device=device)"
        case "sizes":
            high, wide = _measured(graph, name, numbers)
            return f"torch.tensor([[{high}, {wide}]], device=device)"
        case "tokens" | "token_types":
            return f"torch.zeros({sizes}, dtype=torch.long, device=device)"
        case "tile_grid" | "tile_mask" | "arrangement":
            return f"torch.ones({sizes}, dtype=torch.long, device=device)"
        case "stack":  # what is all zeros fills a stack up
            return f"torch.ones({sizes}, device=device)"
        case _:
            return f"torch.zeros({sizes}, device=device)"


def _size(dim: Dim | Many, numbers: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Var):
        return numbers.get(dim.key, 1)
    return dim.count * _size(dim.var, numbers) if isinstance(dim, Many) else sum(_size(e, numbers) for e in dim.terms)


def _readers(graph: Graph, name: str) -> Iterator[Node]:
    return (node for node in graph.nodes.values() if Ref(name) in node.inputs.values())


def _side(graph: Graph, name: str, numbers: Mapping[str, int]) -> int:
    """Rows and columns of patches."""
    ports = (port for node in _readers(graph, name) for port in node.signature.inputs.values())
    return isqrt(next((_size(port.shape[0], numbers) for port in ports if port.what == "patches"), 1))


def _measured(graph: Graph, name: str, numbers: Mapping[str, int]) -> tuple[int, int]:
    """Height and width of the image, in pixels, or in patches where it comes cut."""
    for node in _readers(graph, name):
        if isinstance(node.spec, ImageStack):
            return _resolution(node.spec)
        if isinstance(node.spec, Patches):
            patches = isqrt(_size(node.signature.outputs["patches"].shape[0], numbers))
            high, wide = (_size(dim, numbers) for dim in node.signature.inputs["image"].shape[2:])
            return (patches, patches) if node.spec.cut else (high, wide)
    return 1, 1
