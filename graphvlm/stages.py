"""How a graph falls into stages: one per modality that can be encoded ahead, and one for everything else.

A node that depends on a single input other than tokens belongs to the stage of that input. The values that other
stages or the outputs read are what the stage returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .ir import Graph, Ref


@dataclass(frozen=True, slots=True)
class Stage:
    """One modality encoder: `encode_<name>(input) -> values`. `optional` if the rest can do without it."""

    name: str
    input: str
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
    own: dict[str, list[str]] = {
        name: [] for name, found in graph.inputs.items() if found.port.what in ("image", "features")
    }
    joint: list[str] = []
    for node, sources in _dependencies(graph).items():
        alone = next(iter(sources)) if len(sources) == 1 else ""
        own.get(alone, joint).append(node)
    nouns = _nouns(graph, own)
    frontiers = _frontiers(graph, {node: name for name, nodes in own.items() for node in nodes})
    encoders = (
        Stage(nouns[name], name, tuple(nodes), *frontiers.get(name, ((), False)))
        for name, nodes in own.items()
        if nodes
    )
    return Stages(tuple(encoders), tuple(joint))


def _dependencies(graph: Graph) -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, node in graph.nodes.items():
        sources = (found[ref.name] if ref.port else frozenset((ref.name,)) for ref in node.inputs.values())
        found[name] = frozenset().union(*sources)
    return found


def _nouns(graph: Graph, own: Mapping[str, list[str]]) -> dict[str, str]:
    """`image` for the only input of type image; otherwise the name of the input."""
    types = [graph.inputs[name].port.what for name, nodes in own.items() if nodes]
    return {
        name: what if what == "image" and types.count(what) == 1 else name
        for name in own
        for what in (graph.inputs[name].port.what,)
    }


def _frontiers(graph: Graph, stage_of: Mapping[str, str]) -> dict[str, tuple[tuple[Ref, ...], bool]]:
    """Stage -> the values that others read of it, and whether they can do without."""
    skippable: dict[str, dict[Ref, bool]] = {}
    for name, node in graph.nodes.items():
        for port, ref in node.inputs.items():
            stage = stage_of.get(ref.name) if ref.port else None
            if stage is not None and stage != stage_of.get(name):
                values = skippable.setdefault(stage, {})
                values[ref] = values.get(ref, True) and node.signature.inputs[port].skippable
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
