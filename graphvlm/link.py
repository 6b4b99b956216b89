"""From the schema-valid tree to linked nodes: every reference resolved to a port, an order found, nothing left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .component import Component, Port, Signature, What, component
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
    graph = with_masks(LinkedGraph(tree, inputs, {name: linked[name] for name in order}, outputs))
    _report_unused(graph, problems)
    _report_untied(graph, problems)
    problems.stop()
    return graph


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
    edges = [
        (edge.source.name, node.name) for node in nodes.values() for edge in node.inputs.values() if edge.source.port
    ]
    if all(place[source] < place[target] for source, target in edges):
        return list(
            nodes
        )  # already in order, as most graphs are written: importing networkx takes longer than all else

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


def _report_unused(graph: LinkedGraph, problems: Problems) -> None:
    nodes = graph.nodes
    alive: set[str] = set()
    waiting = [edge.source.name for edge in graph.outputs.values()]
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
    for name, input_ in graph.inputs.items():
        if name not in alive:
            dead_reader = any(edge.source == Ref(name) for node in nodes.values() for edge in node.inputs.values())
            if not dead_reader:
                problems.error(
                    "unused-input",
                    f"nothing reads the input `{name}`",
                    input_.span,
                    help="feed it to a node, or remove it",
                )


def _report_untied(graph: LinkedGraph, problems: Problems) -> None:
    """A tied head takes the weights of a token embedding: its features must be that embedding's, fused at most."""
    for name, node in graph.nodes.items():
        edge = node.inputs.get(node.signature.stream)
        while node.signature.tied and edge:
            source = graph.nodes.get(edge.source.name) if edge.source.port else None
            if source is None or source.signature.outputs[edge.source.port].vocab is None:
                problems.error(
                    "tied-head",
                    f"the head of `{name}` is tied, and `{edge.source}` is no token embedding",
                    node.signature.tied,
                    labels=(Label(edge.span, "the stream leads here"),),
                    help="remove `tied`, or feed the decoder with the embedding of tokens, fused or not",
                )
                break
            edge = source.inputs.get(source.signature.stream)
            if edge and graph.inputs.get(edge.source.name) and graph.inputs[edge.source.name].port.what == "tokens":
                break


def with_masks(graph: LinkedGraph) -> LinkedGraph:
    """Connect every open mask port along the stream of tokens, with an input `attention_mask` at its source."""
    inputs, nodes = dict(graph.inputs), dict(graph.nodes)
    masks = _masks_by_tokens(graph)
    for name, node in graph.nodes.items():
        stream = node.inputs.get(node.signature.stream)
        if "mask" not in node.signature.inputs or "mask" in node.inputs or stream is None:
            continue
        mask = _mask_of(stream.source, inputs, nodes, masks)
        if mask is not None:
            nodes[name] = replace(node, inputs={**node.inputs, "mask": Edge(mask, node.span)})
    return replace(graph, inputs=inputs, nodes=nodes)


def _masks_by_tokens(graph: LinkedGraph) -> dict[str, str]:
    """Input of tokens -> its mask, as far as the graph says so; a mask that nothing reads goes to the first without."""
    masks: dict[str, str] = {}
    for name, node in graph.nodes.items():
        edge = node.inputs.get("mask")
        if edge and not edge.source.port:
            masks.setdefault(stream_root(graph.nodes, name)[0], edge.source.name)
    of_type = {what: [name for name, found in graph.inputs.items() if found.port.what == what] for what in _TEXT}
    free = [name for name in of_type["mask"] if name not in masks.values()]
    open_ = [name for name in of_type["tokens"] if name not in masks]
    return {**masks, **dict(zip(open_, free, strict=False))}


_TEXT: tuple[What, ...] = ("tokens", "mask")


def _mask_of(source: Ref, inputs: dict[str, Input], nodes: Mapping[str, Linked], masks: dict[str, str]) -> Ref | None:
    """The mask that belongs to the tokens at `source`; nodes before it are connected already."""
    cut = False
    while source.port:
        node = nodes[source.name]
        port, stream = node.signature.outputs[source.port], node.inputs.get(node.signature.stream)
        if "mask" in node.signature.outputs and not (cut and port.tail != port.shape[1]):
            return Ref(source.name, "mask") if "mask" in node.inputs else None
        if stream is None:
            return None
        # What a decoder gives may be as long as the tail of what it reads: then it is the mask of that.
        cut = cut or port.shape[1] == node.signature.inputs[node.signature.stream].tail
        source = stream.source
    if inputs[source.name].port.what != "tokens":
        return None
    if source.name not in masks:
        name = "attention_mask" if not masks else f"{source.name}_mask"
        while name in inputs or name in nodes:
            name += "_"
        masks[source.name] = name
        inputs[name] = Input(name, input_port(name, "mask"), inferred=True)
    return Ref(masks[source.name])


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
