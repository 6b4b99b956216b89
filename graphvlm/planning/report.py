"""A plan in words and as JSON. Decimal units: a gigabyte is 10^9 bytes, as devices are sold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .estimate import EFFICIENCY, USABLE, Memory, Plan
from .hardware import Device
from .search import Candidate
from .weights import ranks_of


def as_json(name: str, plan: Plan) -> dict[str, Any]:
    """All figures: bytes, operations and seconds of one step on one rank."""
    return {
        "graph": name,
        "mesh": dict(plan.mesh),
        "ranks": plan.ranks,
        "sizes": dict(plan.sizes),
        "device": asdict(plan.device),
        "nodes": [asdict(node) for node in plan.nodes],
        "memory": {**asdict(plan.memory), "total": plan.memory.total, "usable": plan.device.memory * USABLE},
        "fits": plan.fits,
        "exchanges": [asdict(exchange) for exchange in plan.exchanges],
        "operations": plan.operations,
        "seconds": {"calculating": plan.calculating, "exposed": dict(plan.exposed), "total": plan.seconds},
        "tokens_per_second": _tokens(plan),
        "mfu": plan.mfu,
        "stages": [asdict(stage) for stage in plan.stages],
        "micro_batches": plan.micro_batches,
        "bubble": plan.bubble,
    }


def as_text(name: str, plan: Plan) -> str:
    """The plan for people."""
    parts = [_head(name, plan), _nodes(plan), *([_stages(plan)] if plan.stages else []), _memory(plan), _time(plan)]
    return "\n\n".join("\n".join(part) for part in parts)


def search_json(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """One entry a mesh, the best first."""
    return [
        {
            "mesh": candidate.mesh,
            "fits": bool(candidate.plan and candidate.plan.fits),
            "memory": candidate.plan.memory.total if candidate.plan else None,
            "seconds": candidate.plan.seconds if candidate.plan else None,
            "tokens_per_second": _tokens(candidate.plan) if candidate.plan else None,
            "mfu": candidate.plan.mfu if candidate.plan else None,
            "refused": candidate.refused.rule if candidate.refused else None,
            "reason": candidate.refused.message if candidate.refused else None,
        }
        for candidate in candidates
    ]


def search_text(candidates: Sequence[Candidate], device: Device) -> str:
    """A line a mesh, the best first."""
    width = max(16, *(len(_mesh(candidate.mesh)) for candidate in candidates))
    lines = [f"{'mesh':{width}}  {'memory':>9}  {'step':>9}  {'tokens/s':>10}  {'MFU':>4}"]
    for candidate in candidates:
        mesh = _mesh(candidate.mesh)
        if candidate.plan is None:
            why = f"{candidate.refused.rule}: {candidate.refused.message}" if candidate.refused else ""
            lines.append(f"{mesh:{width}}  refused: {why}")
            continue
        plan = candidate.plan
        figures = (
            f"{_bytes(plan.memory.total):>9}  {_seconds(plan.seconds):>9}  {_tokens(plan):>10,.0f}  {plan.mfu:4.0%}"
        )
        lines.append(f"{mesh:{width}}  {figures}" + ("" if plan.fits else f"  does not fit {device.name}"))
    return "\n".join(lines)


def _head(name: str, plan: Plan) -> Iterator[str]:
    where = f"{plan.ranks} x {plan.device.name} ({_mesh(plan.mesh)})" if plan.mesh else f"one {plan.device.name}"
    yield f"{name}, one training step on {where}"
    sizes = ", ".join(f"{size} {number}" for size, number in plan.sizes.items())
    yield f"each data-parallel rank: {sizes} (--batch, --seq, --size)"


def _nodes(plan: Plan) -> Iterator[str]:
    table = [("node", "parameters", "trained", "on a rank", "TFLOP", "kept")]
    for node in plan.nodes:
        if node.parameters or node.forward:
            split = f" /tp {node.split}" if node.split > 1 else ""
            operations = (node.forward + node.backward) / 1e12
            table.append(
                (
                    node.name,
                    f"{node.parameters:,}",
                    f"{node.trained:,}",
                    f"{node.stored:,}{split}",
                    f"{operations:.2f}",
                    _bytes(node.kept),
                )
            )
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        name, *figures = (f"{text:>{width}}" for text, width in zip(row, widths, strict=True))
        yield "  ".join((f"{name.strip():{widths[0]}}", *figures)).rstrip()


def _stages(plan: Plan) -> Iterator[str]:
    yield f"{len(plan.stages)} stages, {plan.micro_batches} micro-batches (--micro-batches)"
    for number, stage in enumerate(plan.stages):
        has = [*stage.encodes, *([f"{stage.layers} layers"] if stage.layers else [])]
        yield f"  {number}: {', '.join(has):24} {_bytes(stage.memory):>9}  {_seconds(stage.seconds):>9}"


_WORDS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "state of the optimizer",
    "activations": "kept for the backward pass",
    "logits": "logits at the loss",
    "gathered": "weights gathered at once",
}


def _memory(plan: Plan) -> Iterator[str]:
    memory: Memory = plan.memory
    yield "memory of the fullest rank"
    for field, words in _WORDS.items():
        yield f"  {words:28}{_bytes(getattr(memory, field)):>9}"
    usable = plan.device.memory * USABLE
    verdict = "fits" if plan.fits else f"does not fit: {_bytes(memory.total - usable)} too much"
    yield f"  {'total':28}{_bytes(memory.total):>9}  of {_bytes(usable)} usable: {verdict}"
    if not plan.fits:
        yield f"  {_advice(plan)}"


def _advice(plan: Plan) -> str:
    """What to change first."""
    memory = plan.memory
    if memory.activations + memory.logits > memory.weights + memory.gradients + memory.optimizer:
        return "help: --recompute, or a shorter --seq, keeps less for the backward pass"
    return "help: more devices (a larger dp) hold less of the weights each; freezing nodes saves gradients and state"


def _time(plan: Plan) -> Iterator[str]:
    for exchange in plan.exchanges:
        yield f"{exchange.axis} {exchange.collective}: {exchange.calls} a step, {_bytes(exchange.sent)} sent by a rank"
    waits = "".join(f", {_seconds(time)} waiting for {axis}" for axis, time in plan.exposed.items() if time)
    calculating = f"{_seconds(plan.calculating)} calculating at {EFFICIENCY:.0%} of the peak"
    yield f"step: {_seconds(plan.seconds)} = {calculating}{waits}"
    if plan.stages:
        yield f"stages wait for each other {plan.bubble:.0%} of the time"
    yield f"{_tokens(plan):,.0f} tokens/s over all ranks, MFU {plan.mfu:.0%}"


def _tokens(plan: Plan) -> float:
    return plan.sizes["batch"] * plan.sizes["seq"] * ranks_of(plan.mesh, "replicate dp ep") / plan.seconds


def _mesh(mesh: Mapping[str, int]) -> str:
    return ", ".join(f"{axis} {degree}" for axis, degree in mesh.items())


def _bytes(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} B"


def _seconds(number: float) -> str:
    return f"{number:.2f} s" if number >= 1 else f"{number * 1e3:.1f} ms"
