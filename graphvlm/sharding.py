"""How the nodes are laid over the device mesh, and whether their sizes divide by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd
from typing import Literal

from .blocks.parse_attention import divisors
from .blocks.settings import Attention, Delta, Mlp, Op
from .diagnostics import Label
from .ir import Graph, Node, Parallelism
from .linked import LinkedGraph
from .problems import Problems
from .settings import Settings
from .words import suggestion

Way = Literal["column", "row", "heads"]


def splits(node: Node) -> dict[str, Way]:
    """How each module that tensor parallelism splits is split, in the order of the code; `*` is the index of a layer.

    By columns, a rank holds some of the outputs of a matrix; by rows, some of its inputs, and results are added up. The
    norm of `heads` sees those of its rank, so gradients of its weight are added up.
    """
    if node.tensor_parallel == 1:
        return {}
    found: dict[str, Way] = {}
    for kind in node.spec.stack.kinds if node.spec.stack else ():
        for sublayer in kind.sublayers:
            found.update({f"layers.*.{sublayer.name}.{path}": way for path, way in _split(sublayer.op).items()})
    head = getattr(node.spec, "head", None)
    if head is not None and not head.tied and not head.own:
        found["head"] = "column"
    return found | getattr(node.spec, "split", {})


def _split(op: Op) -> dict[str, Way]:
    """The modules of an operation that are split."""
    if isinstance(op, Attention):
        norms: dict[str, Way] = {}
        if op.qk_norm and (op.qk_norm.weight or op.qk_norm.bias):
            norms = {"q_norm": "heads", "k_norm": "heads"}
        gate: dict[str, Way] = {"wg": "column"} if op.gated else {}
        return {"wq": "column", "wk": "column", "wv": "column", **gate, "wo": "row", **norms}
    if isinstance(op, Mlp) and op.gated:
        return {"gate": "column", "up": "column", "down": "row"}
    return {"up": "column", "down": "row"}


def fsdp_unit(node: Node, path: str) -> str:
    """The module that FSDP gathers a parameter of a node with: a layer, the head, else the rest of the node."""
    first, _, rest = path.partition(".")
    if node.fsdp and first == "layers":
        return f"{node.name}.layers.{rest.partition('.')[0]}"
    return f"{node.name}.head" if first == "head" else node.name


def tied_tables(graph: Graph) -> frozenset[str]:
    """Token embeddings whose weight a head multiplies with."""
    heads = {node.name: getattr(node.spec, "head", None) for node in graph.nodes.values()}
    return frozenset(graph.embedding(name) for name, head in heads.items() if head is not None and head.tied)


def read_parallelism(
    linked: LinkedGraph, nodes: Mapping[str, Node], problems: Problems
) -> tuple[Parallelism, dict[str, Node]]:
    """The mesh, and the nodes with their degrees. `nodes` are those that could be decided."""
    settings = Settings(linked.tree)
    mesh = settings.get("parallelism", "mesh", default={})
    tree = settings.tree.get("parallelism", "nodes")
    for name, _ in tree.items() if tree else ():
        if name not in linked.nodes and tree is not None:
            message = f"`parallelism.nodes` names `{name}`, and there is no such node"
            problems.error("unknown-node", message, tree.key_span(name), help=suggestion(name, linked.nodes, "node"))
        elif tree is not None and (owner := linked.nodes[name].owner):
            message = f"how the weights of `{name}` are split belongs to `{owner}`, which owns them"
            label = (Label(linked.nodes[name].span, f"only calls `{owner}`"),)
            edit = f"write it for `{owner}`"
            problems.error("structure-in-call", message, tree.key_span(name), labels=label, help=edit)
    laid = {}
    for name, node in nodes.items():
        own = tree.get(name) if tree else None
        if not node.owner:
            laid[name] = _laid(node, int(mesh.get("tp", 1)), settings, Settings(own) if own else None, problems)
    return Parallelism(mesh), {name: _as_owner(node, laid) for name, node in nodes.items()}


def _as_owner(node: Node, laid: Mapping[str, Node]) -> Node:
    """A node with the degrees of the weights that it calls."""
    owner = laid[node.module]
    return replace(node, tensor_parallel=owner.tensor_parallel, fsdp=owner.fsdp, spread=owner.spread)


def _laid(node: Node, degree: int, settings: Settings, own: Settings | None, problems: Problems) -> Node:
    written = own is not None and own.has("tp")
    spread = own is not None and own.get("images") == "shard"
    wanted = int(own.get("tp")) if own is not None and written else 1 if spread else degree
    mesh = settings.labels("parallelism", "mesh", "tp", text=f"the mesh has {degree}")
    place = own.span("tp") if own is not None and written else settings.span("parallelism", "mesh", "tp")
    if wanted not in (1, degree):
        problems.error(
            "unsupported-degree",
            f"`{node.name}` asks for tp {wanted} on a mesh with tp {degree}: a node takes the degree of the mesh, or 1",
            place,
            labels=mesh or settings.labels("parallelism", "mesh", text="no `tp`: it is 1"),
            help=f"write `tp: {degree}` or `tp: 1`, or give the mesh `tp: {wanted}`"
            if degree > 1
            else f"remove it, or give the mesh `tp: {wanted}`",
        )
    elif wanted > 1 and (whole := _unsplit(node)):
        problems.error(
            "not-split",
            f"`{node.name}` has {whole}, which tensor parallelism does not split",
            place,
            note=f"tp {wanted}",
            help=f"write `{node.name}: {{tp: 1}}` under `parallelism.nodes`",
        )
    elif wanted > 1:
        _check_degree(node, wanted, Label(place, f"tp {wanted}"), problems)
    if spread and own is not None:
        _check_spread(node, degree, wanted, own, problems)
    return replace(node, tensor_parallel=wanted, fsdp=own is None or own.get("fsdp") != "none", spread=spread)


def _check_spread(node: Node, degree: int, wanted: int, own: Settings, problems: Problems) -> None:
    """Different images for the ranks of `tp` need such ranks, a whole node on each, and images to choose from."""
    wired = [port for name, port in node.signature.inputs.items() if name in node.inputs]
    first = {port.shape[0] for port in (*wired, *node.signature.outputs.values())}
    why, edit = "", "remove `images`"
    if degree == 1:
        why = "the mesh has no `tp` above 1: each rank encodes the images of its samples"
    elif wanted > 1:
        why, edit = f"its ranks hold parts of it (tp {wanted}), and all of them see every image", "write `tp: 1`"
    elif len(first) > 1 or len(node.signature.outputs) > 1 or isinstance(next(iter(first)), int):
        why = "what goes in and comes out has no common first axis of images"
    if why:
        message = f"the images of `{node.name}` cannot be shared out over `tp`: {why}"
        problems.error("images-not-shared", message, own.span("images"), help=edit)


def _unsplit(node: Node) -> str:
    """What in a node has no way to be split over devices; empty if all of it has."""
    stack = node.spec.stack
    if stack and stack.parted:
        return "sublayers of one segment, or weights by segment"
    if getattr(node.spec, "relative", None):
        return "relative positions"
    ops = [sublayer.op for kind in stack.kinds for sublayer in kind.sublayers] if stack else []
    return next(filter(None, map(_unsplit_op, ops)), "")


def _unsplit_op(op: Op) -> str:
    if isinstance(op, Mlp):
        return "a mixture of experts" if op.moe else ""
    if isinstance(op, Delta):
        return "linear attention"
    if op.latent:
        return "latent attention"
    if op.qk_norm and not op.norm_heads:
        return "a norm over all heads together"
    if op.relative:
        return "relative positions"
    return "attention sinks" if op.sinks else ""


def _check_degree(node: Node, degree: int, place: Label, problems: Problems) -> None:
    """Every rank holds whole heads, and as many hidden numbers as the others."""
    sizes = _sizes(node)
    uneven = {name: size for name, size in sizes.items() if size % degree}
    if not uneven:
        return
    either = " or ".join(map(str, divisors(gcd(*sizes.values()))))
    named = " and ".join(f"{size} `{name}`" for name, size in uneven.items())
    tree = Settings(node.tree)
    problems.error(
        "degree-not-divisible",
        f"{named} of `{node.name}` cannot be split evenly over tp {degree}",
        place.span,
        note=place.text,
        labels=tuple(
            label
            for name in uneven
            for label in tree.labels(*_PATHS.get(name, (name,)), text=f"{sizes[name]} / {degree} is not whole")
        ),
        help=f"use a tp of {either}, or write `{node.name}: {{tp: 1}}` under `parallelism.nodes`",
    )


_PATHS = {"heads": ("attention", "heads"), "kv_heads": ("attention", "kv_heads"), "hidden": ("mlp", "hidden")}


def _sizes(node: Node) -> dict[str, int]:
    """The sizes that are split; of layers that differ, what divides all of them."""
    stack = node.spec.stack
    if stack is None:
        hidden = getattr(node.spec, "hidden", None)
        return {} if hidden is None else {"hidden": int(hidden)}
    found: dict[str, int] = {}
    for kind in stack.kinds:
        for sublayer in kind.sublayers:
            for name in _PATHS:
                size = getattr(sublayer.op, name, None)
                if size is not None:
                    found[name] = gcd(found.get(name, 0), size)
    return found
