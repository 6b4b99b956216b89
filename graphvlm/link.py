"""From the schema-valid tree to linked nodes: every reference resolved to a port, an order found, nothing left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .component import Component, Port, Signature, component
from .diagnostics import Label, Span, did_you_mean
from .dims import Var
from .ir import Input, Ref
from .problems import Problems
from .settings import Settings
from .tree import Tree

# Settings of a node that are the same for every component.
COMMON = frozenset({"kind", "type", "inputs", "description", "source", "checkpoint", "use"})


@dataclass(frozen=True, slots=True)
class Edge:
    """What feeds one port, and where that was written."""

    source: Ref
    span: Span


@dataclass(frozen=True, slots=True)
class Linked:
    """A node whose inputs are known; its sizes are not."""

    name: str
    kind: str
    type: str
    component: Component
    settings: Settings
    signature: Signature
    inputs: Mapping[str, Edge]
    span: Span


@dataclass(frozen=True, slots=True)
class LinkedGraph:
    """Linked nodes in topological order, which keeps the author's order where it can."""

    tree: Tree
    inputs: Mapping[str, Input]
    nodes: Mapping[str, Linked]
    outputs: Mapping[str, Edge]


def link(tree: Tree) -> LinkedGraph:
    """Resolve every reference of a schema-valid tree; raises `GraphError` with all that is wrong."""
    problems = Problems()
    inputs = {name: _input(name, value, tree) for name, value in _entries(tree, "inputs")}
    nodes = {name: _node(name, value, tree) for name, value in _entries(tree, "nodes")}
    for name in nodes.keys() & inputs.keys():
        problems.error(
            "name-clash",
            f"`{name}` is both an input and a node",
            _key_span(tree, "nodes", name),
            labels=(Label(_key_span(tree, "inputs", name), "the input"),),
            help="rename one of them",
        )
    problems.stop()
    linker = _Linker(inputs, nodes, problems)
    linked = {name: replace(node, inputs=linker.edges(node)) for name, node in nodes.items()}
    outputs = {
        name: edge for name, value in _entries(tree, "outputs") if (edge := linker.reference(value, None)) is not None
    }
    problems.stop()
    order = _order(linked, problems)
    _report_unused(tree, inputs, linked, outputs, problems)
    problems.stop()
    return with_masks(LinkedGraph(tree, inputs, {name: linked[name] for name in order}, outputs))


