"""Rotary tables: cos and sin of every position are computed once, when the model is built, and looked up after that.

Equal because they depend on the position alone, not on the input. Dynamic scaling is left out: its angles depend on
how long the sequence is. So are tables of more than `LIMIT` numbers, which would cost more memory than they save time.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph, Node

# 2 ** 24 numbers: 131,072 positions of a head 128 wide; 64 MB for cos and sin in bfloat16.
LIMIT = 2**24


def apply(graph: Graph) -> Graph:
    """The graph with tables wherever they can be."""
    return replace(graph, nodes={name: _node(node) for name, node in graph.nodes.items()})


def _node(node: Node) -> Node:
    rope = node.spec.rope
    if rope is None or rope.type == "dynamic" or rope.max_tokens * rope.head_dim > LIMIT:
        return node
    return replace(node, spec=node.spec.with_blocks(node.spec.stack, replace(rope, table=True)))
