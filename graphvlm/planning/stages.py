"""Which layers each stage of a pipeline gets, so that all take about equally long, and what of a graph each has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..components.decoder.transformer import Transformer
from ..ir import Graph, Node
from ..stages import split
from ..staging import Cut, cut, degree, holders
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
    graph: Graph, decoder: Node, found: tuple[Weight, ...], known: Mapping[str, int]
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


def of_stage(graph: Graph, cut: Cut, stage: int, found: Iterable[Weight]) -> tuple[Graph, tuple[Weight, ...]]:
    """The graph of one stage, whose layers are counted from 0, and those of the weights that it has."""
    held, own = holders(graph, cut), cut.layers[stage]
    layers = f"{cut.decoder}.layers."
    kept = []
    for weight in found:
        path = f"{weight.node}.{weight.path}"
        if path.startswith(layers):
            index, _, rest = path.removeprefix(layers).partition(".")
            if int(index) in own:
                place = f"layers.{int(index) - own.start}"
                unit = weight.unit.replace(f"{layers}{index}", f"{cut.decoder}.{place}", 1)
                kept.append(replace(weight, path=f"{place}.{rest}", unit=unit))
        elif any(stage in stages and f"{path}.".startswith(f"{part}.") for part, stages in held.items()):
            kept.append(weight)
    encoders = {name: encoder.name for encoder in split(graph).encoders for name in encoder.nodes}
    here = {each.node for each in kept}
    nodes = {}
    for name, node in graph.nodes.items():
        if name == cut.decoder and own:
            nodes[name] = _part(node, cut, stage)
        elif name in encoders and cut.encoders.get(encoders[name], stage) == stage:
            nodes[name] = node
        elif name not in encoders and name != cut.decoder and own:
            nodes[name] = node if node.module in here else replace(node, tensor_parallel=1)
    return replace(graph, nodes=nodes), tuple(kept)


def _part(decoder: Node, cut: Cut, stage: int) -> Node:
    """A decoder with the layers of one stage, and without a head and norm except on the last."""
    spec, own = decoder.spec, cut.layers[stage]
    assert isinstance(spec, Transformer)
    stack = replace(spec.layers, order=spec.layers.order[own.start : own.stop])
    spec = replace(spec, layers=stack)
    if stage > cut.first:
        spec = replace(spec, learned=None, input_norm=None)
    if stage == cut.last:
        return replace(decoder, spec=spec)
    outputs = {port: each for port, each in decoder.signature.outputs.items() if port != "logits"}
    signature = replace(decoder.signature, outputs=outputs)
    return replace(decoder, spec=replace(spec, head=None, final_norm=None), signature=signature)
