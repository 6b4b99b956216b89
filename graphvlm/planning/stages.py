"""Which layers each stage of a pipeline gets, so that all take about equally long."""

from __future__ import annotations

from collections import defaultdict

from ..ir import Graph, Node
from ..stages import split
from ..staging import Cut, cut, degree
from .arithmetic import met, scores_of, sequences, stack_tokens, work
from .weights import Weight, weights
from .workload import Workload, sizes


def cut_of(graph: Graph) -> Cut | None:
    """The stages of a graph after its passes, if it has any; balanced for one sequence with an image or clip."""
    if degree(graph) == 1:
        return None
    known, found = sizes(graph, Workload()), weights(graph)
    works = work(graph, found, known)
    takes = {name: each.forward + each.backward for name, each in works.items()}
    stages = split(graph)
    encoding = {encoder.name: sum(takes[name] for name in encoder.nodes) for encoder in stages.encoders}
    decoder = next(graph.nodes[name] for name in stages.joint if graph.nodes[name].kind == "decoder")
    layers, head = by_layer(graph, decoder, found, known)
    share = takes[decoder.name] / (sum(layers) + head)
    return cut(graph, encoding, [share * each for each in layers], share * head)


def by_layer(
    graph: Graph, decoder: Node, found: tuple[Weight, ...], known: dict[str, int]
) -> tuple[list[float], float]:
    """Operations of a forward pass through each layer of a decoder, and through what is in none."""
    stack = decoder.spec.stack
    assert stack is not None
    tokens = stack_tokens(decoder, known)
    alone = tokens / sequences(decoder, known)
    products: dict[str, float] = defaultdict(float)
    for weight in found:
        if weight.node == decoder.module and weight.per_token:
            first, _, rest = weight.path.partition(".")
            layer = rest.partition(".")[0] if first == "layers" else ""
            products[layer] += 2.0 * weight.held * weight.share * met(decoder, weight.path, tokens, known)
    head = getattr(decoder.spec, "head", None)
    if head is not None and head.tied:
        table = graph.embedding(decoder.name)
        held = sum(weight.held for weight in found if weight.node == table and weight.path == "weight")
        products[""] += 2.0 * held * met(decoder, "head.weight", tokens, known)
    kinds = [scores_of(decoder, kind, tokens, alone, known) for kind in range(len(stack.kinds))]
    layers = [products[str(layer)] + kinds[kind] / decoder.tensor_parallel for layer, kind in enumerate(stack.order)]
    return layers, products[""]
