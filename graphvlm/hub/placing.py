"""Features before the text as features at places in it: prompts then begin with placeholder tokens.

That is the one form that all have who read such directories: an engine counts placeholder tokens, makes what stands in
their places itself, and knows nothing of sequences that are longer than their tokens. Positions, masks and caches are
those of a prompt that long, and the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..components.decoder.transformer import Transformer
from ..components.encoder.token_embedding import TokenEmbedding
from ..components.fusion.prefix import Prefix
from ..components.fusion.scatter import Scatter
from ..dims import Dim
from ..ir import Graph, Node, Ref
from ..spec import Port, Signature, Spec
from ..stages import split
from .fitting import deployed
from .merging import merged, merged_parts


@dataclass(frozen=True, slots=True)
class Place:
    """What stood before the text: the node, the features that it put there, their modality, and the token for each."""

    node: str
    features: Ref
    mask: Ref | None
    modality: str
    token: int


def places(graph: Graph) -> tuple[Place, ...]:
    """What stands before the text of a graph, in the order in which it stands there."""
    apart = merged_parts(graph)
    first = [Place(apart.decoder, apart.features, None, apart.modality, apart.token)] if apart else []
    return (*first, *reversed(_found(graph)))


def images_before(graph: Graph) -> int:
    """How many images stand before each text of a graph."""
    apart = merged_parts(graph)
    if apart and apart.modality == "image":
        return 1
    specs = [graph.nodes[place.node].spec for place in _found(graph) if place.modality == "image"]
    return sum(spec.images for spec in specs if isinstance(spec, Prefix))


def prepared(graph: Graph) -> Graph:
    """The graph as the profile takes it: deployed, and with placeholder tokens for all that stands in a prompt."""
    return merged(placed(deployed(graph)))


def placed(graph: Graph) -> Graph:
    """The graph with a scatter for each prefix; as it is, where what is before the text is made of the text itself."""
    found = {place.node: place for place in _found(graph)}
    shorter, masks, nodes = dict[Dim, Dim](), dict[Ref, Ref | None](), dict[str, Node]()
    for name, node in graph.nodes.items() if found else ():
        inputs = {port: masks.get(ref, ref) for port, ref in node.inputs.items()}
        now = replace(node, inputs={port: ref for port, ref in inputs.items() if ref is not None})
        if name in found:
            text, whole = node.signature.inputs["text"].shape[1], node.signature.outputs["features"].shape[1]
            shorter[whole] = shorter.get(text, text)
            masks[Ref(name, "mask")] = now.inputs.get("mask")
            now = _scatter(graph, now, found[name])
        nodes[name] = replace(now, signature=_with_shorter(now.signature, shorter), spec=_uncut(now))
    return replace(graph, nodes=nodes) if found else graph


def beyond(graph: Graph) -> bool:
    """Whether placeholder tokens stand behind the vocabulary, and have no row of the embedding."""
    tables = {node.name: node.spec.vocab for node in graph.nodes.values() if isinstance(node.spec, TokenEmbedding)}
    return any(
        token >= tables.get(graph.embedding(name), token + 1)
        for name, node in graph.nodes.items()
        if isinstance(node.spec, Scatter)
        for _, token in node.spec.placeholder
    )


def _found(graph: Graph) -> list[Place]:
    """In the order of the graph: each stands before those that were there already."""
    stages, found = split(graph), list[Place]()
    modality = {ref: stage.name for stage in stages.encoders for ref in stage.values}
    said = graph.prompt.image.token_id if graph.prompt.image else None
    for name in stages.joint:
        node = graph.nodes[name]
        first = _embedding(graph, node) if isinstance(node.spec, Prefix) else None
        if first is not None and node.inputs["image"] in modality:
            what = modality[node.inputs["image"]]
            behind = first.vocab + len(found)
            token = behind if said is None or what != "image" else said
            found.append(Place(name, node.inputs["image"], node.inputs.get("image_mask"), what, token))
    return found


def _embedding(graph: Graph, node: Node) -> TokenEmbedding | None:
    """What embeds the text, if nothing else is done to it than to put features before it and among it."""
    while isinstance(node.spec, Prefix | Scatter):
        ref = node.inputs["text"]
        if not ref.port:
            return None
        node = graph.nodes[ref.name]
    return node.spec if isinstance(node.spec, TokenEmbedding) else None


def _scatter(graph: Graph, node: Node, place: Place) -> Node:
    """A prefix as a scatter whose port is called as what stands there is."""
    spec = node.spec
    assert isinstance(spec, Prefix)
    ids, _ = graph.stream_start(node.name)
    masked = (place.modality,) if place.mask else ()
    counted = graph.port(place.features).shape[1]
    tokens = ((place.modality, counted),) if isinstance(counted, int) and not masked else ()
    old = node.signature.inputs
    inputs = {"text": old["text"], place.modality: old["image"], "ids": Port("tokens", old["text"].shape[:2])}
    given = {"text": node.inputs["text"], place.modality: place.features, "ids": Ref(ids)}
    if place.mask:
        inputs[f"{place.modality}_mask"] = old["image_mask"]
        given[f"{place.modality}_mask"] = place.mask
    outputs = {"features": node.signature.outputs["features"], "places": Port("mask", old["text"].shape[:2])}
    return replace(
        node,
        type="scatter",
        spec=Scatter(spec.dim, ((place.modality, place.token),), tokens, masked),
        inputs=given,
        signature=replace(node.signature, inputs=inputs, outputs=outputs),
    )


def _with_shorter(signature: Signature, shorter: Mapping[Dim, Dim]) -> Signature:
    """Ports whose tokens are those of the prompt alone, for those of the prompt and what stood before it."""

    def port(old: Port) -> Port:
        shape = tuple(shorter.get(dim, dim) for dim in old.shape)
        return replace(old, shape=shape, tail=None if old.tail is None else shorter.get(old.tail, old.tail))

    inputs = {name: port(old) for name, old in signature.inputs.items()}
    return replace(signature, inputs=inputs, outputs={name: port(old) for name, old in signature.outputs.items()})


def _uncut(node: Node) -> Spec:
    """A decoder of one segment gives outputs for all that it reads."""
    spec = node.spec
    one = isinstance(spec, Transformer) and len(spec.layers.segments) <= 1
    return replace(spec, cut=False) if isinstance(spec, Transformer) and one else spec
