"""Numbers for the open sizes of a graph: what was chosen, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from graphvlm.components.encoder.audio import Audio
from graphvlm.components.encoder.patches import Patches
from graphvlm.components.encoder.tiled_vit import TiledVit
from graphvlm.components.projector.frame_merger import FrameMerger
from graphvlm.dims import Dim, Many, Sum, Var
from graphvlm.ir import Graph


class UnfitError(Exception):
    """A graph whose sizes are tied so that no inputs of tests have them."""


@dataclass(frozen=True)
class Sizes:
    """A number for every open dimension of a graph, by the key of its variable."""

    of: Mapping[str, int] = field(default_factory=dict)

    def evaluate(self, dim: Dim | Many) -> int:
        """The number that a dimension comes to."""
        if isinstance(dim, Var):
            return self.of[dim.key]
        if isinstance(dim, Many):
            return dim.count * self.evaluate(dim.var)
        return sum(map(self.evaluate, dim.terms)) if isinstance(dim, Sum) else dim

    def shape(self, dims: tuple[Dim, ...]) -> tuple[int, ...]:
        """The numbers of a shape."""
        return tuple(map(self.evaluate, dims))


def of_patches(graph: Graph, known: Sizes) -> Iterator[tuple[str, int]]:
    """How many blocks of patches images without padding are cut into, or patches where nothing goes by blocks."""
    for node in graph.nodes.values():
        if isinstance(node.spec, Patches) and not node.spec.cut:
            images, _, height, width = known.shape(node.signature.inputs["image"].shape)
            side = node.spec.size * node.spec.group
            out = node.signature.outputs["patches"].shape[0]
            (open_,) = open_terms(out)
            blocks = images * (height // side) * (width // side)
            yield open_.key, blocks * node.spec.group**2 if isinstance(out, Var) else blocks


def of_encoders(graph: Graph, known: Sizes) -> Iterator[tuple[str, int]]:
    """How many tokens an encoder makes of what has no size of its own in the graph."""
    for node in graph.nodes.values():
        stack = node.spec.stack
        flags = [cross.present for cross in stack.crossed] if stack else []
        flags += [f"{segment.name}_mask" for segment in stack.segments[:-1]] if stack else []
        for port in flags:
            runs = node.signature.inputs[port].shape[1] if port in node.inputs else 0
            if isinstance(runs, Var) and runs.name in ("runs", "columns"):
                yield runs.key, 1
        out = node.signature.outputs["features"].shape[1] if "features" in node.signature.outputs else 0
        if not isinstance(out, Var):
            continue
        if isinstance(node.spec, TiledVit):
            images, tiles = (known.evaluate(dim) for dim in node.signature.inputs["tiles"].shape[1:3])
            yield out.key, images * tiles * node.spec.tokens
        elif isinstance(node.spec, FrameMerger):  # images have one frame, which is taken for several
            yield out.key, known.evaluate(node.signature.inputs["features"].shape[1])
        elif isinstance(node.spec, Audio):
            tokens = known.evaluate(node.signature.inputs["audio"].shape[2])
            for stride in node.spec.strides:
                tokens = -(-tokens // stride)
            yield out.key, tokens // (node.spec.pool.size if node.spec.pool else 1)


def open_terms(dim: Dim) -> list[Var]:
    """The variables in a size."""
    terms = dim.terms if isinstance(dim, Sum) else (dim,)
    return [term.var if isinstance(term, Many) else term for term in terms if isinstance(term, (Many, Var))]
