"""What `link` makes: nodes whose references are ports, in topological order; their sizes are not known yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .component import Component
from .diagnostics import Span
from .ir import Input, Ref
from .settings import Settings
from .spec import Port, Signature
from .tree import Tree, mapping


@dataclass(frozen=True, slots=True)
class Edge:
    """What feeds one port, and where that was written."""

    source: Ref
    span: Span


@dataclass(frozen=True, slots=True)
class Linked:
    """A node whose inputs are known; its sizes are not. `span` is the place of its name.

    Another call of a node has the settings of that node, its `owner`. A teacher has weights of its own and the settings
    of the node that it `follows`; calls of a teacher follow that one too.
    """

    name: str
    kind: str
    type: str
    component: Component
    settings: Settings
    signature: Signature
    inputs: Mapping[str, Edge]
    span: Span
    owner: str = ""
    follows: str = ""
    decay: float = 0.0

    @property
    def module(self) -> str:
        """The node whose weights it calls: this one, unless it is another call."""
        return self.owner or self.name

    @property
    def source(self) -> str:
        """The node whose settings and code it has: for a teacher, the one that it follows."""
        return self.follows or self.module

    @property
    def stream(self) -> Ref | None:
        """Where the tokens come from that run through this node."""
        edge = self.inputs.get(self.signature.stream)
        return edge.source if edge else None


@dataclass(frozen=True, slots=True)
class LinkedGraph:
    """Linked nodes in topological order, which keeps the author's order where it can."""

    tree: Tree
    inputs: Mapping[str, Input]
    nodes: Mapping[str, Linked]
    outputs: Mapping[str, Edge]

    def port(self, ref: Ref) -> Port:
        """What flows at `ref`, with open sizes."""
        return self.nodes[ref.name].signature.outputs[ref.port] if ref.port else self.inputs[ref.name].port

    def roots(self) -> dict[str, Ref]:
        """For each node, the input of the graph that its stream of tokens begins with; if none, where it begins."""
        found: dict[str, Ref] = {}
        for name, node in self.nodes.items():
            source = node.stream
            found[name] = Ref(name) if source is None else found[source.name] if source.port else source
        return found

    def embeddings(self) -> dict[str, Linked]:
        """For each node whose stream of tokens begins with token ids, the node that makes features of these."""
        found: dict[str, Linked] = {}
        for name, node in self.nodes.items():
            source = node.stream
            if source is None:
                continue
            if self.port(source).what == "tokens":
                found[name] = node
            elif source.name in found:
                found[name] = found[source.name]
        return found

    def read_by(self, name: str) -> Iterator[str]:
        """What a node waits for: the inputs and nodes whose values it reads, and not parameters alone."""
        for edge in self.nodes[name].inputs.values():
            if not self.port(edge.source).weight:
                yield edge.source.name

    def alive(self) -> frozenset[str]:
        """Inputs and nodes that some output depends on; a parameter of a node alone does not need it to run."""
        found: set[str] = set()
        waiting = [edge.source.name for edge in self.outputs.values()]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                if name in self.nodes:
                    waiting.extend(self.read_by(name))
        return frozenset(found)


# What a call chooses besides its inputs.
CALL_OPTIONS = ("layers", "embed", "sequence", "causal", "grad")


def called(owner: Tree, call: Tree) -> Tree:
    """The settings of another call: those of the node that owns the weights, with the inputs of the call.

    How it calls them stands under `call`, which no node has.
    """
    kept = {key: value for key, value in owner.items() if key != "inputs"}
    places = {key: owner.key_span(key) for key in kept}
    own = {key: value for key, value in call.items() if key == "inputs"}
    options = {key: value for key, value in call.items() if key in CALL_OPTIONS}
    own["call"] = mapping(options, call.span, {key: call.key_span(key) for key in options})
    return mapping({**kept, **own}, call.span, {**places, **{key: call.key_span(key) for key in own}})