class _Linker:
    def __init__(self, inputs: Mapping[str, Input], nodes: Mapping[str, Linked], problems: Problems) -> None:
        self._inputs, self._nodes, self._problems = inputs, nodes, problems

    def edges(self, node: Linked) -> dict[str, Edge]:
        """Port -> edge of one node, from any of the forms of `inputs`."""
        tree = node.settings.tree.get("inputs")
        ports = node.signature.inputs
        edges: dict[str, Edge] = {}
        if tree is None:
            given: dict[str, Tree] = {}
        elif tree.is_mapping:
            given = dict(tree.items())
        else:
            given = {next(iter(ports)): tree}
        for port, value in given.items():
            if port not in ports:
                self._unknown_port(node, port, tree)
                continue
            edge = self.reference(value, ports[port], f"{node.name}.{port}")
            if edge:
                edges[port] = edge
        missing = [port for port, wanted in ports.items() if port not in given and not wanted.optional]
        if missing:
            self._missing_ports(node, missing, tree)
        return {port: edges[port] for port in ports if port in edges}

    def reference(self, value: Tree, wanted: Port | None, where: str = "") -> Edge | None:
        """The edge that `name` or `node.port` denotes."""
        text = str(value.value)
        name, _, port = text.partition(".")
        if name in self._inputs and not port:
            ref, found = Ref(name), self._inputs[name].port
        elif name in self._nodes:
            outputs = self._nodes[name].signature.outputs
            port = port or next(iter(outputs))
            if port not in outputs:
                self._problems.error(
                    "unknown-port",
                    f"`{name}` has no output `{port}`",
                    value.span,
                    help=did_you_mean(port, outputs) or f"its outputs are {_names(outputs)}",
                )
                return None
            ref, found = Ref(name, port), outputs[port]
        else:
            self._unknown_name(name, value)
            return None
        if wanted and found.what != wanted.what:
            self._wrong_type(value, where, wanted, found, ref)
            return None
        return Edge(ref, value.span)

    def _unknown_name(self, name: str, value: Tree) -> None:
        known = [*self._nodes, *self._inputs]
        self._problems.error(
            "unknown-node",
            f"there is no node or input `{name}`",
            value.span,
            help=did_you_mean(name, known) or f"there are {_names(known)}",
        )

    def _unknown_port(self, node: Linked, port: str, tree: Tree | None) -> None:
        ports = node.signature.inputs
        self._problems.error(
            "unknown-port",
            f"`{node.name}` has no input port `{port}`",
            tree.key_span(port) if tree else node.span,
            help=did_you_mean(port, ports) or f"its inputs are {_names(ports)}",
        )

    def _missing_ports(self, node: Linked, missing: list[str], tree: Tree | None) -> None:
        ports = node.signature.inputs
        form = ", ".join(f"{port}: ..." for port, wanted in ports.items() if not wanted.optional)
        what = "nothing feeds it" if len(ports) == 1 else f"nothing feeds {_names(missing)}"
        self._problems.error(
            "missing-port",
            f"`{node.name}` ({node.kind}/{node.type}) is not complete: {what}",
            tree.span if tree else node.span,
            help=f"write `inputs: {{{form}}}`",
        )

    def _wrong_type(self, value: Tree, where: str, wanted: Port, found: Port, ref: Ref) -> None:
        helps = {
            ("features", "tokens"): "embed the tokens first: `kind: encoder, type: token_embedding`",
            ("features", "image"): "encode the image first: `kind: encoder, type: vit`",
            ("tokens", "features"): "this port takes token ids, an input of type `tokens`",
            ("image", "features"): "this port takes pixels, an input of type `image`",
            ("features", "logits"): f"use the hidden states: `{ref.name}.hidden`",
        }
        self._problems.error(
            "port-type-mismatch",
            f"`{where}` takes {wanted.what}, and `{ref}` gives {found.what}",
            value.span,
            note=f"this is {found.what}",
            help=helps.get((wanted.what, found.what), f"feed it something that gives {wanted.what}"),
        )


def _node(name: str, value: Tree, tree: Tree) -> Linked:
    settings = Settings(value)
    kind, type_ = settings.get("kind"), settings.get("type")
    found = component(kind, type_)
    span = _key_span(tree, "nodes", name)
    return Linked(name, kind, type_, found, settings, found.signature(name, settings), {}, span)


def _input(name: str, value: Tree, tree: Tree) -> Input:
    settings = Settings(value)
    what = settings.get("type") if value.is_mapping else value.value
    if what == "features":
        dim = settings.get("dim", default=Var(f"{name}.dim", "dim", hole=True))
        tokens = settings.get("tokens", default=Var(f"{name}.tokens", "tokens"))
        port = Port("features", (Var(f"{name}.batch", "images"), tokens, dim))
    else:
        port = input_port(name, str(what))
    return Input(name, port, _key_span(tree, "inputs", name))


def input_port(name: str, what: str) -> Port:
    """The port of an input of type `image`, `tokens` or `mask`."""
    batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq")
    if what == "image":
        sizes = (Var(f"{name}.{axis}", axis) for axis in ("channels", "height", "width"))
        return Port("image", (Var(f"{name}.images", "images"), *sizes))
    return Port("tokens" if what == "tokens" else "mask", (batch, seq))


def _order(nodes: Mapping[str, Linked], problems: Problems) -> list[str]:
    """Topological order that keeps the author's; on a cycle, the problem."""
    place = {name: index for index, name in enumerate(nodes)}
    edges = [(edge.source.name, node.name) for node in nodes.values() for edge in node.inputs.values() if edge.source.port]
    if all(place[source] < place[target] for source, target in edges):
        return list(nodes)  # already in order, as most graphs are written: importing networkx takes longer than all else

    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    try:
        return list(nx.lexicographical_topological_sort(graph, key=place.__getitem__))
    except nx.NetworkXUnfeasible:
        for component_ in sorted(nx.strongly_connected_components(graph), key=lambda c: min(map(place.__getitem__, c))):
            if len(component_) > 1 or graph.has_edge(*(next(iter(component_)),) * 2):
                _report_cycle(nodes, nx.find_cycle(graph, min(component_, key=place.__getitem__)), problems)
        problems.stop()
        raise


