"""From the schema-valid tree to linked nodes: every reference resolved to a port, and an order found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from .axes import AXES
from .blocks.sequence import check_sequence
from .component import component
from .declared import check_ports
from .diagnostics import Label, Span, did_you_mean
from .dims import Var, Written
from .ir import Input, Ref
from .linked import Edge, Linked, LinkedGraph, called
from .masks import mask_port, with_masks
from .problems import Problems
from .settings import Settings
from .spec import Port, What
from .tree import Tree
from .words import WHAT, listed, suggestion


def link(tree: Tree) -> LinkedGraph:
    """Resolve every reference of a schema-valid tree; raises `GraphError` with all that is wrong."""
    problems = Problems()
    inputs = {name: _input(name, value, span) for name, value, span in _entries(tree, "inputs")}
    nodes = _nodes(tree, problems)
    linker = _Linker(inputs, nodes, problems)
    linked = {name: replace(node, inputs=linker.edges(node)) for name, node in nodes.items()}
    outputs = {name: linker.output(name, value) for name, value, _ in _entries(tree, "outputs")}
    problems.stop()
    order = _order(linked, problems)
    found = {name: edge for name, edge in outputs.items() if edge is not None}
    graph = with_masks(LinkedGraph(tree, inputs, {name: linked[name] for name in order}, found), problems)
    problems.stop()
    return graph


class _Linker:
    def __init__(self, inputs: Mapping[str, Input], nodes: Mapping[str, Linked], problems: Problems) -> None:
        self._inputs, self._nodes, self._problems = inputs, nodes, problems

    def edges(self, node: Linked) -> dict[str, Edge]:
        """Port -> edge of one node, from any of the forms of `inputs`."""
        tree = node.settings.tree.get("inputs")
        ports = node.signature.inputs
        given = _given(node, tree)
        edges = {port: self._edge(node, port, value) for port, value in given.items() if port in ports}
        unknown = [port for port in given if port not in ports]
        for port in unknown:
            self._unknown_port(node, port, tree)
        missing = [port for port, wanted in ports.items() if port not in given and not wanted.optional]
        # What was misspelled is not missing as well.
        if missing and not any(did_you_mean(port, missing) for port in unknown):
            self._missing_ports(node, missing, tree)
        return {port: edge for port in ports if (edge := edges.get(port)) is not None}

    def output(self, name: str, value: Tree) -> Edge | None:
        """The edge to an output of the graph."""
        edge = self._reference(value)
        if edge is not None and not edge.source.port:
            reader = next(iter(self._readers(edge.source.name)), "")
            self._problems.error(
                "input-as-output",
                f"the output `{name}` is the input `{edge.source}`, which the caller has already",
                value.span,
                note="an input",
                help=f"return what a node gives, such as `{reader}`, or remove this output"
                if reader
                else "return what a node gives, or remove this output",
            )
            return None
        return edge

    def _edge(self, node: Linked, port: str, value: Tree) -> Edge | None:
        wanted = node.signature.inputs[port]
        edge = self._reference(value, wanted)
        if edge is not None and self._port(edge.source).what != wanted.what:
            self._wrong_type(node, port, edge)
            return None
        return edge

    def _port(self, ref: Ref) -> Port:
        return self._nodes[ref.name].signature.outputs[ref.port] if ref.port else self._inputs[ref.name].port

    def _reference(self, value: Tree, wanted: Port | None = None) -> Edge | None:
        """The edge that `name` or `node.port` denotes."""
        name, _, port = str(value.value).partition(".")
        if name in self._nodes:
            outputs = self._nodes[name].signature.outputs
            port = port or next(iter(outputs))
            if port in outputs:
                return Edge(Ref(name, port), value.span)
            self._unknown_output(self._nodes[name], port, value)
        elif name not in self._inputs:
            self._unknown_name(name, value, wanted)
        elif not port:
            return Edge(Ref(name), value.span)
        else:
            message = f"`{name}` is an input of the graph, and has no port `{port}`"
            self._problems.error("unknown-port", message, value.span, help=f"write `{name}`")
        return None

    def _unknown_name(self, name: str, value: Tree, wanted: Port | None) -> None:
        edit = suggestion(name, [*self._nodes, *self._inputs], "name")
        if wanted is not None and wanted.what == "mask":
            edit = f"leave `mask` out, for masks are connected by themselves, or add the input `{name}: mask`"
        self._problems.error("unknown-node", f"there is no node or input `{name}`", value.span, help=edit)

    def _unknown_output(self, node: Linked, port: str, value: Tree) -> None:
        outputs = node.signature.outputs
        absent = node.signature.absent.get(port)
        self._problems.error(
            "unknown-port",
            f"`{node.name}` has no output `{port}`",
            value.span,
            labels=(absent,) if absent else (),
            help=f"remove what leaves it out, or write `{node.name}.{next(iter(outputs))}`"
            if absent
            else suggestion(port, outputs, "output"),
        )

    def _unknown_port(self, node: Linked, port: str, tree: Tree | None) -> None:
        span = tree.key_span(port) if tree else node.span
        edit = suggestion(port, node.signature.inputs, "input port")
        self._problems.error("unknown-port", f"`{node.name}` has no input port `{port}`", span, help=edit)

    def _missing_ports(self, node: Linked, missing: list[str], tree: Tree | None) -> None:
        ports = node.signature.inputs
        given = _given(node, tree)
        form = ", ".join(
            f"{port}: {given[port].value if port in given else '...'}"
            for port, wanted in ports.items()
            if port in given or not wanted.optional
        )
        self._problems.error(
            "missing-port",
            f"`{node.name}` ({node.kind}/{node.type}) is not complete: nothing feeds {listed(missing)}",
            tree.span if tree else node.span,
            note=f"only `{next(iter(given))}` is fed" if len(given) == 1 else "",
            help=f"write `inputs: {{{form}}}`",
        )

    def _wrong_type(self, node: Linked, port: str, edge: Edge) -> None:
        wanted, found, ref = node.signature.inputs[port].what, self._port(edge.source).what, edge.source
        source = self._inputs.get(ref.name)
        is_default = source is not None or ref.port == next(iter(self._nodes[ref.name].signature.outputs))
        labels = (Label(source.span, WHAT[found]),) if source and source.span else ()
        self._problems.error(
            "port-type-mismatch",
            f"`{node.name}.{port}` takes {WHAT[wanted]}, and `{ref.name if is_default else ref}` gives {WHAT[found]}",
            edge.span,
            note=f"gives {WHAT[found]}",
            labels=labels,
            help=self._instead(wanted, found, ref, node.name),
        )

    def _instead(self, wanted: str, found: str, ref: Ref, reader: str) -> str:
        """What to feed to a port of another type."""
        made = [name for name in self._readers(ref.name) if self._gives(name, wanted) and name != reader]
        if made:
            return f"feed it {listed(made, 'or')}, made from `{ref.name}`"
        if wanted == "features" and found == "tokens":
            return "embed the token ids first: `kind: encoder, type: token_embedding`"
        if wanted == "features" and found == "image":
            return "encode the images first: `kind: encoder, type: vit`"
        if wanted == "features" and found == "logits":
            return f"feed it the hidden states, `{ref.name}.hidden`"
        fitting = [name for name, given in self._inputs.items() if given.port.what == wanted]
        return f"feed it {listed(fitting, 'or')}" if fitting else f"add an input of type `{wanted}` and feed it that"

    def _gives(self, name: str, what: str) -> bool:
        return next(iter(self._nodes[name].signature.outputs.values())).what == what

    def _readers(self, name: str) -> Iterator[str]:
        """The nodes that read this input or node, as far as it is written plainly."""
        for node in self._nodes.values():
            given = _given(node, node.settings.tree.get("inputs"))
            if any(value.value == name for value in given.values()):
                yield node.name


def _given(node: Linked, tree: Tree | None) -> dict[str, Tree]:
    """Port -> reference, from any of the forms of `inputs`."""
    if tree is None:
        return {}
    return dict(tree.items()) if tree.is_mapping else {next(iter(node.signature.inputs)): tree}


def _nodes(tree: Tree, problems: Problems) -> dict[str, Linked]:
    """Every node; another call with the settings of the node whose weights it calls."""
    written = {name: value for name, value, _ in _entries(tree, "nodes")}
    found = {}
    for name, value, span in _entries(tree, "nodes"):
        module = _module_of(value)
        called_name = "" if module is None else str(module.value)
        teacher = value.get("module", "ema") is not None
        if module is None:
            if check_ports(name, value, problems):
                found[name] = _node(name, value, span)
        elif not _has_weights(written.get(called_name), teacher=teacher):
            _bad_module(name, module, written, problems)
        else:
            above = _module_of(written[called_name])
            follows = called_name if teacher else "" if above is None else str(above.value)
            if not _has_weights(written.get(follows or called_name), teacher=True):
                continue  # which is said of the teacher
            settings = called(written[follows or called_name], value)
            owner = "" if teacher else called_name
            decay = Settings(value).get("module", "decay", default=DECAY) if teacher else 0.0
            found[name] = _node(name, settings, span, owner=owner, follows=follows, decay=float(decay))
            _check_grad(name, value, follows, problems)
    for name, node in found.items():
        check_sequence(name, node.settings, written[name].get("sequence"), problems)
    problems.stop()
    return found


# How much of its weights a teacher keeps in a step, unless written.
DECAY = 0.995


def _module_of(node: Tree) -> Tree | None:
    """The name of the node that a call names, or that a teacher follows."""
    return node.get("module", "ema") or node.get("module")


def _has_weights(node: Tree | None, *, teacher: bool) -> bool:
    """Whether a node has weights to be called: its own, or (not to be followed) those of a teacher."""
    if node is None:
        return False
    return node.get("module") is None or (node.get("module", "ema") is not None and not teacher)


def _check_grad(name: str, call: Tree, follows: str, problems: Problems) -> None:
    grad = call.get("grad")
    if follows and grad is not None:
        problems.error(
            "unread-setting",
            f"`grad` of `{name}`: no gradient goes back through a teacher, which follows `{follows}`",
            grad.span,
            help="remove `grad`",
        )


def _node(name: str, value: Tree, span: Span, *, owner: str = "", follows: str = "", decay: float = 0.0) -> Linked:
    settings = Settings(value)
    kind, type_ = settings.get("kind"), settings.get("type")
    found = component(kind, type_)
    signature = found.signature(name, settings)
    if owner or follows:
        written = {var: replace(size, owner=owner or follows) for var, size in signature.written.items()}
        signature = replace(signature, written=written)
    return Linked(name, kind, type_, found, settings, signature, {}, span, owner, follows, decay)


def _bad_module(name: str, module: Tree, nodes: Mapping[str, Tree], problems: Problems) -> None:
    owner = str(module.value)
    if owner not in nodes:
        own = [other for other, value in nodes.items() if value.get("module") is None]
        problems.error("unknown-node", f"there is no node `{owner}`", module.span, help=suggestion(owner, own, "name"))
        return
    first, seen = owner, {name}
    while (above := _module_of(nodes[first])) is not None and first not in seen and str(above.value) in nodes:
        seen.add(first)
        first = str(above.value)
    itself = f"`{name}` calls itself" if owner == name else f"`{name}` calls `{owner}`, which only calls another node"
    problems.error(
        "call-of-call",
        f"{itself}: no weights are there",
        module.span,
        labels=() if owner == name else (Label(nodes[owner].span, f"`{owner}`"),),
        help=f"write `module: {first}`, the node that has the weights"
        if nodes[first].get("module") is None
        else "write the name of a node with `kind` and `type`",
    )


def _input(name: str, value: Tree, span: Span) -> Input:
    settings = Settings(value)
    what: What = settings.get("type") if value.is_mapping else value.plain()
    if what == "mask":
        return Input(name, mask_port(name), span)
    if what == "tokens":
        sizes = (Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True))
        return Input(name, Port("tokens", sizes), span)
    open_ = {axis: Var(f"{name}.{axis}", axis, hole=axis == "dim") for axis in AXES[what] if isinstance(axis, str)}
    port = Port(what, tuple(open_[axis] if isinstance(axis, str) else axis for axis in AXES[what]))
    return Input(name, port, span, written=dict(_written(name, settings, open_)) if value.is_mapping else {})


def _written(name: str, settings: Settings, open_: Mapping[str, Var]) -> Iterator[tuple[Var, Written]]:
    """The sizes that were written for an input."""
    for axis, var in open_.items():
        setting = "size" if axis in ("height", "width") else axis
        value = settings.get(setting)
        if value is not None:
            number = value[axis == "width"] if isinstance(value, list) else value
            yield var, Written(int(number), settings.span(setting), name, setting)


def _order(nodes: Mapping[str, Linked], problems: Problems) -> list[str]:
    """Topological order that keeps the author's; on a cycle, the problem."""
    place = {name: index for index, name in enumerate(nodes)}
    edges = [(edge.source.name, node.name) for node in nodes.values() for edge in node.inputs.values()]
    edges = [(source, target) for source, target in edges if source in nodes]
    if all(place[source] < place[target] for source, target in edges):
        return list(nodes)  # as most graphs are written; importing networkx takes longer than all else here

    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    try:
        return list(nx.lexicographical_topological_sort(graph, key=place.__getitem__))
    except nx.NetworkXUnfeasible:
        for circle in sorted(nx.strongly_connected_components(graph), key=lambda c: min(map(place.__getitem__, c))):
            if len(circle) > 1 or graph.has_edge(*(next(iter(circle)),) * 2):
                inside = nx.DiGraph([(source, target) for source, target in edges if {source, target} <= circle])
                cycle = nx.find_cycle(inside, min(circle, key=place.__getitem__))
                _report_cycle(nodes, list(cycle), problems)
        problems.stop()
        raise


def _report_cycle(nodes: Mapping[str, Linked], cycle: list[tuple[str, str]], problems: Problems) -> None:
    spans = {(edge.source.name, node.name): edge.span for node in nodes.values() for edge in node.inputs.values()}
    names = [cycle[0][0], *(target for _, target in cycle)]
    short = names if len(names) <= _LONGEST else [*names[: _LONGEST - 2], "...", names[-1]]
    problems.error(
        "cycle",
        f"nodes feed each other in a circle: {' -> '.join(short)}",
        spans[cycle[-1]],
        note="closes the circle",
        labels=tuple(Label(spans[edge], f"`{edge[0]}` feeds `{edge[1]}`") for edge in cycle[:-1][:_LONGEST]),
        help=f"feed {' or '.join(f'`{name}`' for name in names[:-1][:3])} from somewhere else",
    )


_LONGEST = 8


def _entries(tree: Tree, key: str) -> list[tuple[str, Tree, Span]]:
    found = tree.get(key)
    return [(name, value, found.key_span(name)) for name, value in found.items()] if found else []
