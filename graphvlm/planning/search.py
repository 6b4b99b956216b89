"""Every mesh of a number of devices, each planned or refused, the fastest that fits first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..diagnostics import Diagnostic, GraphError
from ..ir import Graph
from .estimate import Plan, plan
from .hardware import Device
from .weights import ranks_of
from .workload import Workload


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mesh, and its plan or why the graph cannot be laid over it."""

    mesh: dict[str, int]
    plan: Plan | None
    refused: Diagnostic | None = None


def search(laid: Callable[[dict[str, int]], Graph], world: int, asked: Workload, device: Device) -> list[Candidate]:
    """All meshes of `world` devices; `laid` gives the graph over one, or raises GraphError."""
    found = [
        _candidate(laid, {"dp": world // degree, "tp": degree}, asked, device)
        for degree in range(1, world + 1)
        if world % degree == 0
    ]
    return sorted(found, key=_rank)


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
