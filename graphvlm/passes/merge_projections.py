"""Merged projections: query, key and value share one matrix, gate and up another, where a node is not tensor-parallel.

Equal because the rows of a matrix product do not depend on each other: [A; B] x = [A x; B x]. The checkpoint map
splits and joins, so files keep the reference's keys. A tensor-parallel node keeps them apart: a rank must hold whole
heads of each; so do those whose tokens are shared out (`cp`), and one that is frozen in part.
"""

from __future__ import annotations

from dataclasses import replace

from ..blocks.settings import Attention, Op
from ..blocks.settings_linear import Linear
from ..ir import Graph, Node


def apply(graph: Graph) -> Graph:
    """The graph with projections merged."""
    frozen = frozenset(path for freeze in graph.freeze for path in freeze.parameters)
    return replace(graph, nodes={name: _node(node, frozen) for name, node in graph.nodes.items()})


def _node(node: Node, frozen: frozenset[str]) -> Node:
    stack = node.spec.stack
    if stack is None or node.tensor_parallel > 1:
        return node
    if stack.shared:
        return node  # which names modules as they are
    merged = node.spec.with_stack(stack.map_ops(_merge))
    for parameter in merged.parameters():
        # A matrix of which only some rows learn cannot be one parameter.
        if len({f"{node.module}.{piece.path}" in frozen for piece in parameter.pieces}) > 1:
            return node
    return replace(node, spec=merged)


def _merge(op: Op) -> Op:
    if isinstance(op, Attention):
        if op.context:
            return op
        # A norm over all heads of the queries stands between their projection and the split into heads.
        alike = op.bias.q == op.bias.k == op.bias.v and not (op.latent or op.cross) and op.norm_heads
        return replace(op, merged=alike)
    return op if isinstance(op, Linear) else replace(op, merged=op.gated)
