"""How a graph falls into the stages of a pipeline, which lie on the ranks of `pp`.

The layers of the decoder lie on stages one after the other. What is encoded ahead of it lies on one stage for each
modality, not behind the one where the decoder begins. A stage hands hidden states to the next, and features that later
layers read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from .blocks.settings import Attention, Stack
from .components.encoder.tiled_vit import TiledVit
from .dims import Dim, Many, Sum, Var
from .ir import Graph, Node, Ref
from .stages import Stage, Stages, scored_decoder, split, tokens_of
from .vocabulary import gives_parts


@dataclass(frozen=True, slots=True)
class Cut:
    """Which layers of the decoder each stage has, none before it begins, and which stage encodes each modality.

    Those `everywhere` are encoded by all stages, of their share of the micro-batches.
    """

    decoder: str
    layers: tuple[range, ...]
    encoders: Mapping[str, int]
    everywhere: tuple[str, ...] = ()

    @property
    def first(self) -> int:
        """The stage with the first layers, and all that stands before them."""
        return next(stage for stage, own in enumerate(self.layers) if own)

    @property
    def last(self) -> int:
        return len(self.layers) - 1


def degree(graph: Graph) -> int:
    """How many stages there are."""
    return graph.parallelism.mesh.get("pp", 1)


def why_not(graph: Graph) -> str:
    """What in a graph has no place in stages; empty if all of it has."""
    stages = split(graph)
    decoder = scored_decoder(graph, stages)
    if decoder is None:
        return "there is no decoder whose logits labels are for, or it needs more than its tokens"
    if graph.teachers or any(node.tie for node in graph.owners):
        return "weights follow others, which may lie elsewhere"
    if decoder.spec.stack and decoder.spec.stack.handed:
        return "its layers hand on which keys an indexer has chosen"
    before = _ancestors(graph, decoder.name)
    for name in stages.joint:
        node = graph.nodes[name]
        if name != decoder.name and name not in before:
            return f"the decoder does not read `{name}`"
        if name != decoder.name and node.spec.parameters() and node.type != "token_embedding":
            return f"`{name}` has weights, and depends on the text before the decoder does"
    told = [stage for stage in stages.encoders if counted(graph, decoder) and not _sendable(graph, stage)]
    return f"only the data say how long what `{told[0].nodes[-1]}` gives is" if told else ""


def _ancestors(graph: Graph, name: str) -> frozenset[str]:
    """The nodes that a node reads, directly or not."""
    found, waiting = set[str](), [name]
    while waiting:
        sources = {ref.name for ref in graph.nodes[waiting.pop()].inputs.values() if ref.port} - found
        found |= sources
        waiting += sources
    return frozenset(found)


def counted(graph: Graph, decoder: Node) -> bool:
    """Whether what is encoded stands in the sequence of the decoder beside its text, and so decides how long it is."""
    stack = decoder.spec.stack
    parts = stack.segments if stack else ()
    own = graph.inputs[tokens_of(graph, decoder)].port.shape[1]
    return bool(parts and parts[-1].name in decoder.inputs) or _length(decoder) != own


def _length(decoder: Node) -> Dim:
    return decoder.signature.inputs[decoder.signature.stream].shape[1]


def written_stage(graph: Graph, encoder: Stage) -> int | Literal["all"]:
    """The stage that the graph wants for a modality."""
    return next((node.stage for node in _modules(graph, encoder) if node.stage is not None), 0)


def on_one_stage(graph: Graph, stages: Stages) -> dict[Stage, int]:
    """The modalities that one stage encodes, and which."""
    wanted = ((encoder, written_stage(graph, encoder)) for encoder in stages.encoders)
    return {encoder: stage for encoder, stage in wanted if stage != "all"}


def _modules(graph: Graph, encoder: Stage) -> Iterator[Node]:
    """The nodes whose weights a modality goes through."""
    yield from (graph.nodes[graph.nodes[name].module] for name in encoder.nodes)


def begins(graph: Graph, decoder: Node, stages: Stages) -> tuple[int, ...]:
    """The stages where the decoder may begin: each before it encodes something, and can send it."""
    own = on_one_stage(graph, stages)
    assert decoder.spec.stack is not None
    count, layers = degree(graph), len(decoder.spec.stack.order)
    return tuple(
        first
        for first in range(max(own.values(), default=0), count)
        if {*range(first)} <= {*own.values()}
        and all(stage == first or _sendable(graph, encoder) for encoder, stage in own.items())
        and count - first <= layers
    )


def cut(graph: Graph, encoding: Mapping[str, float], layers: Sequence[float], head: float) -> Cut:
    """The stages of a legal graph, as it says or so that they take equally long.

    `encoding` is what each modality takes, `layers` what those of the decoder do, `head` what comes behind them.
    """
    stages = split(graph)
    decoder = scored_decoder(graph, stages)
    assert decoder is not None
    own = {encoder.name: stage for encoder, stage in on_one_stage(graph, stages).items()}
    everywhere = tuple(encoder.name for encoder in stages.encoders if encoder.name not in own)
    count = degree(graph)
    if decoder.stages:
        return Cut(decoder.name, _ranges(decoder.stages), own, everywhere)
    found: list[tuple[float, int, tuple[int, ...]]] = []
    for first in begins(graph, decoder, stages):
        loads = [sum(encoding[name] for name, stage in own.items() if stage == each) for each in range(count)]
        loads[-1] += head
        worst, counts = balanced(layers, loads[first:])
        found.append((max(worst, *loads[:first]) if first else worst, first, (0,) * first + counts))
    return Cut(decoder.name, _ranges(min(found)[2]), own, everywhere)


def _ranges(counts: Sequence[int]) -> tuple[range, ...]:
    return tuple(range(start, end) for start, end in pairwise(accumulate(counts, initial=0)))


def balanced(costs: Sequence[float], loads: Sequence[float]) -> tuple[float, tuple[int, ...]]:
    """How many of the layers of `costs`, in their order, each stage gets that has a load already, at least one each.

    The stage that takes longest takes as little as can be; that is the first number.
    """
    sums = list(accumulate(costs, initial=0.0))
    # Ends of the first stages -> what the longest of them takes, and where the last of them begins.
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for stage, load in enumerate(loads):
        left = len(loads) - 1 - stage
        best.append(
            {
                end: min(
                    (max(before, sums[end] - sums[start] + load), start)
                    for start, (before, _) in best[-1].items()
                    if start < end
                )
                for end in range(stage + 1, len(costs) - left + 1)
            }
        )
    end, counts = len(costs), list[int]()
    for found in reversed(best[1:]):
        start = found[end][1]
        counts.append(end - start)
        end = start
    return best[-1][len(costs)][0], tuple(reversed(counts))


def holders(graph: Graph, cut: Cut) -> dict[str, tuple[int, ...]]:
    """Module with weights -> the stages that have it; layers of the decoder are left out, being in `cut.layers`.

    A table that the head reads too, and what all layers read, is on several stages.
    """
    found: dict[str, set[int]] = {}
    encoders = {name: encoder for encoder in split(graph).encoders for name in encoder.nodes}
    decoder = graph.nodes[cut.decoder]
    for name, node in graph.nodes.items():
        if name != cut.decoder and graph.nodes[node.module].spec.parameters():
            of = encoders[name].name if name in encoders else ""
            own = range(cut.last + 1) if of in cut.everywhere else (cut.encoders.get(of, cut.first),)
            found.setdefault(node.module, set()).update(own)
    head = getattr(decoder.spec, "head", None)
    if head is not None and head.tied:
        found[graph.embedding(decoder.name)].add(cut.last)
    modules = [parameter.path.partition(".")[0] for parameter in decoder.spec.parameters()]
    for inside in dict.fromkeys((*modules, *(("head",) if gives_parts(decoder) else ()))):
        if inside != "layers":
            found[f"{decoder.name}.{inside}"] = set(_inside(inside, cut))
    return {path: tuple(sorted(stages)) for path, stages in found.items()}


def _inside(module: str, cut: Cut) -> range:
    """The stages that have a module of the decoder beside its layers."""
    if module in ("position", "input_norm"):
        return range(cut.first, cut.first + 1)
    return range(cut.first, cut.last + 1) if module == "relative" else range(cut.last, cut.last + 1)


@dataclass(frozen=True, slots=True)
class Sent:
    """What stages hand on: features at `ref`, or hidden states where there is none; expressions for its shape."""

    ref: Ref | None
    shape: tuple[str, ...]


def sent(graph: Graph, cut: Cut) -> tuple[tuple[Sent, ...], ...]:
    """What each stage hands to the next; the last hands on nothing."""
    decoder, stages = graph.nodes[cut.decoder], split(graph)
    hidden = Sent(None, _hidden(graph, decoder))
    found = []
    for stage in range(cut.last):
        wanted = [
            encoder
            for encoder in stages.encoders
            if cut.encoders.get(encoder.name, cut.last) <= stage
            and (stage < cut.first or _reads(graph, decoder, encoder) >= cut.layers[stage + 1].start)
        ]
        features = [Sent(ref, shape_of(graph, encoder, ref)) for encoder in wanted for ref in encoder.values]
        found.append((*((hidden,) if stage >= cut.first else ()), *features))
    return (*found, ())


def readers(graph: Graph, cut: Cut, encoder: Stage) -> tuple[int, ...]:
    """The stages that read what a modality gives, before their layers or in them."""
    layers = {layer for ref in encoder.values for layer in _reading(graph, graph.nodes[cut.decoder], ref)}
    return tuple(
        stage
        for stage, own in enumerate(cut.layers)
        if layers.intersection(own) or (stage == cut.first and -1 in layers)
    )


def _reads(graph: Graph, decoder: Node, encoder: Stage) -> int:
    """The last layer that reads some of what a modality gives while it runs; -1 if all is read before the layers."""
    return max((layer for ref in encoder.values for layer in _reading(graph, decoder, ref)), default=-1)


def _reading(graph: Graph, decoder: Node, ref: Ref) -> Iterator[int]:
    """The layers that read features; -1 for what stands before them."""
    for port, source in decoder.inputs.items():
        if ref == source or (source.port and ref.name in {source.name, *_ancestors(graph, source.name)}):
            yield from _layers_at(decoder, port)


def _layers_at(decoder: Node, port: str) -> list[int]:
    """The layers that read what comes in at a port besides the tokens; -1 if it is read before them."""
    stack = decoder.spec.stack
    assert stack is not None
    if port.startswith("inject_"):
        return [int(port.removeprefix("inject_"))]
    reads = [port in _read(stack, kind) for kind in range(len(stack.kinds))]
    return [layer for layer, kind in enumerate(stack.order) if reads[kind]] or [-1]


def _read(stack: Stack, kind: int) -> frozenset[str]:
    ops = (sublayer.op for sublayer in stack.kinds[kind].sublayers)
    crosses = (op.cross for op in ops if isinstance(op, Attention) and op.cross)
    ports = (name for cross in crosses for name in (cross.port, cross.visible, cross.present))
    return frozenset(filter(None, ports))


def _sendable(graph: Graph, encoder: Stage) -> bool:
    """Whether inputs alone say how large what a modality gives is, and gradients can come back to it."""
    return all(graph.port(ref).what == "features" and all(shape_of(graph, encoder, ref)) for ref in encoder.values)


def unsent(graph: Graph, cut: Cut) -> str:
    """The node whose features a stage would have to send, and cannot; empty if there is none."""
    found = {each.ref for stage in sent(graph, cut) for each in stage if each.ref}
    encoders = [encoder for encoder in split(graph).encoders if not _sendable(graph, encoder)]
    return next((ref.name for encoder in encoders for ref in encoder.values if ref in found), "")


def unshared(graph: Graph, stages: Stages) -> str:
    """A node that all stages are to have, and whose features none can send; empty if there is none."""
    one = on_one_stage(graph, stages)
    bad = (each for each in stages.encoders if each not in one and not _sendable(graph, each))
    return next((encoder.values[0].name for encoder in bad), "")


def unsendable(graph: Graph, decoder: Node, stages: Stages) -> str:
    """A node whose features layers behind the first read, and that no stage can send; empty if there is none."""
    bad = (each for each in stages.encoders if not _sendable(graph, each) and _reads(graph, decoder, each) > 0)
    return next((encoder.values[0].name for encoder in bad), "")


def shape_of(graph: Graph, encoder: Stage, ref: Ref) -> tuple[str, ...]:
    """Expressions for the sizes of features, by those of the inputs in `batch`; empty where nothing tells one."""
    return tuple(_size(graph, dim, encoder.inputs) or _of_tiles(graph, encoder, dim) for dim in graph.port(ref).shape)


def _hidden(graph: Graph, decoder: Node) -> tuple[str, ...]:
    tokens = tokens_of(graph, decoder)
    stack = decoder.spec.stack
    assert stack is not None
    ports = [segment.name for segment in stack.segments if segment.name in decoder.inputs] or [decoder.signature.stream]
    lengths = [_size(graph, decoder.signature.inputs[port].shape[1], (tokens,)) for port in ports]
    length = " + ".join(lengths)
    shared = decoder.context * (decoder.tensor_parallel if decoder.sequence else 1)
    if shared > 1:
        length = f"({length}) // {shared}" if "+" in length else f"{length} // {shared}"
    return f'size(batch, "{tokens}", 0)', length, str(stack.dim)


def _size(graph: Graph, dim: Dim, first: tuple[str, ...]) -> str:
    """An expression for a size; those of the inputs `first` are looked at before the others."""
    if isinstance(dim, int):
        return str(dim)
    if isinstance(dim, Sum):
        terms = [_term(graph, term, first) for term in dim.terms]
        return " + ".join(terms) if all(terms) else ""
    for name in dict.fromkeys((*first, *graph.inputs)):
        for axis, own in enumerate(graph.inputs[name].port.shape):
            if own == dim:
                return f'size(batch, "{name}", {axis})'
            if isinstance(own, Sum) and len(own.terms) == 1 and isinstance(own.terms[0], Many):
                many = own.terms[0]
                if many.var == dim:
                    return f'size(batch, "{name}", {axis}) // {many.count}'
    return ""


def _term(graph: Graph, term: int | Var | Many, first: tuple[str, ...]) -> str:
    if not isinstance(term, Many):
        return _size(graph, term, first)
    inner = _size(graph, term.var, first)
    return f"{term.count} * {inner}" if inner else ""


def _of_tiles(graph: Graph, encoder: Stage, dim: Dim) -> str:
    """The size of all tokens of the tiles of a row, where a tower of tiles makes them."""
    for node in map(graph.nodes.__getitem__, encoder.nodes):
        if isinstance(node.spec, TiledVit) and dim in next(iter(node.signature.outputs.values())).shape:
            images = next(iter(node.inputs.values())).name
            return f'size(batch, "{images}", 1) * {node.spec.tiles * node.spec.tokens}'
    return ""
