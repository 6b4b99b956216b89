"""Segments that come in at ports of their own, as kinds of tokens in one prompt: elsewhere there is one sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..blocks.segments import Segment, marked_segment
from ..components.decoder.transformer import Transformer
from ..components.encoder.token_embedding import TokenEmbedding
from ..components.fusion.scatter import Scatter
from ..ir import Graph, Node, NodeCheckpoint, Ref
from ..spec import Port, Signature
from ..stages import split

# The port that says which tokens are of the first segment.
WHERE = "placed_tokens"


@dataclass(frozen=True, slots=True)
class Merged:
    """A decoder whose first segment, features of this modality, is to stand in its text, at places of this token."""

    decoder: str
    features: Ref
    modality: str
    token: int


def merged_parts(graph: Graph) -> Merged | None:
    """The decoder of two segments, features and the text behind them, if there is one that can be so."""
    stages = split(graph)
    modality = {ref: stage.name for stage in stages.encoders for ref in stage.values}
    said = graph.prompt.image.token_id if graph.prompt.image else None
    for name in stages.joint:
        node = graph.nodes[name]
        spec = node.spec
        if not isinstance(spec, Transformer) or marked_segment(spec.layers.segments) or spec.hidden:
            continue
        names = [segment.name for segment in spec.layers.segments]
        if len(names) != len(("features", "text")) or node.inputs.get(names[0]) not in modality:
            continue
        text = graph.nodes.get(node.inputs[names[1]].name)
        if text is not None and isinstance(text.spec, TokenEmbedding) and not spec.layers.choosing:
            what = modality[node.inputs[names[0]]]
            token = text.spec.vocab if said is None or what != "image" else said
            return Merged(name, node.inputs[names[0]], what, token)
    return None


def merged(graph: Graph) -> Graph:
    """The graph with a scatter before such a decoder, and flags in place of the port."""
    found = merged_parts(graph)
    if found is None:
        return graph
    decoder = graph.nodes[found.decoder]
    spec = decoder.spec
    assert isinstance(spec, Transformer)
    first, last = spec.layers.segments
    name = next(each for each in ("fused", "placed", f"before_{found.decoder}") if each not in graph.nodes)
    fused = _scatter(graph, decoder, found, name, decoder.signature.inputs[last.name])
    stream, mask = decoder.signature.inputs[last.name], decoder.inputs.get(decoder.signature.mask)
    inputs = {"features": stream, "mask": Port("mask", stream.shape[:2], optional=True)}
    segments = (Segment(last.name, restart=last.restart), Segment(first.name, where=WHERE))
    now = replace(
        decoder,
        spec=replace(spec, layers=replace(spec.layers, segments=segments), cut=False),
        inputs={
            "features": Ref(name, "features"),
            **({"mask": mask} if mask else {}),
            WHERE: Ref(name, "places"),
        },
        signature=replace(
            decoder.signature,
            inputs=inputs | {WHERE: Port("mask", stream.shape[:2], skippable=True)},
            stream="features",
            mask="mask",
        ),
    )
    nodes = dict[str, Node]()
    for key, node in graph.nodes.items():
        nodes |= {name: fused, key: now} if key == found.decoder else {key: node}
    return replace(graph, nodes=nodes)


def _scatter(graph: Graph, decoder: Node, found: Merged, name: str, text: Port) -> Node:
    ids, _ = graph.stream_start(decoder.name)
    features = graph.port(found.features)
    count = features.shape[1]
    tokens = ((found.modality, count),) if isinstance(count, int) else ()
    stream = decoder.signature.stream
    dim = text.shape[2]
    assert isinstance(dim, int)
    return Node(
        name=name,
        kind="fusion",
        type="scatter",
        spec=Scatter(dim, ((found.modality, found.token),), tokens),
        inputs={"text": decoder.inputs[stream], found.modality: found.features, "ids": Ref(ids)},
        signature=Signature(
            inputs={
                "text": text,
                found.modality: replace(features, skippable=True),
                "ids": Port("tokens", text.shape[:2]),
            },
            outputs={"features": text, "places": Port("mask", text.shape[:2])},
            stream="text",
        ),
        tree=decoder.tree,
        checkpoint=NodeCheckpoint(()),
    )
