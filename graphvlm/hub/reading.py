"""Encoders of a text, and decoders that attend to it: models that `transformers` calls encoder-decoders."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir import Generation, Graph, Node, Ref
from ..stages import Stage, Stages, split


def writes(graph: Graph) -> bool:
    """Whether a graph writes text, as far as can be told: a decoder stands in it."""
    return any(node.kind == "decoder" for node in graph.nodes.values())


def read_first(graph: Graph, stages: Stages) -> tuple[Stage, Ref] | None:
    """The stage that reads a text which the decoder attends to, and the features that it makes of it."""
    decoders = [graph.nodes[name] for name in stages.joint if graph.nodes[name].kind == "decoder"]
    for decoder in decoders:
        stack = decoder.spec.stack
        for port in stack.crossed_ports if stack else ():
            ref = decoder.inputs.get(port)
            for stage in stages.encoders:
                if ref in stage.values and ref is not None and text_of(graph, ref):
                    return stage, ref
    return None


def text_of(graph: Graph, ref: Ref) -> str:
    """The input of tokens that features are made of, one for each; empty if they are not."""
    start, _ = graph.stream_start(ref.name) if ref.port else (ref.name, "")
    return start if start in graph.inputs and graph.inputs[start].port.what == "tokens" else ""


def is_pair(graph: Graph) -> bool:
    """Whether a graph reads one text and writes another."""
    return read_first(graph, split(graph)) is not None


def mask_of(graph: Graph, ref: Ref) -> str:
    """The mask of the text that features are made of; empty if it has none."""
    node = graph.nodes.get(ref.name)
    mask = node.inputs.get(node.signature.mask) if node else None
    return mask.name if mask is not None and not mask.port else ""


def start_of(generation: Generation) -> int | None:
    """The token that every text begins with which is written."""
    known = (generation.start, generation.bos, generation.pad)
    return next((token for token in known if token is not None), None)


def started(graph: Graph) -> int | None:
    """The token that texts begin with, of a graph that reads one text and writes another."""
    return start_of(graph.generation) if is_pair(graph) else None


def beside_both(graph: Graph, stages: Stages, decoder: Node) -> Iterator[str]:
    """What an encoder-decoder has beside the two, for which its form has no place."""
    found = read_first(graph, stages)
    stream = {decoder.name, graph.stream_start(decoder.name)[1]}
    if found:
        others = [stage.name for stage in stages.encoders if stage is not found[0]]
        yield from (f"`{name}`, which is encoded beside the text" for name in others)
        stack = decoder.spec.stack
        told = [decoder.inputs.get(port) for port in (stack.crossed_ports if stack else ())]
        made = [ref for ref in told if ref and ref.port and ref != found[1]]
        yield from (f"`{ref}`, which is made with the text that is read" for ref in made)
    embedding = graph.nodes[graph.embedding(decoder.name)].spec
    if getattr(embedding, "scale", 1.0) != 1:
        yield "embeddings with a scale in an encoder-decoder"
    yield from (f"`{name}` between the text and the decoder" for name in stages.joint if name not in stream)
    if start_of(graph.generation) is None:
        yield "texts that begin with no token: `generation.start_token_id` says which"
