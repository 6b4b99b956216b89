"""Rotary tables: cos and sin of every position are computed once, when the model is built, and looked up after that.

Equal because they depend on the position alone, not on the input. Scalings whose angles depend on how long the sequence
is are left out, and positions of three numbers. So are tables of more than `LIMIT` numbers, which would cost more
memory than they save time.
"""

from __future__ import annotations

from dataclasses import replace

from ..blocks.settings_position import Rope
from ..ir import Graph, Node

# 2 ** 24 numbers: 131,072 positions of a head 128 wide; 64 MB for cos and sin in bfloat16.
LIMIT = 2**24


def apply(graph: Graph) -> Graph:
    """The graph with tables wherever they can be."""
    return replace(graph, nodes={name: _node(node) for name, node in graph.nodes.items()})


def _node(node: Node) -> Node:
    stack = node.spec.stack
    if stack is None or not stack.rotary:
        return node
    return replace(node, spec=node.spec.with_stack(replace(stack, rotary=tuple(map(_tabled, stack.rotary)))))


def _tabled(rope: Rope) -> Rope:
    fits = not rope.varies and not rope.sections and rope.max_tokens * rope.dim <= LIMIT
    return replace(rope, table=True) if fits else rope
