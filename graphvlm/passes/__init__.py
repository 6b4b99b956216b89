"""Rewrites of a resolved graph. Each is one file: what it does, why the result is equal, and nothing else.

`label_logits` is a switch only: it is carried out where the pages of `model.py` and `generate.py` are made.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph
from . import dead_layers, merge_projections, rope_table

# In this order: what is dead need not be merged.
ALL = {
    "dead_layers": dead_layers.apply,
    "merge_projections": merge_projections.apply,
    "rope_table": rope_table.apply,
}


def apply_all(graph: Graph) -> Graph:
    """Every pass that the graph leaves on, in order."""
    for name, apply in ALL.items():
        if getattr(graph.passes, name):
            graph = apply(graph)
    # A teacher has the code of what it follows, of which some rows may learn and others not.
    nodes = graph.nodes
    teachers = {name: replace(node, spec=nodes[node.follows].spec) for name, node in nodes.items() if node.follows}
    return replace(graph, nodes={**nodes, **teachers}) if teachers else graph
