"""How the nodes are laid over the device mesh, and whether their sizes divide by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import gcd

from .blocks.parse_attention import divisors
from .blocks.settings import Attention, Mlp
from .blocks.settings_linear import Fading
from .contexts import check_axes, shared, with_context
from .diagnostics import Label
from .ir import Graph, Node, Parallelism
from .linked import LinkedGraph
from .problems import Problems
from .settings import Settings
from .splits import conflict, is_routed, with_own_gates
from .splits import laid as laid_op
from .words import suggestion


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
        elif tree is not None and (owner := linked.nodes[name].source) != name:
            follows = bool(linked.nodes[name].follows)
            what = "it follows" if follows else "owns them"
            message = f"how the weights of `{name}` are split belongs to `{owner}`, which {what}"
            label = (Label(linked.nodes[name].span, f"{'follows' if follows else 'only calls'} `{owner}`"),)
            edit = f"write it for `{owner}`"
            problems.error("structure-in-call", message, tree.key_span(name), labels=label, help=edit)
    laid: dict[str, Node] = {}
    check_axes(mesh, settings, problems)
    _check_experts(nodes, mesh, settings, problems)
    for name, node in nodes.items():
        own = tree.get(name) if tree else None
        if node.source == name:
            of_node = Settings(own) if own else None
            laid[name] = _laid(node, int(mesh.get("tp", 1)), settings, of_node, problems)
            laid[name] = with_context(laid[name], int(mesh.get("cp", 1)), settings, of_node, problems)
            if int(mesh.get("ep", 1)) > 1 and experts_of(node):
                laid[name] = replace(laid[name], expert_parallel=int(mesh["ep"]))
    return Parallelism(mesh), {name: _as_owner(node, laid) for name, node in nodes.items()}


def _as_owner(node: Node, laid: Mapping[str, Node]) -> Node:
    """A node with the degrees of the weights that it calls."""
    owner, stack = laid[node.source], node.spec.stack
    tp, ep = owner.tensor_parallel, owner.expert_parallel
    if stack is not None and max(tp, ep) > 1:
        stack = stack.map_ops(partial(laid_op, split=tp > 1, spread=ep > 1))
    if stack is not None and owner.sequence:
        stack = with_own_gates(stack)
    if stack is not None and owner.context > 1:
        stack = stack.map_ops(shared)
    if stack is not None and stack is not node.spec.stack:
        node = replace(node, spec=node.spec.with_stack(stack))
    node = replace(node, tensor_parallel=tp, expert_parallel=ep, context=owner.context, sequence=owner.sequence)
    node = replace(node, stage=owner.stage, stages=owner.stages)
    return replace(node, fsdp=owner.fsdp, groups=owner.groups, recompute=owner.recompute)


def _laid(node: Node, degree: int, settings: Settings, own: Settings | None, problems: Problems) -> Node:
    written = own is not None and own.has("tp")
    spread = own is not None and own.get("images") == "shard"
    wanted = int(own.get("tp")) if own is not None and written else 1 if spread else degree
    mesh = settings.labels("parallelism", "mesh", "tp", text=f"the mesh has {degree}")
    place = own.span("tp") if own is not None and written else settings.span("parallelism", "mesh", "tp")
    if degree % wanted:
        problems.error(
            "unsupported-degree",
            f"`{node.name}` asks for tp {wanted} on a mesh with tp {degree}: a node takes what divides that",
            place,
            labels=mesh or settings.labels("parallelism", "mesh", text="no `tp`: it is 1"),
            help=f"write a `tp` of {' or '.join(map(str, divisors(degree)))}, or give the mesh `tp: {wanted}`"
            if degree > 1
            else f"remove it, or give the mesh `tp: {wanted}`",
        )
    elif wanted > 1 and (whole := _unsplit(node, wanted)):
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
    sequence = own is not None and bool(own.get("sequence", default=False))
    if sequence and own is not None:
        _check_tokens(node, wanted, own, problems)
    fsdp = own is None or own.get("fsdp") != "none"
    recompute = own is not None and own.get("recompute") == "block"
    node = replace(node, tensor_parallel=wanted, fsdp=fsdp, groups=degree // wanted if spread else 1)
    stages = own.get("stages", default="auto") if own is not None else "auto"
    return replace(
        node,
        sequence=sequence,
        recompute=recompute,
        stage=own.get("stage") if own is not None else None,
        stages=() if stages == "auto" else tuple(map(int, stages)),
    )


def _check_tokens(node: Node, degree: int, own: Settings, problems: Problems) -> None:
    """Ranks can share the tokens between sublayers where all that happens there is done to each by itself."""
    stack = node.spec.stack
    sublayers = [sublayer for kind in stack.kinds for sublayer in kind.sublayers] if stack else []
    why, edit = "", "remove `sequence`"
    if degree == 1:
        why, edit = "its ranks hold no parts of it", "remove `sequence`, or give the node a `tp` above 1"
    elif node.kind != "decoder" or stack is None:
        why = "only decoders can so far"
    elif stack.handed:
        why = "its layers hand on which keys an indexer has chosen, each for all tokens"
    elif any(cross.own for cross in stack.crossed):
        why = "its tokens are among the keys of attention over a port"
    elif any(sublayer.scope and not isinstance(sublayer.op, Mlp) for sublayer in sublayers):
        why = "the tokens of one segment alone attend to something"
    if why:
        message = f"ranks of `tp` cannot share the tokens of `{node.name}`: {why}"
        problems.error("tokens-not-shared", message, own.span("sequence"), help=edit)


def experts_of(node: Node) -> tuple[int, ...]:
    """How many experts there are in each mixture of a node whose tokens choose."""
    kinds = node.spec.stack.kinds if node.spec.stack else ()
    ops = (sublayer.op for kind in kinds for sublayer in kind.sublayers)
    return tuple(op.moe.experts for op in ops if isinstance(op, Mlp) and op.moe and is_routed(op))


def _check_experts(nodes: Mapping[str, Node], mesh: Mapping[str, int], settings: Settings, problems: Problems) -> None:
    """Experts on different ranks need experts that tokens choose, as many on each, and axes in order."""
    degree = int(mesh.get("ep", 1))
    if degree == 1:
        return
    place, axes = settings.span("parallelism", "mesh", "ep"), [axis for axis in mesh if axis in ("dp", "ep", "tp")]
    mixtures = {name: experts_of(node) for name, node in nodes.items() if not node.owner and experts_of(node)}
    why = edit = ""
    if not mixtures:
        why, edit = "no node has experts that tokens choose", "remove `ep`"
    elif axes != sorted(axes) or "dp" not in axes:
        why = "`dp`, over which all other weights are sharded too, stands before it, and `tp` behind it"
        edit = f"write `{{dp: {mesh.get('dp', 1)}, ep: {degree}" + (f", tp: {mesh['tp']}}}`" if "tp" in mesh else "}`")
    elif spread := next(
        (name for name in nodes if settings.get("parallelism", "nodes", name, "images") == "shard"), ""
    ):
        why, edit = f"`{spread}` shares its images out, which goes with `dp` and `tp` alone", "remove one of them"
    elif narrow := next((name for name in mixtures if 1 < _own_degree(settings, name, mesh) < int(mesh["tp"])), ""):
        why, edit = f"`{narrow}` is split over fewer ranks than the mesh has", f"give it `tp: {mesh['tp']}`, or 1"
    if why:
        message = f"experts cannot lie on different ranks of `ep`: {why}"
        problems.error("experts-not-spread", message, place, help=edit)
    for name, counts in mixtures.items():
        if uneven := [count for count in counts if count % degree]:
            problems.error(
                "degree-not-divisible",
                f"{uneven[0]} experts of `{name}` cannot be spread evenly over ep {degree}",
                place,
                help=f"use an ep of {' or '.join(map(str, divisors(gcd(*counts))))}",
            )


def _own_degree(settings: Settings, name: str, mesh: Mapping[str, int]) -> int:
    return int(settings.get("parallelism", "nodes", name, "tp", default=mesh.get("tp", 1)))


def _check_spread(node: Node, degree: int, wanted: int, own: Settings, problems: Problems) -> None:
    """Different images for groups of ranks need such groups, each with a whole node, and images to choose from."""
    wired = [port for name, port in node.signature.inputs.items() if name in node.inputs]
    first = {port.shape[0] for port in (*wired, *node.signature.outputs.values())}
    why, edit = "", "remove `images`"
    if degree == 1:
        why = "the mesh has no `tp` above 1: each rank encodes the images of its samples"
    elif wanted == degree:
        why, edit = f"its ranks hold parts of it (tp {wanted}), and all of them see every image", "write `tp: 1`"
    elif len(first) > 1 or len(node.signature.outputs) > 1 or isinstance(next(iter(first)), int):
        why = "what goes in and comes out has no common first axis of images"
    if why:
        message = f"the images of `{node.name}` cannot be shared out over `tp`: {why}"
        problems.error("images-not-shared", message, own.span("images"), help=edit)


def _unsplit(node: Node, degree: int) -> str:
    """What in a node has no way to be split over devices; empty if all of it has."""
    stack = node.spec.stack
    if stack is None:
        return ""
    for op in (sublayer.op for kind in stack.kinds for sublayer in kind.sublayers):
        if isinstance(op, Attention) and op.kv_heads % degree and op.qk_norm and not op.norm_heads:
            return f"a norm over all heads together, of which there are fewer of keys than tp {degree}"
    path = conflict(stack, degree)
    return f"layers that differ in how `{path}` is split" if path else ""


def _check_degree(node: Node, degree: int, place: Label, problems: Problems) -> None:
    """Every rank holds whole heads, and as many hidden numbers as the others; or several share a head of keys."""
    sizes = _sizes(node)
    uneven = {name: size for name, size in sizes.items() if size % degree and not _repeated(name, size, degree)}
    if not uneven:
        return
    either = " or ".join(
        str(ranks)
        for ranks in divisors(sizes.get("heads") or gcd(*sizes.values()))
        if all(size % ranks == 0 or _repeated(name, size, ranks) for name, size in sizes.items())
    )
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


def _repeated(name: str, size: int, degree: int) -> bool:
    """Whether there are fewer heads of keys than ranks, and equally many ranks share each."""
    return name == "kv_heads" and size < degree and degree % size == 0


_PATHS = {
    "heads": ("attention", "heads"),
    "kv_heads": ("attention", "kv_heads"),
    "key_heads": ("attention", "linear", "key_heads"),
    "value_heads": ("attention", "linear", "value_heads"),
    "hidden": ("mlp", "hidden"),
    "shared": ("mlp", "moe", "shared"),
}


def _sizes(node: Node) -> dict[str, int]:
    """The sizes that are split; of layers that differ, what divides all of them."""
    stack = node.spec.stack
    if stack is None:
        hidden = getattr(node.spec, "hidden", None)
        return {} if hidden is None else {"hidden": int(hidden)}
    found: dict[str, int] = {}
    for op in (sublayer.op for kind in stack.kinds for sublayer in kind.sublayers):
        own = {name: getattr(op, name, None) for name in _PATHS}
        if isinstance(op, Mlp) and op.moe:
            own["shared"] = op.moe.shared
        if isinstance(op, Attention) and op.latent:
            own["kv_heads"] = None
        if isinstance(op, Fading):
            own |= {"heads": None, "key_heads": op.heads}
        found |= {name: gcd(found.get(name, 0), size) for name, size in own.items() if size is not None}
    return found
