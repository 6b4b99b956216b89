"""The picture of a graph: what each box and wire says."""

from __future__ import annotations

from ..dims import show_shape
from ..ir import Graph, Ref
from .picture import KINDS, Box, Kind, Picture, Wire


def picture(graph: Graph) -> Picture:
    """Inputs, nodes and outputs of a resolved graph as boxes, edges as wires."""
    frozen = {name for freeze in graph.freeze for name in freeze.nodes}
    ids = {name: f"in {name}" for name in graph.inputs} | {name: name for name in graph.nodes}
    boxes = [Box(ids[name], "input", name, (found.port.what,)) for name, found in graph.inputs.items()]
    for name, node in graph.nodes.items():
        lines = (node.spec.summary().replace(", ", " · "),)
        marks = (f"tp {node.tensor_parallel}",) if node.tensor_parallel > 1 else ()
        marks = (*marks, f"weights of {node.owner}") if node.owner else marks
        marks = (*marks, f"follows {node.follows}") if node.follows and not node.owner else marks
        kind: Kind = next((kind for kind in KINDS if kind == node.kind), "head")
        boxes.append(Box(name, kind, name, lines, node.parameter_count, node.module in frozen, marks))
    boxes += [Box(f"out {name}", "output", name) for name in graph.outputs]
    wires = [
        Wire(ids[ref.name], name, show_shape(graph.port(ref).shape), port, _port(graph, ref))
        for name, node in graph.nodes.items()
        for port, ref in node.inputs.items()
    ]
    wires += [
        Wire(ids[ref.name], f"out {name}", show_shape(graph.port(ref).shape), "", _port(graph, ref))
        for name, ref in graph.outputs.items()
    ]
    return Picture(graph.name, graph.description, tuple(boxes), tuple(wires))


def _port(graph: Graph, ref: Ref) -> str:
    """The port, where the node has others beside its parameters, or it is one of these."""
    outputs = graph.nodes[ref.name].signature.outputs if ref.port else {}
    flowing = [port for port, found in outputs.items() if not found.weight]
    return ref.port if len({*flowing, ref.port}) > 1 else ""
