"""Which variable of `model.py` holds what: the wiring that a node's page is given."""

from __future__ import annotations

from ..dims import show_shape
from ..ir import Graph, Node, Ref
from ..node_page import Wiring
from ..stages import NOUNS, Stage, Stages, tail_of, tokens_of


class Namer:
    """Which variable holds the value at a reference, inside a stage and outside of it."""

    def __init__(self, graph: Graph, stages: Stages) -> None:
        self.graph = graph
        self.read = {ref for node in graph.nodes.values() for ref in node.inputs.values()} | {*graph.outputs.values()}
        self.kept = frozenset(ref.name for ref in self.read if ref.port == "cache")
        self.calls: dict[str, tuple[Node, ...]] = {n: (node,) for n, node in graph.nodes.items() if node.source == n}
        for name, node in graph.nodes.items():
            if node.source != name:
                self.calls[node.source] = (*self.calls[node.source], node)
        self.outside: dict[Ref, str] = {}
        self.variables = {stage.name: stage_variable(graph, stage) for stage in stages.encoders}
        for stage in stages.encoders:
            variable = self.variables[stage.name]
            for ref in stage.values:
                self.outside[ref] = variable if len(stage.values) == 1 else self.inside(ref)

    def inside(self, ref: Ref) -> str:
        """The local variable for an output of a node: the node's name, with the port unless it is the default."""
        if not ref.port:
            return ref.name
        node = self.graph.nodes[ref.name]
        if weight := node.signature.outputs[ref.port].weight:
            return f"self.{node.module}.{weight}"
        outputs = list(node.signature.outputs)
        if ref.port in ("hidden", "logits"):
            alone = sum(ref.port in other.signature.outputs for other in self.graph.nodes.values()) == 1
            free = ref.port not in self.graph.nodes and ref.port not in self.graph.inputs
            return ref.port if alone and free else f"{ref.name}_{ref.port}"
        return ref.name if ref.port == outputs[0] else f"{ref.name}_{ref.port}"


def stage_variable(graph: Graph, stage: Stage) -> str:
    """What the result of a stage is called outside of it."""
    seen = graph.inputs[stage.inputs[0]].port.what in NOUNS
    name = f"{stage.name}_features" if seen else f"encoded_{stage.inputs[0]}"
    taken = {*graph.inputs, *graph.nodes}
    return name if name not in taken else f"encoded_{name}"


def wiring(graph: Graph, node: Node, namer: Namer, stage: set[str], *, keep: bool, cached: bool) -> Wiring:
    """How `node` is called, in the stage of the nodes `stage`."""

    def variable(ref: Ref) -> str:
        return namer.inside(ref) if ref not in namer.outside or ref.name in stage else namer.outside[ref]

    arguments = {port: variable(ref) for port, ref in node.inputs.items()}
    results = {
        port: namer.inside(Ref(node.name, port))
        for port in node.signature.outputs
        if Ref(node.name, port) in namer.read or port == "hidden"
    }
    shapes = {port: show_shape(found.shape) for port, found in node.signature.outputs.items()}
    if "features" in node.signature.inputs:
        shapes.setdefault("features", show_shape(node.signature.inputs["features"].shape))
    arguments["cache"] = "cache" if cached else "None"
    read = frozenset(ref.port for ref in namer.read if ref.port and graph.nodes[ref.name].source == node.source)
    # Other nodes do not ask where their stream comes from, which takes a walk to its start.
    tied = node.kind == "decoder" or node.signature.tied is not None
    embedding = graph.embedding(node.name) if tied and tokens_of(graph, node) else ""
    if node.kind != "decoder":
        calls = namer.calls[node.source]
        return Wiring(arguments, results, shapes, embedding=embedding, read=read, calls=calls, kept=namer.kept)
    tail = tail_of(graph, node)
    kept = ("[:, -keep.size(1) :][keep]" if longer(graph, node) else "[keep]") if keep else ""
    return Wiring(arguments, results, shapes, variable(tail) if tail else "", embedding, kept, read)


def longer(graph: Graph, decoder: Node) -> bool:
    """Whether the outputs of a decoder begin before the tokens of the text."""
    tokens = tokens_of(graph, decoder)
    return bool(tokens) and decoder.signature.outputs["hidden"].shape[1] != graph.inputs[tokens].port.shape[1]
