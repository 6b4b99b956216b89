"""The plan of a graph: all figures of one step together, and whether they fit a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from ..ir import Graph
from ..passes import apply_all
from .activations import kept, logits
from .arithmetic import Work, work
from .hardware import Device
from .pipeline import Stage, stages
from .stages import cut_of
from .traffic import REDUCED, Exchange, traffic
from .weights import Weight, ranks_of, samples, weights
from .workload import Workload, sizes

# How much of a device's peak matrix products of this size reach, and how much of its memory a program can fill: the
# allocator's fragments and the libraries' own buffers take the rest. Assumptions, the only two of the time and the fit.
EFFICIENCY = 0.65
USABLE = 0.92


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest rank at the fullest moment, by what they are for."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    gathered: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.gathered


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node: parameters in all, parameters on a rank, operations on a rank, bytes kept for the backward pass."""

    name: str
    parameters: int
    trained: int
    stored: int
    forward: float
    backward: float
    kept: float
    split: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a pipeline: what it encodes, how many layers it has, its memory, and its time without waiting."""

    encodes: tuple[str, ...]
    layers: int
    memory: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What one training step takes. Times are in seconds, sizes in bytes, `operations` those of one rank.

    `exposed` is the time of exchanges that no calculation hides, by axis; `mfu` the share of the device's peak that
    the model's own operations reach, recomputed ones not counted.
    """

    mesh: Mapping[str, int]
    sizes: Mapping[str, int]
    nodes: tuple[NodePlan, ...]
    memory: Memory
    exchanges: tuple[Exchange, ...]
    operations: float
    device: Device
    calculating: float
    exposed: Mapping[str, float]
    mfu: float
    stages: tuple[StagePlan, ...] = ()
    micro_batches: int = 1

    @property
    def bubble(self) -> float:
        """How much of the time of all ranks goes by in waiting for other stages."""
        return 1 - sum(each.seconds for each in self.stages) / (len(self.stages) * self.seconds) if self.stages else 0.0

    @property
    def ranks(self) -> int:
        return prod(self.mesh.values())

    @property
    def seconds(self) -> float:
        return self.calculating + sum(self.exposed.values())

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.device.memory * USABLE


def plan(graph: Graph, asked: Workload, device: Device) -> Plan:
    """The plan of a resolved graph on the mesh that it names, each rank a `device`."""
    graph = apply_all(graph)
    known = sizes(graph, asked)
    all_weights = weights(graph)
    cut = cut_of(graph)
    if cut is not None:
        return _in_stages(graph, stages(graph, cut, all_weights, known, asked), known, asked, device)
    works = work(graph, all_weights, known)
    keeps = kept(graph, works, known, asked)
    exchanges = traffic(graph, all_weights, works, known, asked)
    own = sum(each.forward + each.backward for each in works.values())
    again = sum(works[name].forward for name in keeps if _again(graph, name, asked) and keeps[name])
    calculating = (own + again) / (device.peak * EFFICIENCY)
    exposed = _exposed(exchanges, graph.parallelism.mesh, device, calculating)
    return Plan(
        mesh=graph.parallelism.mesh,
        sizes=known,
        nodes=tuple(_node(graph, name, all_weights, works[name], keeps[name]) for name in graph.nodes),
        memory=_memory(
            all_weights,
            keeps,
            logits(graph, known, asked),
            asked,
            ranks_of(graph.parallelism.mesh, samples(graph.parallelism.mesh)),
        ),
        exchanges=exchanges,
        operations=own + again,
        device=device,
        calculating=calculating,
        exposed=exposed,
        mfu=own / ((calculating + sum(exposed.values())) * device.peak),
    )


def _in_stages(
    graph: Graph, found: tuple[Stage, ...], known: Mapping[str, int], asked: Workload, device: Device
) -> Plan:
    """The plan of all stages: the memory of the fullest, the exchanges of the one that takes longest."""
    mesh, count = graph.parallelism.mesh, asked.micro_batches
    dp = ranks_of(mesh, samples(mesh))
    memories = [_memory(each.weights, _at_once(each, count), each.logits, asked, 1 if dp == 1 else 0) for each in found]
    takes, shown = [], []
    for each in found:
        again = sum(each.works[name].forward for name in each.keeps if _again(graph, name, asked) and each.keeps[name])
        calculating = (each.operations + again) / (device.peak * EFFICIENCY)
        others = {axis: size for axis, size in mesh.items() if axis != "pp"}
        shown.append((calculating, _exposed(each.exchanges, others, device, calculating), each.operations + again))
        takes.append(calculating + sum(shown[-1][1].values()))
    slowest = takes.index(max(takes))
    calculating, exposed, operations = shown[slowest]
    # The first micro-batch goes through all stages and comes back; the others follow at the pace of the slowest.
    speed = device.link if prod(mesh.values()) <= device.per_machine else device.network
    way = sum(exchange.sent for each in found for exchange in each.exchanges if exchange.collective == "send") / speed
    waiting = (sum(takes) - takes[slowest] + way) / count
    whole = takes[slowest] + waiting
    own = sum(each.operations for each in found) / len(found)
    return Plan(
        mesh=mesh,
        sizes=known,
        nodes=tuple(_over_stages(graph, name, found, count) for name in graph.nodes),
        memory=max(memories, key=lambda memory: memory.total),
        exchanges=found[slowest].exchanges,
        operations=operations,
        device=device,
        calculating=calculating,
        exposed={"pp": waiting, **exposed},
        mfu=own / (whole * device.peak),
        stages=tuple(
            StagePlan(each.encodes, each.layers, memory.total, time)
            for each, memory, time in zip(found, memories, takes, strict=True)
        ),
        micro_batches=count,
    )


