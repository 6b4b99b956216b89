"""What one rank sends in a step, by axis of the mesh: the collectives that the generated `parallel.py` causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from ..ir import Graph, Node
from ..keys import starred
from ..sharding import splits, tied_tables
from .arithmetic import Work, met
from .weights import Weight
from .workload import Workload, evaluate, rows

REDUCED = 4  # gradients are reduced in float32


@dataclass(frozen=True, slots=True)
class Exchange:
    """All collectives of one kind over one axis: how many a step, and the bytes that a rank sends in them.

    Rings are assumed: of n ranks each sends (n - 1) / n of a gathered or scattered tensor, and twice that of a sum.
    """

    axis: str
    collective: str
    calls: int
    sent: float


def traffic(
    graph: Graph, weights: tuple[Weight, ...], works: Mapping[str, Work], sizes: Mapping[str, int], work: Workload
) -> tuple[Exchange, ...]:
    """The exchanges of one step, axis by axis; those of `dp` first."""
    mesh = graph.parallelism.mesh
    found = [
        *(each for axis, degree in mesh.items() if degree > 1 for each in _sharded(graph, weights, works, work, axis)),
        *(_split(graph, works, sizes, work, mesh["tp"]) if mesh.get("tp", 1) > 1 else ()),
        *_shared(graph, weights, sizes, work),
    ]
    merged: dict[tuple[str, str], Exchange] = {}
    for each in found:
        other = merged.get((each.axis, each.collective), Exchange(each.axis, each.collective, 0, 0.0))
        merged[each.axis, each.collective] = replace(other, calls=other.calls + each.calls, sent=other.sent + each.sent)
    return tuple(each for each in merged.values() if each.calls)


def _sharded(
    graph: Graph, weights: tuple[Weight, ...], works: Mapping[str, Work], work: Workload, axis: str
) -> tuple[Exchange, ...]:
    """FSDP: a unit is gathered before its forward pass and again before its backward pass, but for tables that stay.

    While one goes back, the unit that ran before it is fetched ahead, also if it has nothing to do there.
    """
    units: dict[str, list[Weight]] = defaultdict(list)
    for weight in weights:
        if weight.axis == axis:
            units[weight.unit].append(weight)
    tied = tied_tables(graph)
    ranks = graph.parallelism.mesh[axis]
    part = (ranks - 1) / ranks
    gathers = scatters = 0
    gathered = scattered = 0.0
    idle = _fetched_for_nothing(weights, works)
    for name, unit in units.items():
        called = [works[node.name] for node in graph.nodes.values() if node.module == unit[0].node]
        times = len(called) + (name in idle or (name not in tied and sum(each.returns for each in called)))
        gathers += times
        gathered += times * sum(weight.stored for weight in unit) * ranks * work.compute
        trained = [weight.stored for weight in unit if weight.trained]
        if trained:
            scatters += 1
            scattered += sum(trained) * ranks * REDUCED
    return (
        Exchange(axis, "all-gather", gathers, gathered * part),
        Exchange(axis, "reduce-scatter", scatters, scattered * part),
    )


def _fetched_for_nothing(weights: tuple[Weight, ...], works: Mapping[str, Work]) -> set[str]:
    """The last unit of every node that no gradient comes back to, where one comes back to the next node."""
    last: dict[str, str] = {}
    for weight in weights:  # what is in no layer is gathered until the node has run
        last[weight.node] = weight.node if weight.node in (weight.unit, last.get(weight.node)) else weight.unit
    names = list(last)
    return {last[name] for name, following in pairwise(names) if works[following].returns and not works[name].returns}


def _shared(graph: Graph, weights: tuple[Weight, ...], sizes: Mapping[str, int], work: Workload) -> Iterable[Exchange]:
    """Images on different ranks: their features come together, gradients are summed over the axis without shards."""
    mesh = graph.parallelism.mesh
    for node in graph.nodes.values():
        if node.spread:
            shape = next(iter(node.signature.outputs.values())).shape
            ranks, images = mesh["tp"], evaluate(shape[0], sizes)
            numbers = rows((-(-images // ranks) * ranks, *shape[1:]), sizes) * evaluate(shape[-1], sizes)
            yield Exchange("tp", "all-gather", 1, (ranks - 1) / ranks * numbers * work.compute)
    for axis, ranks in mesh.items():
        trained = [each for each in weights if each.trained and graph.nodes[each.node].spread and each.axis != axis]
        if trained and ranks > 1:
            summed = sum(each.stored for each in trained) * REDUCED
            yield Exchange(axis, "all-reduce", len({each.unit for each in trained}), 2 * (ranks - 1) / ranks * summed)


def _split(
    graph: Graph, works: Mapping[str, Work], sizes: Mapping[str, int], work: Workload, tp: int
) -> tuple[Exchange, ...]:
    """Tensor parallelism: a sum behind each row-wise matrix, and one of each column-wise matrix's input gradient."""
    part = (tp - 1) / tp
    sums = gathers = 0
    summed = gathered = 0.0
    for name, node in graph.nodes.items():
        for width, vectors, times in _sums(node, works[name], sizes):
            sums += times
            summed += times * width * vectors * work.compute
        if "head" in splits(node):
            port = node.signature.outputs["logits"]
            gathers += 1
            gathered += rows(port.shape, sizes) * float(node.spec.vocab) * work.compute  # type: ignore[attr-defined]
    return (
        Exchange("tp", "all-reduce", sums, 2 * part * summed),
        Exchange("tp", "all-gather", gathers, part * gathered),
    )


def _sums(node: Node, work: Work, sizes: Mapping[str, int]) -> Iterable[tuple[int, int, int]]:
    """Width, number of vectors and number of the sums of a node."""
    for path, way in splits(node).items():
        shapes = [
            parameter.shape for parameter in node.spec.parameters() if starred(parameter.path)[0] == f"{path}.weight"
        ]
        if way == "row":
            yield shapes[0][0], work.tokens, len(shapes)
        elif way == "column" and work.returns and (work.passes or path.startswith(("layers.", "head"))):
            first = next(each.path for each in node.spec.parameters() if starred(each.path)[0] == f"{path}.weight")
            yield shapes[0][1], met(node, first, work.tokens, sizes), len(shapes)
