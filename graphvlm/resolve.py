"""From linked nodes to the resolved graph: every size found along the edges, every node decided, every rule checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from . import checks, prompts
from .blocks.parameters import with_counts
from .diagnostics import Label
from .dims import Solver, Written
from .freezing import read_freeze
from .infer import infer, solved
from .ir import Freeze, Generation, Graph, Node, NodeCheckpoint, Parallelism, Passes, Tie
from .linked import Linked, LinkedGraph
from .problems import Problems
from .settings import Settings
from .sharding import read_parallelism
from .spec import Inferred, Port, Spec
from .stage_checks import check_stages
from .vocabulary import split_vocabulary


def resolve(linked: LinkedGraph) -> Graph:
    """Infer and check everything; raises `GraphError` with all that is wrong."""
    problems = Problems()
    checks.check_unused(linked, problems)
    checks.check_calls(linked, problems)
    checks.check_filled(linked, problems)
    solver = infer(linked, problems)
    nodes = _decided(linked, solver, problems)
    mesh, nodes = read_parallelism(linked, nodes, problems)
    nodes = _tied(linked, nodes, problems)
    freeze = (*read_freeze(linked, nodes, problems), *_teachers(nodes))
    checks.check_tied(linked, nodes, problems)
    checks.check_lengths(linked, nodes, solver, problems)
    checks.check_token_ids(linked, nodes, problems)
    checks.check_checkpoint(linked, problems)
    problems.stop()
    graph = _graph(linked, nodes, mesh, freeze, solver)
    check_stages(graph, problems)
    prompts.check(graph, problems)
    problems.stop()
    return graph


def _graph(
    linked: LinkedGraph, nodes: dict[str, Node], mesh: Parallelism, freeze: tuple[Freeze, ...], solver: Solver
) -> Graph:
    settings = Settings(linked.tree)
    graph = Graph(
        name=settings.get("name"),
        description=settings.get("description", default=""),
        source=settings.get("source", default=""),
        inputs={name: replace(found, port=solved(found.port, solver)) for name, found in linked.inputs.items()},
        nodes=_with_embedding_names(linked, nodes),
        outputs={name: edge.source for name, edge in linked.outputs.items()},
        freeze=freeze,
        parallelism=mesh,
        generation=_generation(settings),
        prompt=prompts.read(settings),
        passes=Passes(**settings.get("passes", default={})),
        aliases=settings.get("checkpoint", "aliases", default={}),
        ignored=tuple(settings.get("checkpoint", "ignore", default=())),
        max_tokens=settings.get("limits", "tokens"),
        tree=linked.tree,
    )
    return split_vocabulary(graph)


def _decided(linked: LinkedGraph, solver: Solver, problems: Problems) -> dict[str, Node]:
    """The nodes that can be decided. What is wrong in one that is called again is said once."""
    own = {n: _lower(node, linked, solver, problems) for n, node in linked.nodes.items() if node.source == n}
    found = {}
    for name, linked_node in linked.nodes.items():
        owner = own.get(linked_node.source)
        node = _lower(linked_node, linked, solver, problems) if owner and linked_node.source != name else owner
        if node is None or owner is None:
            continue
        if node.spec != owner.spec and not problems.any:
            problems.error(
                "calls-differ",
                f"`{name}` calls the code of `{owner.name}`, which is made for other inputs: {owner.spec.summary()}",
                linked_node.span,
                note=f"would need {node.spec.summary()}",
                labels=(Label(linked.nodes[owner.name].span, f"made for what `{owner.name}` reads"),),
                help=f"feed `{name}` what `{owner.name}` is fed, or give it a `kind` and `type` of its own",
            )
        found[name] = node
    return found


def _lower(node: Linked, linked: LinkedGraph, solver: Solver, problems: Problems) -> Node | None:
    """The node with everything decided, unless one of its sizes is open or something in it is wrong."""
    sizes = {setting: solver.solve(var) for setting, var in node.signature.sizes.items()}
    known = {setting: size for setting, size in sizes.items() if isinstance(size, int)}
    if len(known) < len(sizes):
        return None
    ports = {port: solved(node.signature.inputs[port], solver) for port in node.inputs}
    elsewhere = {port: solved(found, solver) for port, found in _read_elsewhere(node, linked).items()}
    if _reads_nowhere(node, {*ports, *elsewhere}, problems):
        return None
    inferred = Inferred(node.name, known, ports | elsewhere, _origins(node, solver))
    spec = node.component.lower(node.settings, inferred, problems)
    if spec is None:
        return None
    outputs = {port: solved(found, solver) for port, found in node.signature.outputs.items()}
    return Node(
        name=node.name,
        kind=node.kind,
        type=node.type,
        spec=spec,
        inputs={port: edge.source for port, edge in node.inputs.items()},
        signature=replace(node.signature, inputs=ports, outputs=outputs),
        tree=node.settings.tree,
        checkpoint=_checkpoint(linked, node, spec),
        owner=node.owner,
        grad=not node.follows and bool(node.settings.get("call", "grad", default=True)),
        follows=node.follows,
        decay=node.decay,
    )


def _tied(linked: LinkedGraph, nodes: dict[str, Node], problems: Problems) -> dict[str, Node]:
    """The nodes, some with the weights of others: what these do not have, or in another shape, is noted."""
    found, order = dict(nodes), list(linked.nodes)
    for name, node in nodes.items():
        settings = linked.nodes[name].settings
        to = settings.get("tie", "to")
        if to is None or node.owner or node.follows:
            continue
        other, tie = nodes.get(to), Tie(to, tuple(settings.get("tie", "except", default=[])))
        own = {each.path: each.shape for each in node.spec.parameters() if not tie.keeps(each.path)}
        theirs = {each.path: each.shape for each in other.parameters} if other else {}
        wrong = next((path for path, shape in own.items() if theirs.get(path) != shape), None)
        if to not in order or order.index(to) >= order.index(name) or (other is not None and other.owner):
            why, edit = f"`{to}`, which is no node with weights before it", "name a node that stands before this one"
        elif wrong is not None and other is not None:
            why = f"`{to}`, which has no `{wrong}` of that shape"
            edit = "write its sublayer under `except`, or give both the same settings"
        else:
            found[name] = replace(node, tie=tie)
            continue
        problems.error("bad-tie", f"`{name}` is tied to {why}", settings.span("tie", "to"), help=edit)
    return found


def _teachers(nodes: Mapping[str, Node]) -> Iterator[Freeze]:
    """Teachers learn nothing by gradients."""
    yield from (Freeze(name, (name,), ()) for name, node in nodes.items() if node.follows and not node.owner)


def _read_elsewhere(node: Linked, linked: LinkedGraph) -> dict[str, Port]:
    """The ports that this call reads nothing at, as other calls of the same weights have them."""
    found: dict[str, Port] = {}
    for other in linked.nodes.values() if node.signature.unread else ():
        if other.source == node.source:
            found |= {p: other.signature.inputs[p] for p in node.signature.unread if p in other.inputs}
    return found


def _reads_nowhere(node: Linked, wired: set[str], problems: Problems) -> bool:
    """Whether layers that no call runs read a port; what such a port is, nothing says."""
    port = next((p for p in node.signature.unread if p not in wired and not _is_mask(node, p)), None)
    if port is not None and node.source == node.name:
        problems.error(
            "missing-port",
            f"layers of `{node.name}` read `{port}`, and no call of these weights is fed it",
            node.span,
            note="not fed here",
            help=f"feed it here, or in another call, `module: {node.name}`, or remove what reads it",
        )
    return port is not None


def _is_mask(node: Linked, port: str) -> bool:
    return node.signature.inputs[port].what in ("mask", "visible")


def _origins(node: Linked, solver: Solver) -> dict[str, Written]:
    stream = node.signature.inputs.get(node.signature.stream)
    vocab = {} if stream is None or stream.vocab is None else {"vocab": stream.vocab}
    places = {**vocab, **node.signature.sizes}
    return {name: origin for name, dim in places.items() if (origin := solver.origin(dim)) is not None}


def _checkpoint(linked: LinkedGraph, node: Linked, spec: Spec) -> NodeCheckpoint:
    own = node.settings.get("checkpoint", default={})
    prefixes = Settings(linked.tree).get("checkpoint", "prefixes", default={})
    return NodeCheckpoint(
        starts=_starts(prefixes.get(node.module, f"{node.module}.")),
        names=with_counts(own.get("names") or {}, spec.stack),
        by_head=tuple(own.get("by_head", ())),
        leading=own.get("leading") or {},
        transposed=tuple(own.get("transposed") or ()),
        interleaved=tuple(own.get("interleaved") or ()),
        flat=tuple(own.get("flat") or ()),
        square=tuple(own.get("square") or ()),
        scalars=tuple(own.get("scalars") or ()),
        rows=tuple(own.get("rows") or ()),
        ignore=tuple(own.get("ignore") or ()),
        aliases=own.get("aliases") or {},
    )


def _starts(prefix: Any) -> tuple[tuple[str, str], ...]:
    """Beginnings of names and what they become, longest first; a prefix comes before every name."""
    starts = {"": prefix} if isinstance(prefix, str) else prefix
    return tuple(sorted(starts.items(), key=lambda item: -len(item[0])))


def _with_embedding_names(linked: LinkedGraph, nodes: dict[str, Node]) -> dict[str, Node]:
    """Give a token embedding the reference name that the decoder it feeds has for it, unless it has its own."""
    named, embeddings = dict(nodes), linked.embeddings()
    for name, node in nodes.items():
        reference = node.checkpoint.names.get("embed")
        embedding = embeddings[name].module if name in embeddings else ""
        if reference is not None and embedding and not named[embedding].checkpoint.names:
            extra = node.checkpoint.names.get("embed_extra", reference)
            types = node.checkpoint.names.get("embed_types", f"{reference}_types")
            checkpoint = NodeCheckpoint(node.checkpoint.starts, {"": reference, "extra": extra, "types": types})
            named[embedding] = replace(named[embedding], checkpoint=checkpoint)
    return named


def _generation(settings: Settings) -> Generation:
    ids = settings.get("generation", default={})
    eos = ids.get("eos_token_id", ())
    stops = (eos,) if isinstance(eos, int) else tuple(eos)
    return Generation(ids.get("bos_token_id"), stops, ids.get("pad_token_id"), ids.get("start_token_id"))
