"""Meshes of a number of devices, each planned or refused, the fastest that fits first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..blocks.parse_attention import divisors
from ..diagnostics import Diagnostic, GraphError
from ..ir import Graph
from ..sharding import experts_of
from .estimate import Plan, plan
from .hardware import Device
from .weights import ranks_of
from .workload import Workload

LONGEST = 16  # ranks that share the tokens of a sequence


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mesh, and its plan or why the graph cannot be laid over it."""

    mesh: dict[str, int]
    plan: Plan | None
    refused: Diagnostic | None = None


def search(laid: Callable[[dict[str, int]], Graph], world: int, asked: Workload, device: Device) -> list[Candidate]:
    """Meshes of `world` devices; `laid` gives the graph over one, or raises GraphError.

    Every `tp` is tried. Those that the graph can be laid over are tried with a `cp` and, where there are experts that
    tokens choose, with an `ep`, and in stages; and where `dp` spans machines, in groups of one machine that have the
    same parts.
    """
    plain = [_candidate(laid, {"dp": world // tp, "tp": tp}, asked, device) for tp in divisors(world)]
    graph = laid({"dp": world})
    possible = [candidate.mesh for candidate in plain if candidate.plan]
    more = [each for mesh in possible for each in _finer(mesh, graph, device)]
    found = [candidate for mesh in more if (candidate := _candidate(laid, mesh, asked, device)).plan]
    return sorted((*plain, *found), key=_rank)


def _finer(mesh: dict[str, int], graph: Graph, device: Device) -> Iterator[dict[str, int]]:
    """The mesh with some of its data-parallel ranks used otherwise."""
    dp, tp = mesh["dp"], mesh["tp"]
    counts = [count for node in graph.owners for count in experts_of(node)]
    for ranks in divisors(dp)[1:]:
        if counts and not any(count % ranks for count in counts):
            yield {"dp": dp // ranks, "ep": ranks, "tp": tp}
        if ranks <= LONGEST and any(node.kind == "decoder" for node in graph.owners):
            yield {"dp": dp // ranks, "cp": ranks, "tp": tp}
        if any(node.kind == "decoder" for node in graph.owners):
            yield {"pp": ranks, "dp": dp // ranks, "tp": tp}
        if ranks * tp == device.per_machine and ranks < dp:
            yield {"replicate": dp // ranks, "dp": ranks, "tp": tp}


def _candidate(
    laid: Callable[[dict[str, int]], Graph], mesh: dict[str, int], asked: Workload, device: Device
) -> Candidate:
    try:
        return Candidate(mesh, plan(laid(mesh), asked, device))
    except GraphError as error:
        return Candidate(mesh, None, error.diagnostics[0])


def _rank(candidate: Candidate) -> tuple[int, float]:
    """What fits before what does not, that before what is refused; then by samples a second, or by memory."""
    if candidate.plan is None:
        return 2, float(candidate.mesh["tp"])
    if not candidate.plan.fits:
        return 1, candidate.plan.memory.total
    return 0, -ranks_of(candidate.plan.mesh, "replicate dp ep") / candidate.plan.seconds
