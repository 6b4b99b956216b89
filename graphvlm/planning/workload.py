"""How much one rank is given in a step, and the number that each open size of the graph gets from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from ..dims import Dim, Many, Sum, Var
from ..ir import Graph

# What a size is when nobody says it, times the number of images or clips where it counts for all of them.
USUAL = {"depth": 5, "tiles": 5, "tokens": 1024, "height": 448, "width": 448}


@dataclass(frozen=True, slots=True)
class Workload:
    """The batch of one data-parallel rank in one step.

    `batch` sequences of `seq` tokens (the longest that the decoder takes, at most 2048, if None) with one image, or
    clip, each. `sizes` gives other open sizes by name. `optimizer` holds so many bytes a trained parameter.
    `weights` and `compute` are bytes a number, of what is kept and of what is calculated with. Stages of a pipeline
    work on `parts` of it, each of one sequence if None.
    """

    batch: int = 1
    seq: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    optimizer: int = 8
    weights: int = 4
    compute: int = 2
    recompute: bool = False
    parts: int | None = None

    @property
    def micro_batches(self) -> int:
        return self.parts or self.batch


def sizes(graph: Graph, work: Workload) -> dict[str, int]:
    """A number for every open size of the graph's ports, by name."""
    found = {"batch": work.batch, "seq": work.seq or min(2048, longest(graph) or 2048)}
    first = {entry.port.shape[0].name for entry in graph.inputs.values() if isinstance(entry.port.shape[0], Var)}
    names = sorted({var.name for shape in _shapes(graph) for dim in shape for var in _variables(dim)} - found.keys())
    for name in names:
        found[name] = work.batch if name in first or name == "tokens" else 1
        found[name] *= USUAL.get(name, 1)
    return found | dict(work.sizes)


def longest(graph: Graph) -> int | None:
    """The most tokens that a sequence can have: what the graph says, or else what its decoders take."""
    limits = [graph.max_tokens, *(getattr(node.spec, "max_tokens", None) for node in graph.nodes.values())]
    known = [limit for limit in limits if limit]
    return min(known) if known else None


def evaluate(dim: Dim, known: Mapping[str, int]) -> int:
    """The number that a size is."""
    if isinstance(dim, int):
        return dim
    if isinstance(dim, Var):
        return known[dim.name]
    return sum(
        term.count * known[term.var.name] if isinstance(term, Many) else evaluate(term, known) for term in dim.terms
    )


def rows(shape: Iterable[Dim], known: Mapping[str, int]) -> int:
    """How many vectors stand in a tensor of this shape."""
    return prod(evaluate(dim, known) for dim in tuple(shape)[:-1])


def _shapes(graph: Graph) -> Iterable[tuple[Dim, ...]]:
    for node in graph.nodes.values():
        for port in (*node.signature.inputs.values(), *node.signature.outputs.values()):
            yield port.shape


def _variables(dim: Dim) -> Iterable[Var]:
    if isinstance(dim, Var):
        yield dim
    elif isinstance(dim, Sum):
        for term in dim.terms:
            if not isinstance(term, int):
                yield term.var if isinstance(term, Many) else term
