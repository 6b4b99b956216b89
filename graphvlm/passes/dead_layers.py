"""Dead layers: parts of a node that no output of the graph depends on are not built, not loaded and not run.

Calls of one module go together: what none of them is read for goes.

Equal because nothing that was read is computed from them: an encoder whose output is taken after layer k never looks
at layers k and above, nor at the final norm, and a decoder whose logits nobody reads needs no head.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Dead, Graph


def apply(graph: Graph) -> Graph:
    """The graph without dead parts; `Graph.dead` lists what went."""
    read: dict[str, set[str]] = {}
    for ref in [*graph.outputs.values(), *(ref for node in graph.nodes.values() for ref in node.inputs.values())]:
        if ref.port:
            read.setdefault(graph.nodes[ref.name].source, set()).add(ref.port)
    nodes, dead = dict(graph.nodes), []
    for name, node in graph.nodes.items():
        spec, paths = node.spec.prune(frozenset(read.get(node.source, ())))
        nodes[name] = replace(node, spec=spec)
        if paths and not node.owner:
            kept = {parameter.path for parameter in spec.parameters()}
            gone = tuple(parameter for parameter in node.spec.parameters() if parameter.path not in kept)
            dead.append(Dead(name, paths, gone))
    return replace(graph, nodes=nodes, dead=tuple(dead))
