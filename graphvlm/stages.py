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
    depends = _dependencies(graph)
    own = {
        name: [node for node in graph.nodes if depends[node] == frozenset((name,))]
        for name, found in graph.inputs.items()
        if found.port.what in ("image", "features")
    }
    nouns = _nouns(graph, own)
    encoders = []
    for name, nodes in own.items():
        if nodes:
            values, optional = _frontier(graph, nodes)
            encoders.append(Stage(nouns[name], name, tuple(nodes), values, optional))
    encoded = {node for nodes in own.values() for node in nodes}
    return Stages(tuple(encoders), tuple(node for node in graph.nodes if node not in encoded))


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


def _frontier(graph: Graph, nodes: list[str]) -> tuple[tuple[Ref, ...], bool]:
    inside = set(nodes)
    values: dict[Ref, bool] = {}
    for name, node in graph.nodes.items():
        for port, ref in node.inputs.items():
            if ref.port and ref.name in inside and name not in inside:
                skippable = node.signature.inputs[port].skippable
                values[ref] = values.get(ref, True) and skippable
    consumed = bool(values)
    for ref in graph.outputs.values():
        if ref.name in inside:
            values.setdefault(ref, consumed)
    order = {name: index for index, name in enumerate(graph.nodes)}
    refs = sorted(values, key=lambda ref: (order[ref.name], ref.port))
    return tuple(refs), bool(refs) and all(values.values())