def _report_cycle(nodes: Mapping[str, Linked], cycle: list[tuple[str, str]], problems: Problems) -> None:
    spans = {(edge.source.name, node.name): edge.span for node in nodes.values() for edge in node.inputs.values()}
    first = cycle[0][0]
    path = " -> ".join([first, *(target for _, target in cycle)])
    problems.error(
        "cycle",
        f"nodes feed each other in a circle: {path}",
        spans[cycle[-1]],
        note="closes the circle",
        labels=tuple(Label(spans[edge], f"`{edge[0]}` feeds `{edge[1]}`") for edge in cycle[:-1]),
        help="cut one of these edges",
    )


def _report_unused(
    tree: Tree,
    inputs: Mapping[str, Input],
    nodes: Mapping[str, Linked],
    outputs: Mapping[str, Edge],
    problems: Problems,
) -> None:
    alive: set[str] = set()
    waiting = [edge.source.name for edge in outputs.values()]
    while waiting:
        name = waiting.pop()
        if name not in alive:
            alive.add(name)
            if name in nodes:
                waiting.extend(edge.source.name for edge in nodes[name].inputs.values())
    for name, node in nodes.items():
        if name not in alive:
            problems.error(
                "dead-node",
                f"no output depends on `{name}`",
                node.span,
                help="feed it to a node that leads to an output, list it under `outputs`, or remove it",
            )
    for name, input_ in inputs.items():
        if name not in alive:
            dead_reader = any(edge.source == Ref(name) for node in nodes.values() for edge in node.inputs.values())
            if not dead_reader:
                problems.error(
                    "unused-input",
                    f"nothing reads the input `{name}`",
                    input_.span,
                    help="feed it to a node, or remove it",
                )


def with_masks(graph: LinkedGraph) -> LinkedGraph:
    """Connect every open mask port along the stream of tokens, with an input `attention_mask` at its source."""
    inputs, nodes = dict(graph.inputs), dict(graph.nodes)

    def mask_of(source: Ref) -> Ref | None:
        """The mask that belongs to the tokens at `source`; nodes before it are connected already."""
        while source.port:
            node = nodes[source.name]
            if "mask" in node.signature.outputs:
                return Ref(source.name, "mask") if "mask" in node.inputs else None
            stream = node.inputs.get(node.signature.stream)
            if stream is None:
                return None
            source = stream.source
        if inputs[source.name].port.what != "tokens":
            return None
        given = next((name for name, found in inputs.items() if found.port.what == "mask"), None)
        if given is None:
            given = next(name for name in ("attention_mask", "input_mask", "mask") if name not in {*nodes, *inputs})
            inputs[given] = Input(given, input_port(given, "mask"), inferred=True)
        return Ref(given)

    for name, node in graph.nodes.items():
        stream = node.inputs.get(node.signature.stream)
        if "mask" not in node.signature.inputs or "mask" in node.inputs or stream is None:
            continue
        mask = mask_of(stream.source)
        if mask is not None:
            nodes[name] = replace(node, inputs={**node.inputs, "mask": Edge(mask, node.span)})
    return replace(graph, inputs=inputs, nodes=nodes)


def stream_root(nodes: Mapping[str, Linked], name: str) -> tuple[str, str]:
    """The graph input where the tokens that `name` works on come from, and the last node before it; or empty names."""
    last = ""
    while name in nodes:
        node = nodes[name]
        edge = node.inputs.get(node.signature.stream)
        if edge is None:
            return "", ""
        last, name = name, edge.source.name
    return name, last


def _entries(tree: Tree, key: str) -> list[tuple[str, Tree]]:
    found = tree.get(key)
    return list(found.items()) if found else []


def _key_span(tree: Tree, section: str, key: str) -> Span:
    found = tree.get(section)
    return found.key_span(key) if found else tree.span


def _names(names: object) -> str:
    quoted = [f"`{name}`" for name in names]  # type: ignore[attr-defined]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + f" and {quoted[-1]}"
