"""From linked nodes to the resolved graph: every size found along the edges, every node decided, every rule checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from .component import Port, What
from .diagnostics import Label, Span
from .dims import Dim, Mismatch, Origin, Solver, Var, show, show_shape
from .ir import Freeze, Generation, Graph, Input, Node, NodeCheckpoint, Parallelism, Passes, Ref
from .link import Edge, Linked, LinkedGraph, stream_root
from .problems import Problems
from .settings import Settings
from .tree import Tree


def resolve(linked: LinkedGraph) -> Graph:
    """Infer and check everything; raises `GraphError` with all that is wrong."""
    problems = Problems()
    solver = Solver()
    for node in linked.nodes.values():
        for setting, written in node.signature.written.items():
            solver.bind(node.signature.sizes[setting], written.value, Origin(written.span))
    for node in linked.nodes.values():
        for port, edge in node.inputs.items():
            _connect(linked, node, port, edge, solver, problems)
        _default_tails(node, solver)
    problems.stop()
    inputs = {name: replace(found, port=_solved(found.port, solver)) for name, found in linked.inputs.items()}
    nodes = _lower(linked, solver, problems)
    problems.stop()
    graph = _graph(linked, inputs, nodes, problems)
    _check_lengths(linked, graph, problems)
    problems.stop()
    return graph


def _port(linked: LinkedGraph, ref: Ref) -> Port:
    return linked.nodes[ref.name].signature.outputs[ref.port] if ref.port else linked.inputs[ref.name].port


def _connect(linked: LinkedGraph, node: Linked, port: str, edge: Edge, solver: Solver, problems: Problems) -> None:
    source, target = _port(linked, edge.source), node.signature.inputs[port]
    if source.vocab is not None and target.vocab is not None:
        try:
            solver.unify(target.vocab, source.vocab)
        except Mismatch as conflict:
            problems.error(
                "vocabulary-mismatch",
                f"`{node.name}` has a vocabulary of {show(conflict.left)} tokens, "
                f"and the embedding it reads has {show(conflict.right)}",
                edge.span,
                labels=_labels(conflict),
                help="write `vocab` once, on the decoder; the embedding takes it from there",
            )
    if source.tail is not None and target.tail is not None:
        solver.unify(target.tail, source.tail)
    if len(source.shape) != len(target.shape):
        return
    for axis, (wanted, given) in enumerate(zip(target.shape, source.shape, strict=True)):
        try:
            solver.unify(wanted, given)
        except Mismatch as conflict:
            _report(_Conflict(node, port, edge, axis, target, source, conflict), solver, problems)
            return


@dataclass(frozen=True, slots=True)
class _Conflict:
    node: Linked
    port: str
    edge: Edge
    axis: int
    target: Port
    source: Port
    sizes: Mismatch


def _report(found: _Conflict, solver: Solver, problems: Problems) -> None:
    what = found.target.what
    where, ref = f"{found.node.name}.{found.port}", found.edge.source
    wanted, given = found.sizes.left, found.sizes.right
    needs, gives = _solved(found.target, solver).shape, _solved(found.source, solver).shape
    words = _AXES.get((what, found.axis), "{} long")
    source = f"`{ref.name}`"
    problems.error(
        "shape-mismatch",
        f"`{where}` takes {what} {words.format(show(wanted))}, {source} gives {show(given)}",
        found.edge.span,
        note=f"{show_shape(gives)}, needs {show_shape(needs)}",
        labels=_labels(found.sizes),
        help=_help(found),
    )


_AXES: Mapping[tuple[What, int], str] = {
    ("features", 0): "of {} rows",
    ("features", 1): "of {} tokens",
    ("features", 2): "{} wide",
    ("image", 1): "of {} channels",
    ("image", 2): "{} pixels high",
    ("image", 3): "{} pixels wide",
    ("tokens", 1): "of {} tokens",
    ("mask", 1): "of {} tokens",
}


def _help(found: _Conflict) -> str:
    target, source = found.node.signature.written, found.sizes
    for setting, written in target.items():
        if source.left_origin and written.span == source.left_origin.span:
            return f"remove `{setting}` and let it be inferred, or set it to {show(source.right)}"
    if source.right_origin and source.left_origin is None:
        return f"set it to {show(source.left)}"
    if source.right_origin:
        return f"remove the size written there and let it be inferred, or set it to {show(source.left)}"
    return "put a projector between the two: `kind: projector, type: linear`"


def _labels(conflict: Mismatch) -> tuple[Label, ...]:
    origins = (conflict.left_origin, conflict.right_origin)
    return tuple(Label(origin.span, origin.text) for origin in origins if origin)


def _default_tails(node: Linked, solver: Solver) -> None:
    """A stream whose wanted tail nobody says is wanted whole."""
    for port in node.signature.inputs.values():
        if port.tail is not None and isinstance(solver.solve(port.tail), Var) and port.what == "features":
            tail = solver.solve(port.tail)
            whole = solver.solve(port.shape[1])
            if tail != whole and isinstance(tail, Var) and tail.key == _key(port.tail):
                solver.unify(tail, whole)


def _key(dim: Dim) -> str:
    return dim.key if isinstance(dim, Var) else ""


def _solved(port: Port, solver: Solver) -> Port:
    return replace(
        port,
        shape=tuple(solver.solve(dim) for dim in port.shape),
        vocab=None if port.vocab is None else solver.solve(port.vocab),
        tail=None if port.tail is None else solver.solve(port.tail),
    )


def _lower(linked: LinkedGraph, solver: Solver, problems: Problems) -> dict[str, Node]:
    lowered: dict[str, Node] = {}
    for name, node in linked.nodes.items():
        sizes = _sizes(node, solver, problems)
        ports = {port: _solved(node.signature.inputs[port], solver) for port in node.inputs}
        if sizes is None:
            continue
        spec = node.component.lower(node.settings, sizes, ports, problems)
        if spec is None:
            continue
        signature = replace(
            node.signature,
            inputs=ports,
            outputs={port: _solved(found, solver) for port, found in node.signature.outputs.items()},
        )
        lowered[name] = Node(
            name=name,
            kind=node.kind,
            type=node.type,
            spec=spec,
            inputs={port: edge.source for port, edge in node.inputs.items()},
            signature=signature,
            tree=node.settings.tree,
            checkpoint=_checkpoint(linked, node),
        )
    return lowered


def _sizes(node: Linked, solver: Solver, problems: Problems) -> dict[str, int] | None:
    sizes: dict[str, int] = {}
    for setting, var in node.signature.sizes.items():
        value = solver.solve(var)
        if isinstance(value, int):
            sizes[setting] = value
        else:
            problems.error(
                "cannot-infer",
                f"nothing says `{setting}` of `{node.name}`: it is not written, and no edge determines it",
                node.span,
                help=f"write `{setting}` here, or on the node at the other end of an edge",
            )
    return sizes if len(sizes) == len(node.signature.sizes) else None


def _checkpoint(linked: LinkedGraph, node: Linked) -> NodeCheckpoint:
    own = node.settings.get("checkpoint", default={})
    whole = Settings(linked.tree).get("checkpoint", default={})
    prefix = (whole.get("prefixes") or {}).get(node.name, f"{node.name}.")
    return NodeCheckpoint(
        prefix=prefix,
        names=own.get("names") or {},
        ignore=tuple(own.get("ignore") or ()),
        aliases=own.get("aliases") or {},
    )


def _graph(linked: LinkedGraph, inputs: dict[str, Input], nodes: dict[str, Node], problems: Problems) -> Graph:
    settings = Settings(linked.tree)
    nodes = _with_embedding_names(linked, nodes)
    _check_checkpoint(settings, nodes, problems)
    mesh, nodes = _parallelism(settings, nodes, problems)
    generation = settings.get("generation", default={})
    eos = generation.get("eos_token_id", ())
    eos = (eos,) if isinstance(eos, int) else eos
    return Graph(
        name=settings.get("name"),
        description=settings.get("description", default=""),
        source=settings.get("source", default=""),
        inputs=inputs,
        nodes=nodes,
        outputs={name: edge.source for name, edge in linked.outputs.items()},
        freeze=_freeze(settings, nodes, problems),
        parallelism=mesh,
        generation=Generation(
            generation.get("bos_token_id"),
            tuple(eos),
            generation.get("pad_token_id"),
        ),
        passes=Passes(**settings.get("passes", default={})),
        aliases=settings.get("checkpoint", "aliases", default={}),
        max_tokens=settings.get("limits", "tokens"),
        tree=linked.tree,
    )


def _with_embedding_names(linked: LinkedGraph, nodes: dict[str, Node]) -> dict[str, Node]:
    """Give a token embedding the reference name that the decoder it feeds has for it, unless it has its own."""
    named = dict(nodes)
    for name, node in nodes.items():
        embed = node.checkpoint.names.get("embed")
        if embed is None:
            continue
        _, first = stream_root(linked.nodes, name)
        if first and not named[first].checkpoint.names:
            checkpoint = NodeCheckpoint(node.checkpoint.prefix, {"": embed})
            named[first] = replace(named[first], checkpoint=checkpoint)
    return named


def _check_checkpoint(settings: Settings, nodes: Mapping[str, Node], problems: Problems) -> None:
    prefixes = settings.get("checkpoint", "prefixes", default={})
    tree = settings.tree.get("checkpoint", "prefixes")
    for name in prefixes:
        if name not in nodes and tree:
            problems.error(
                "unknown-node",
                f"`checkpoint.prefixes` names `{name}`, and there is no such node",
                tree.key_span(name),
                help=f"the nodes are {', '.join(f'`{node}`' for node in nodes)}",
            )


def _freeze(settings: Settings, nodes: Mapping[str, Node], problems: Problems) -> tuple[Freeze, ...]:
    tree = settings.tree.get("freeze")
    if tree is None or tree.value is None:
        return ()
    patterns: list[tuple[str, Span, int | None]] = []
    listed = tree.get("patterns") if tree.is_mapping else tree
    patterns.extend((str(item.value), item.span, None) for item in (listed.elements() if listed else ()))
    schedules = tree.get("schedules")
    for name, value in schedules.items() if schedules else ():
        until = Settings(value).get("until_step")
        patterns = [entry for entry in patterns if entry[0] != name]
        assert schedules is not None
        patterns.append((name, schedules.key_span(name), until))
    found = []
    for pattern, span, until in patterns:
        whole = tuple(name for name in nodes if fnmatchcase(name, pattern))
        single = tuple(
            f"{name}.{parameter.path}"
            for name, node in nodes.items()
            if name not in whole and pattern.startswith(_literal_start(name, pattern))
            for parameter in node.spec.parameters()
            if _matches(f"{name}.{parameter.path}", pattern)
        )
        if not any(nodes[name].parameter_count for name in whole) and not single:
            problems.error(
                "freeze-matches-nothing",
                f"`{pattern}` freezes nothing: no node and no parameter is called so",
                span,
                help=f"the nodes are {', '.join(f'`{node}`' for node in nodes)}; "
                "parameters are written `node.path`, with `*` for any text",
            )
        found.append(Freeze(pattern, whole, single, until))
    return tuple(found)


def _literal_start(name: str, pattern: str) -> str:
    """Nothing to compare where the pattern begins with a wildcard; else the node name it must begin with."""
    head = pattern.split(".", 1)[0]
    return "" if any(sign in head for sign in "*?[") else f"{name}."


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")


def _parallelism(
    settings: Settings, nodes: Mapping[str, Node], problems: Problems
) -> tuple[Parallelism, dict[str, Node]]:
    mesh = settings.get("parallelism", "mesh", default={})
    tree = settings.tree.get("parallelism", "nodes")
    laid = dict(nodes)
    degree = int(mesh.get("tp", 1))
    for name, value in tree.items() if tree else ():
        if name not in nodes:
            problems.error(
                "unknown-node",
                f"`parallelism.nodes` names `{name}`, and there is no such node",
                tree.key_span(name) if tree else value.span,
            )
    for name, node in nodes.items():
        own = Settings(tree.get(name) or Tree(None, tree.span)) if tree else None
        wanted = int(own.get("tp", default=degree) if own else degree)
        span = own.span("tp") if own and own.has("tp") else settings.span("parallelism", "mesh")
        if wanted not in (1, degree):
            problems.error(
                "unsupported-degree",
                f"`{name}` asks for tp {wanted} on a mesh with tp {degree}: a node takes the degree of the mesh, or 1",
                span,
            )
        elif wanted > 1:
            _check_degree(node, wanted, span, problems)
        laid[name] = replace(node, tensor_parallel=wanted, fsdp=not own or own.get("fsdp") != "none")
    return Parallelism(mesh), laid


def _check_degree(node: Node, degree: int, span: Span, problems: Problems) -> None:
    stack = node.spec.stack
    if stack is None:
        return
    for kind in stack.kinds:
        for sublayer in kind.sublayers:
            for name in ("heads", "kv_heads", "hidden"):
                size = getattr(sublayer.op, name, degree)
                if size % degree:
                    problems.error(
                        "degree-not-divisible",
                        f"{size} `{name}` of `{node.name}` do not divide over tp {degree}",
                        span,
                        help=f"use a degree that divides {size}",
                    )
                    return


def _check_lengths(linked: LinkedGraph, graph: Graph, problems: Problems) -> None:
    """Image tokens, with at least one token of text, must fit the longest sequence of the decoder they reach."""
    for name, node in graph.nodes.items():
        limit = getattr(node.spec, "max_tokens", None)
        if limit is None:
            continue
        where, what = node.tree.get("max_tokens"), f"`max_tokens` of `{name}`"
        span = where.span if where else linked.nodes[name].span
        if graph.max_tokens is not None and graph.max_tokens > limit:
            problems.error(
                "limit-beyond-decoder",
                f"`limits.tokens` is {graph.max_tokens}, and `{name}` has positions for {limit}",
                Settings(graph.tree).span("limits", "tokens"),
                labels=(Label(span, "written here"),),
                help=f"lower `limits.tokens` to {limit}, or raise `max_tokens`",
            )
        elif graph.max_tokens is not None:
            limit, what, span = graph.max_tokens, "`limits.tokens`", Settings(graph.tree).span("limits", "tokens")
        images = _image_tokens(graph, name)
        total = sum(count for _, count in images) + 1
        if images and total > limit:
            sums = " + ".join(f"{count} of `{source}`" for source, count in images)
            problems.error(
                "sequence-too-short",
                f"one image does not fit: {sums} + 1 of text = {total} tokens, and {what} is {limit}",
                span,
                note=f"at least {total}",
                help=f"set it to {total} or more, or use fewer tokens an image",
            )


def _image_tokens(graph: Graph, name: str) -> list[tuple[str, int]]:
    """(node, tokens) of every stream of features that joins the text on its way to `name`."""
    found: list[tuple[str, int]] = []
    while name in graph.nodes:
        node = graph.nodes[name]
        for port, ref in node.inputs.items():
            wanted = node.signature.inputs[port]
            if port != node.signature.stream and wanted.what == "features" and isinstance(wanted.shape[1], int):
                found.append((ref.name, wanted.shape[1]))
        stream = node.inputs.get(node.signature.stream)
        if stream is None:
            break
        name = stream.name
    return found
