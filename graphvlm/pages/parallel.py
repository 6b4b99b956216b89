"""The view of `parallel.py`: which module is sharded how."""

from __future__ import annotations

from dataclasses import dataclass

from ..blocks.settings import Attention, Mlp, Op
from ..ir import Graph, Node


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node under tensor parallelism: styles for its own modules and for those of a layer."""

    name: str
    block: tuple[tuple[str, str], ...]
    own: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ParallelView:
    """Everything on the page of `parallel.py`."""

    mesh: tuple[tuple[str, int], ...]
    plans: tuple[NodePlan, ...]
    stacks: tuple[str, ...]
    gathered: bool
    methods: tuple[str, ...]


def make(graph: Graph, methods: tuple[str, ...]) -> ParallelView:
    """The view for a graph after its passes; `methods` of the model are called besides `forward`."""
    plans = tuple(plan for node in graph.owners if (plan := _plan(node)))
    return ParallelView(
        mesh=tuple(graph.parallelism.mesh.items()),
        plans=plans,
        stacks=tuple(node.name for node in graph.owners if node.fsdp and node.spec.stack and node.spec.stack.order),
        methods=methods,
        gathered=any("Replicate()" in style for plan in plans for _, style in plan.own),
    )


def _plan(node: Node) -> NodePlan | None:
    if node.tensor_parallel == 1:
        return None
    block: list[tuple[str, str]] = []
    if node.spec.stack and node.spec.stack.kinds:
        for sublayer in node.spec.stack.kinds[0].sublayers:
            columns, row = _split(sublayer.op)
            block.extend((f"{sublayer.name}.{column}", "ColwiseParallel()") for column in columns)
            block.append((f"{sublayer.name}.{row}", "RowwiseParallel()"))
    own: list[tuple[str, str]] = []
    head = getattr(node.spec, "head", None)
    if head is not None and not head.tied and not head.own:
        own.append(("head", "ColwiseParallel(output_layouts=Replicate())"))
    for name, way in getattr(node.spec, "split", {}).items():
        own.append((name, "ColwiseParallel()" if way == "column" else "RowwiseParallel()"))
    return NodePlan(node.name, tuple(block), tuple(own)) if block or own else None


def _split(op: Op) -> tuple[tuple[str, ...], str]:
    """The projections of an operation that are split by columns, and the one split by rows."""
    if isinstance(op, Attention):
        return ("wq", "wk", "wv", "wg") if op.gated else ("wq", "wk", "wv"), "wo"
    return ("gate", "up") if isinstance(op, Mlp) and op.gated else ("up",), "down"