def _at_once(stage: Stage, count: int) -> dict[str, float]:
    """What a stage keeps of the micro-batches that are under way."""
    return {name: each if name in stage.ahead else each * stage.under_way / count for name, each in stage.keeps.items()}


def _over_stages(graph: Graph, name: str, found: tuple[Stage, ...], count: int) -> NodePlan:
    """One node: its parameters in all stages, and what is on the stage with the most of it."""
    each = [
        _node(graph, name, stage.weights, stage.works[name], _at_once(stage, count)[name])
        for stage in found
        if name in stage.works
    ]
    whole = [weight for weight in weights(graph) if weight.node == name]
    return NodePlan(
        name=name,
        parameters=sum(weight.count for weight in whole),
        trained=sum(weight.count for weight in whole if weight.trained),
        stored=max(plan.stored for plan in each),
        forward=max(plan.forward for plan in each),
        backward=max(plan.backward for plan in each),
        kept=max(plan.kept for plan in each),
        split=graph.nodes[name].tensor_parallel,
    )


def _again(graph: Graph, name: str, asked: Workload) -> bool:
    """Whether the layers of a node run again in the backward pass."""
    return asked.recompute or graph.nodes[name].recompute


def _node(graph: Graph, name: str, all_weights: tuple[Weight, ...], work: Work, kept: float) -> NodePlan:
    own = [weight for weight in all_weights if weight.node == name]
    return NodePlan(
        name=name,
        parameters=sum(weight.count for weight in own),
        trained=sum(weight.count for weight in own if weight.trained),
        stored=sum(weight.stored for weight in own),
        forward=work.forward,
        backward=work.backward,
        kept=kept,
        split=graph.nodes[name].tensor_parallel,
    )


def _memory(
    all_weights: tuple[Weight, ...], keeps: Mapping[str, float], logits: float, asked: Workload, dp: int
) -> Memory:
    stored = sum(weight.stored for weight in all_weights)
    trained = sum(weight.stored for weight in all_weights if weight.trained)
    return Memory(
        weights=stored * asked.weights,
        gradients=trained * asked.weights,
        optimizer=trained * asked.optimizer,
        activations=sum(keeps.values()),
        logits=logits,
        gathered=_gathered(all_weights, asked, dp),
    )


def _gathered(all_weights: tuple[Weight, ...], asked: Workload, dp: int) -> float:
    """Whole weights that are there at once: of the largest unit two, one used and one on its way, and its gradients.
    On one data-parallel rank the copies in the type of the calculation, if that is another; with 0, all of them."""
    held: dict[str, int] = {}
    for weight in all_weights:
        held[weight.unit] = held.get(weight.unit, 0) + weight.held
    if dp == 0:  # a stage keeps what it gathered, and the gradients, until all micro-batches are through
        trained = sum(weight.held for weight in all_weights if weight.trained)
        return float(sum(held.values()) * asked.compute + trained * REDUCED)
    if dp == 1:
        return 0.0 if asked.compute == asked.weights else float(sum(held.values()) * asked.compute)
    return float(3 * max(held.values(), default=0) * asked.compute)


def _exposed(
    exchanges: tuple[Exchange, ...], mesh: Mapping[str, int], device: Device, calculating: float
) -> dict[str, float]:
    """Exchanges of `tp`, `cp` and `ep` stand between calculations; others run beside them, and show where longer."""
    found: dict[str, float] = {}
    inner = 1
    for axis in reversed(tuple(mesh)):
        inner *= mesh[axis]
        speed = device.link if inner <= device.per_machine else device.network
        took = sum(exchange.sent for exchange in exchanges if exchange.axis.split()[0] == axis) / speed
        found[axis] = took if axis in ("ep", "cp", "tp") else max(0.0, took - calculating)
    return {axis: found[axis] for axis in mesh}
