"""The plan of a graph in stages: what each stage takes, and how long ranks wait for each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..ir import Graph
from ..stages import split
from ..staging import Cut, Sent, holders, readers, sent
from .activations import kept, logits
from .arithmetic import Work, stack_tokens, work
from .stages import of_stage
from .traffic import Exchange, traffic
from .weights import Weight
from .workload import Workload, evaluate, rows


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what it encodes, how many layers it has, its weights, and what it does in a step.

    `keeps` are the bytes of each node for all micro-batches, of which `under_way` are there at once. The nodes `ahead`
    encode a share of the micro-batches on every stage, all of which are there at once.
    """

    encodes: tuple[str, ...]
    layers: int
    weights: tuple[Weight, ...]
    works: Mapping[str, Work]
    keeps: Mapping[str, float]
    logits: float
    under_way: int
    ahead: frozenset[str]
    exchanges: tuple[Exchange, ...]

    @property
    def operations(self) -> float:
        return sum(each.forward + each.backward for each in self.works.values())


def stages(
    graph: Graph, cut: Cut, found: tuple[Weight, ...], sizes: Mapping[str, int], asked: Workload
) -> tuple[Stage, ...]:
    """Every stage of a graph after its passes; `found` are all weights."""
    whole = work(graph, found, sizes)
    handed = sent(graph, cut)
    return tuple(_stage(graph, cut, each, found, sizes, asked, whole, handed) for each in range(len(cut.layers)))


def _stage(  # noqa: PLR0917
    graph: Graph,
    cut: Cut,
    stage: int,
    found: tuple[Weight, ...],
    sizes: Mapping[str, int],
    asked: Workload,
    whole: Mapping[str, Work],
    handed: tuple[tuple[Sent, ...], ...],
) -> Stage:
    part, own = of_stage(graph, cut, stage, found)
    works = work(part, own, sizes)
    if stage > cut.first:  # gradients go on to the stages before, if anything there is trained
        passes = whole[cut.decoder].passes or any(each.trained for each in found if each not in own)
        returns = passes or works[cut.decoder].returns
        works[cut.decoder] = replace(works[cut.decoder], returns=returns, passes=passes)
    count = asked.micro_batches
    ahead = frozenset(
        name for encoder in split(graph).encoders if encoder.name in cut.everywhere for name in encoder.nodes
    )
    works |= {name: _share(works[name], len(cut.layers)) for name in ahead}
    exchanges = [
        each if each.axis.startswith(("dp", "replicate")) else replace(each, calls=each.calls * count)
        for each in traffic(part, own, works, sizes, asked)
    ]
    there = handed[stage]
    back = handed[stage - 1] if stage else ()
    bytes_sent = sum(_bytes(graph, cut, each, sizes, asked) for each in (*there, *back))
    exchanges.append(Exchange("pp", "send", count * len((*there, *back)), bytes_sent))
    exchanges += _features(graph, cut, stage, works, sizes, asked)
    exchanges += _shared(graph, cut, stage, own, asked)
    return Stage(
        encodes=(*(name for name, at in cut.encoders.items() if at == stage), *cut.everywhere),
        layers=len(cut.layers[stage]),
        weights=own,
        works=works,
        keeps={
            name: each / len(cut.layers) if name in ahead else each
            for name, each in kept(part, works, sizes, asked).items()
        },
        logits=logits(part, sizes, asked) / count,
        under_way=min(count, len(cut.layers) - stage),
        ahead=ahead,
        exchanges=tuple(each for each in exchanges if each.calls),
    )


def _share(whole: Work, stages: int) -> Work:
    """What a stage does of the work that all share."""
    parts = {name: getattr(whole, name) / stages for name in ("products", "trained", "scores")}
    return replace(whole, tokens=-(-whole.tokens // stages), **parts)


def _features(  # noqa: PLR0917
    graph: Graph, cut: Cut, stage: int, works: Mapping[str, Work], sizes: Mapping[str, int], asked: Workload
) -> list[Exchange]:
    """What is encoded on all stages goes to those that read it, and gradients come back."""
    found, count = [], len(cut.layers)
    for encoder in (each for each in split(graph).encoders if each.name in cut.everywhere):
        learns = any(works[name].returns for name in encoder.nodes)
        at = readers(graph, cut, encoder)
        for ref in encoder.values:
            others = len({*at} - {stage})
            shares = others + (count - 1 if stage in at and learns else 0)
            sent = _bytes(graph, cut, Sent(ref, ()), sizes, asked) * shares / count
            found.append(Exchange("pp", "send", -(-asked.micro_batches * shares // count), sent))
    return found


def _bytes(graph: Graph, cut: Cut, each: Sent, sizes: Mapping[str, int], asked: Workload) -> float:
    """What is handed on in a step, or its gradients."""
    if each.ref is not None:
        shape = graph.port(each.ref).shape
        return float(rows(shape, sizes) * evaluate(shape[-1], sizes) * asked.compute)
    decoder = graph.nodes[cut.decoder]
    assert decoder.spec.stack is not None
    tokens = stack_tokens(decoder, sizes) / (decoder.tensor_parallel if decoder.sequence else 1)
    return float(tokens * decoder.spec.stack.dim * asked.compute)


def _shared(graph: Graph, cut: Cut, stage: int, own: tuple[Weight, ...], asked: Workload) -> list[Exchange]:
    """Gradients of weights that several stages have are added up."""
    found = []
    for path, at in holders(graph, cut).items():
        weights = [each for each in own if f"{each.node}.{each.path}".startswith(f"{path}.") and each.trained]
        if len(at) > 1 and stage in at and weights:
            summed = sum(each.stored for each in weights) * asked.weights
            found.append(Exchange("pp", "all-reduce", len(weights), 2 * (len(at) - 1) / len(at) * summed))
    return found
