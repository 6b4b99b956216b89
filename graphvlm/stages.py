"""How a graph falls into stages: one per modality that can be encoded ahead, and one for everything else.

What does not depend on the text can be computed once, before it: images, their sizes, sounds. Inputs that meet in such
a node belong to one stage. The values that other stages or the outputs read are what the stage returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .ir import Graph, Node, Ref
from .spec import What


@dataclass(frozen=True, slots=True)
class Stage:
    """One modality encoder: `encode_<name>(*inputs) -> values`. `optional` if the rest can do without it.

    The first of `inputs` is what is encoded; the others say more of it, such as its sizes.
    """

    name: str
    inputs: tuple[str, ...]
    nodes: tuple[str, ...]
    values: tuple[Ref, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Stages:
    """The encoders, and the nodes of the stage that joins them."""

    encoders: tuple[Stage, ...]
    joint: tuple[str, ...]


def split(graph: Graph) -> Stages:
    """Stages in the order of the inputs, nodes in topological order."""
    text = _text(graph)
    depends = _dependencies(graph)
    ahead = {node: sources for node, sources in depends.items() if sources and not sources & text}
    groups = _groups(graph, ahead)
    own = {group: [node for node, sources in ahead.items() if sources <= set(group)] for group in groups}
    nouns = _nouns(graph, own)
    frontiers = _frontiers(graph, {node: nouns[group] for group, nodes in own.items() for node in nodes})
    encoders = (
        Stage(nouns[group], group, tuple(nodes), *frontiers.get(nouns[group], ((), False)))
        for group, nodes in own.items()
    )
    return Stages(tuple(encoders), tuple(node for node in graph.nodes if node not in ahead))


def _text(graph: Graph) -> frozenset[str]:
    """The inputs of tokens that nothing is encoded ahead of: those that a decoder goes on, or all if there is none."""
    tokens = frozenset(name for name, found in graph.inputs.items() if found.port.what == "tokens")
    roots = frozenset(graph.stream_start(name)[0] for name, node in graph.nodes.items() if node.kind == "decoder")
    return roots & tokens or tokens


def _dependencies(graph: Graph) -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, node in graph.nodes.items():
        read = (ref for ref in node.inputs.values() if not graph.port(ref).weight)
        sources = (found[ref.name] if ref.port else frozenset((ref.name,)) for ref in read)
        found[name] = frozenset().union(*sources)
    return found


def _groups(graph: Graph, ahead: Mapping[str, frozenset[str]]) -> list[tuple[str, ...]]:
    """The inputs of each stage: those that meet in one of its nodes."""
    group_of: dict[str, frozenset[str]] = {}
    for sources in ahead.values():
        joined = sources.union(*(group_of.get(name, frozenset()) for name in sources))
        group_of.update(dict.fromkeys(joined, joined))
    groups = {tuple(sorted(group, key=_importance(graph))) for group in group_of.values()}
    order = list(graph.inputs)
    return sorted(groups, key=lambda group: order.index(group[0]))


_COMPANIONS: tuple[What, ...] = (
    "grid",
    "tile_grid",
    "arrangement",
    "tile_mask",
    "sizes",
    "counts",
    "seconds",
    "pixel_mask",
    "stack_mask",
    "mask",
    "token_types",
)


def _importance(graph: Graph) -> Callable[[str], tuple[bool, int]]:
    """What is encoded comes before what only says more of it; otherwise as in the graph."""
    order = list(graph.inputs)
    return lambda name: (graph.inputs[name].port.what in _COMPANIONS, order.index(name))


def _nouns(graph: Graph, own: Mapping[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], str]:
    """`image` for the only input of images, `audio` for that of sounds, `image_text` for both with text; otherwise the
    name of the input.

    Patches and images may be those of a video: they are if the text reads them at a port called so. Sounds are sounds,
    though what puts features before the text has a port `image`.
    """
    nouns = {}
    for group, nodes in own.items():
        kinds = dict.fromkeys(NOUNS.get(graph.inputs[name].port.what, "") for name in group)
        noun = "_".join(filter(None, kinds)) if "text" in kinds else next(iter(kinds))
        nouns[group] = next(_senses(graph, nodes), noun) if noun not in ("", "audio") else noun
    found = list(nouns.values())
    return {group: noun if noun and found.count(noun) == 1 else group[0] for group, noun in nouns.items()}


def _senses(graph: Graph, nodes: list[str]) -> Iterator[str]:
    """`image`, `video` or `audio`, where a port called so reads from one of the nodes of a stage."""
    for name, node in graph.nodes.items():
        for port, ref in node.inputs.items():
            if port in ("image", "video", "audio") and ref.port and ref.name in nodes and name not in nodes:
                yield port


# What is seen, heard or read, and what people call it.
NOUNS: Mapping[What, str] = {
    "image": "image",
    "video": "video",
    "stack": "image",
    "patches": "image",
    "tiles": "image",
    "audio": "audio",
    "tokens": "text",
}


def _frontiers(graph: Graph, stage_of: Mapping[str, str]) -> dict[str, tuple[tuple[Ref, ...], bool]]:
    """Stage -> the values that others read of it, and whether they can do without."""
    skippable: dict[str, dict[Ref, bool]] = {}
    for name, node in graph.nodes.items():
        tail = tail_of(graph, node)
        reads = [(ref, node.signature.inputs[port].skippable) for port, ref in node.inputs.items()]
        for ref, without in [*reads, *([(tail, False)] if tail else [])]:
            stage = stage_of.get(ref.name) if ref.port and not graph.port(ref).weight else None
            if stage is not None and stage != stage_of.get(name):
                values = skippable.setdefault(stage, {})
                values[ref] = values.get(ref, True) and without
    consumed = set(skippable)
    for ref in graph.outputs.values():
        stage = stage_of.get(ref.name)
        if stage is not None:
            skippable.setdefault(stage, {}).setdefault(ref, stage in consumed)
    order = {name: index for index, name in enumerate(graph.nodes)}
    return {
        stage: (tuple(sorted(values, key=lambda ref: (order[ref.name], ref.port))), all(values.values()))
        for stage, values in skippable.items()
    }


def tail_of(graph: Graph, node: Node) -> Ref | None:
    """What a decoder that gives less than it reads measures its outputs by: the earliest value on its stream that is
    as long as what it gives."""
    if not getattr(node.spec, "cut", False):
        return None
    ref, found = node.inputs.get(node.signature.stream), None
    wanted = next(iter(node.signature.outputs.values())).shape[1]
    while ref is not None:
        if graph.port(ref).shape[1] == wanted:
            found = ref
        before = graph.nodes.get(ref.name) if ref.port else None
        ref = before.inputs.get(before.signature.stream) if before else None
    return found


def only_decoder(graph: Graph, stages: Stages) -> Node | None:
    """The decoder of the joint stage, if there is one and no other."""
    decoders = [graph.nodes[name] for name in stages.joint if graph.nodes[name].kind == "decoder"]
    return decoders[0] if len(decoders) == 1 else None


def scored_decoder(graph: Graph, stages: Stages) -> Node | None:
    """The decoder whose logits labels can be scored by: the model needs its tokens and nothing else."""
    decoder = only_decoder(graph, stages)
    tokens = tokens_of(graph, decoder) if decoder else ""
    if decoder is None or not tokens or Ref(decoder.name, "logits") not in graph.outputs.values():
        return None
    free = all(name == tokens or skippable(graph, stages, name) for name in joint_inputs(graph, stages))
    return decoder if free and all(stage.optional for stage in stages.encoders) else None


def tokens_of(graph: Graph, node: Node) -> str:
    """The input of tokens that the stream through a node begins with; empty if it begins with something else."""
    start, _ = graph.stream_start(node.name)
    return start if start in graph.inputs and graph.inputs[start].port.what == "tokens" else ""


def joint_inputs(graph: Graph, stages: Stages) -> list[str]:
    """Graph inputs that nodes of the joint stage read themselves, tokens first."""
    nodes = [graph.nodes[name] for name in stages.joint]
    read = [ref.name for node in nodes for ref in (*node.inputs.values(), tail_of(graph, node)) if ref and not ref.port]
    return [name for name in graph.inputs if name in read]


def skippable(graph: Graph, stages: Stages, name: str) -> bool:
    """Whether the joint stage can do without an input that it reads."""
    ports = [
        node.signature.inputs[port]
        for node in map(graph.nodes.__getitem__, stages.joint)
        for port, ref in node.inputs.items()
        if ref == Ref(name)
    ]
    return bool(ports) and all(port.skippable or port.what == "mask" for port in ports)
