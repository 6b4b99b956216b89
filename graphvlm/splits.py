"""How tensor parallelism splits a node: which module or parameter is held in which parts by the ranks of `tp`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from .blocks.segments import marked_segment
from .blocks.settings import Attention, LayerKind, Mlp, Op, Stack, Sublayer, is_choosing
from .blocks.settings_linear import Delta, Fading, Linear
from .ir import Node

Style = Literal[
    "column",
    "row",
    "heads",
    "all_heads",
    "own_heads",
    "repeated",
    "shared",
    "experts",
    "parts",
    "tokens",
    "gathered",
    "between",
    "some",
    "at_least_one",
    "own_inputs",
    "scattered",
    "vocabulary",
    "tied",
]


@dataclass(frozen=True, slots=True)
class Way:
    """How one module is split.

    By `column`, a rank holds some of the outputs of a matrix; by `row`, some of its inputs, and results are added up.
    A norm of `heads`, which stand on `axis`, sees those of its rank, so gradients of its weight are added up; one over
    `all_heads` sees all, which are gathered. What is made for all heads is cut to the `own_heads`. Of a matrix of
    `repeated` heads, fewer than ranks, all hold all `heads` and use one. What is `shared` is read by the heads of all
    ranks. Of `experts` and of modules of `parts`, parameters are split along `axes`, name by name, or (None) held by
    all: then their gradients are added up.

    Where ranks share the tokens between sublayers, a norm of `tokens` sees those of its rank. They are `gathered` in
    front of an operation whose last matrix, by rows, gives each rank its own again (`scattered`); an operation of more
    than such matrices stands `between` gathering them and parting them, one for `some` of the tokens between gathering
    these, however many each rank has; elsewhere such a one is given `at_least_one`. What a layer is given beside its
    tokens is cut to its `own_inputs`.

    Of a table by `vocabulary`, a rank holds the rows of some tokens; a `tied` head multiplies with them.
    """

    style: Style
    axis: int = 0
    heads: int = 0
    axes: tuple[tuple[str, int | None], ...] = ()


def splits(node: Node) -> dict[str, Way]:
    """How each module that tensor parallelism splits is split, in the order of the code; `*` is a layer's index."""
    if node.tensor_parallel == 1:
        return {}
    found: dict[str, Way] = {}
    stack = node.spec.stack
    relative = getattr(node.spec, "relative", None)
    if relative is not None:
        found |= {"relative.table": Way("column")} if relative.learned else {"relative": Way("own_heads")}
    for each in _by_kind(stack, node.tensor_parallel, tokens=node.sequence) if stack else ():
        found.update({f"layers.*.{path}": way for path, way in each.items()})
    head = getattr(node.spec, "head", None)
    if head is not None and not head.tied and not head.own:
        found["head"] = Way("column")
    elif head is not None and head.apart:
        found["head"] = Way("tied")
    own: dict[str, Style] = getattr(node.spec, "split", {})
    return found | {path: Way(style) for path, style in own.items()}


Part = Literal[
    "all_tokens",
    "own_tokens",
    "to_heads",
    "to_tokens",
    "all_keys",
    "own_heads",
    "own_rates",
    "own_queries",
    "own_inputs",
    "all_of_some",
]


def contexts(node: Node) -> dict[str, Part]:
    """What the modules of a layer whose tokens are shared out do: `all_tokens` go through an attention, of some heads.

    Its maps read `own_tokens`; behind those that make heads, tokens come together and heads part (`to_heads`), and back
    in front of its last map (`to_tokens`). Keys for all heads are gathered. Of weights by head, and of rates, a rank
    reads those of its `own_heads`. Attention over a port needs no exchange: queries are a rank's own (`own_queries`). A
    layer (the empty path) hands on its `own_inputs` beside the tokens. Experts that choose do so from `all_of_some`.
    """
    found: dict[str, Part] = {}
    stack = node.spec.stack
    if stack is None or node.context == 1:
        return found
    if _own_inputs(stack):
        found[""] = "own_inputs"
    for sublayer in (sublayer for kind in stack.kinds for sublayer in kind.sublayers):
        op = sublayer.op
        if isinstance(op, Attention) and op.cross:
            if op.cross.visible:
                found[sublayer.name] = "own_queries"
        elif is_choosing(op):
            found[sublayer.name] = "all_of_some"
        elif isinstance(op, Attention | Linear):
            parts = _of_linear_context(op) if isinstance(op, Linear) else _of_context(op)
            found[sublayer.name] = "all_tokens"
            found |= {f"{sublayer.name}.{path}": part for path, part in parts.items()}
    return found


def _of_context(op: Attention) -> dict[str, Part]:
    """The modules of an attention whose heads are exchanged for tokens."""
    narrow = ("wq_a", "wkv_a") if op.latent and op.latent.q_rank else ("wkv_a",) if op.latent else ()
    found: dict[str, Part] = dict.fromkeys(narrow, "own_tokens")
    parts: dict[str, Part] = {"column": "to_heads", "row": "to_tokens", "shared": "all_keys"}
    ways = split_op(replace(op, by=()), 1)
    found |= {path: parts[way.style] for path, way in ways.items() if way.style in parts}
    if op.qk_norm and not op.norm_heads:  # which a rank has of its tokens: they go on to the heads behind the norm
        found |= {"wq": "own_tokens", "wk": "own_tokens", "q_norm": "to_heads", "k_norm": "to_heads"}
    return found | ({"own_heads": "own_heads"} if op.sinks else {})


def _of_linear_context(op: Linear) -> dict[str, Part]:
    """The same of linear attention, whose states are those of a rank's heads; a norm over all heads needs all."""
    if isinstance(op, Delta):
        heads: dict[str, Part] = dict.fromkeys(("in_q", "in_k", "in_v", "in_z", "in_b", "in_a"), "to_heads")
        return {**heads, "own_heads": "own_heads", "out": "to_tokens"}
    heads = dict.fromkeys(("in_q", "in_k", "in_v"), "to_heads")
    return {**heads, "own_heads": "own_rates", "in_z": "own_tokens", "norm": "to_tokens"}


def differing(node: Node) -> bool:
    """Whether not every layer has all modules that are split in some layer."""
    stack = node.spec.stack
    found = _by_kind(stack, node.tensor_parallel, tokens=node.sequence) if stack else []
    return len({frozenset(each) for each in found}) > 1


def _own_inputs(stack: Stack) -> bool:
    """Whether layers are told of their tokens which segment they are of, or whether they see something of a port."""
    return stack.parted or any(sublayer.rows for kind in stack.kinds for sublayer in kind.sublayers)


def with_own_gates(stack: Stack) -> Stack:
    """The stack whose gates, held by all ranks, see some of the tokens each."""
    kinds = []
    for kind in stack.kinds:
        groups = (tuple(replace(s, residual=replace(s.residual, tokens=True)) for s in group) for group in kind.groups)
        kinds.append(replace(kind, groups=tuple(groups)))
    return replace(stack, kinds=tuple(kinds))


def _by_kind(stack: Stack, ranks: int, *, tokens: bool = False) -> list[dict[str, Way]]:
    """The modules that are split in each kind of layer, whose ranks may share the `tokens` between sublayers."""
    around = _around_operations(stack, ranks) if tokens else _of_segments(stack)
    return [
        {
            ".".join(filter(None, (sublayer.name, path))): way
            for sublayer in kind.sublayers
            for path, way in _inside(sublayer, ranks, around.get(sublayer.name)).items()
        }
        | (dict(_around(kind, stack)) if tokens else {})
        for kind in stack.kinds
    ]


def _of_segments(stack: Stack) -> dict[str, Way]:
    """The networks of one segment, of which a batch or a rank of `cp` may have no tokens: split matrices want one."""
    if marked_segment(stack.segments):
        return {}
    sublayers = [sublayer for kind in stack.kinds for sublayer in kind.sublayers if sublayer.scope]
    return {
        each.name: Way("at_least_one") for each in sublayers if isinstance(each.op, Mlp) and not is_choosing(each.op)
    }


def _around_operations(stack: Stack, ranks: int) -> dict[str, Way]:
    """How tokens come together in front of the sublayers of each name and are parted behind them, in all layers alike.

    They are parted by the last matrix of an operation that has one alone; else behind it.
    """
    found: dict[str, Way] = {}
    for sublayer in (sublayer for kind in stack.kinds for sublayer in kind.sublayers):
        op, ways = sublayer.op, split_op(sublayer.op, ranks)
        own = ways.pop("", Way("parts")).axes
        by = isinstance(op, Attention | Mlp) and op.by
        plain = not by and {way.style for way in ways.values()} <= {"column", "row", "heads"}
        style: Style = "some" if sublayer.scope else "gathered" if plain else "between"
        other = found.get(sublayer.name, Way(style))
        styles = {style, other.style}
        style = "some" if "some" in styles else "between" if "between" in styles else style
        found[sublayer.name] = Way(style, axes=tuple(dict.fromkeys((*other.axes, *own))))
    return found


def _inside(sublayer: Sublayer, ranks: int, around: Way | None) -> dict[str, Way]:
    """The modules of a sublayer that are split, and what stands `around` it where ranks share the tokens."""
    ways = split_op(sublayer.op, ranks)
    if around is None:
        return ways
    scattered = around.style == "gathered"
    inside = {path: Way("scattered") if scattered and way.style == "row" else way for path, way in ways.items()}
    return {"": around} | {path: way for path, way in inside.items() if path}


def _around(kind: LayerKind, stack: Stack) -> Iterator[tuple[str, Way]]:
    """What stands around the operations of a layer: ranks share the tokens, so gradients of its weights are summed."""
    layers = [sublayer for kind in stack.kinds for sublayer in kind.sublayers]
    gates = tuple(dict.fromkeys((f"{each.name}_gate", None) for each in layers if each.residual.gate))
    if _own_inputs(stack):
        yield "", Way("own_inputs", axes=gates)
    elif gates:
        yield "", Way("parts", axes=gates)
    for sublayer in kind.sublayers:
        norm = sublayer.norm
        for name in (("norm",) if sublayer.normed else ()) + (("post_norm",) * (sublayer.place == "sandwich")):
            if norm.weight or norm.bias:
                path = f"{sublayer.name}_{name}"
                # Of a segment there are as many tokens as there are, on some axis.
                yield from ((f"{path}.{by}", Way("tokens", axis=0)) for by in norm.by)
                yield from () if norm.by else ((path, Way("tokens", axis=1)),)
    yield from ((f"{group[0].name}_join", Way("tokens", axis=1)) for group in kind.groups if group[0].residual.join)


def conflict(stack: Stack, ranks: int) -> str:
    """A module of which layers differ in how it is split; empty if there is none."""
    found: dict[str, Way] = {}
    for each in _by_kind(stack, ranks):
        for path, way in each.items():
            if found.setdefault(path, way) != way:
                return path
    return ""


def split_op(op: Op, ranks: int) -> dict[str, Way]:
    """The modules of an operation that are split; the empty path is the operation itself."""
    if isinstance(op, Attention):
        return dict(_latent(op) if op.latent else _attention(op, ranks))
    if isinstance(op, Delta):
        return dict(_delta())
    if isinstance(op, Fading):
        return dict(_fading())
    each = _mlp(op)
    return {f"{name}.{path}": way for name in op.by for path, way in each.items()} if op.by else each


def _attention(op: Attention, ranks: int) -> Iterator[tuple[str, Way]]:
    column, few = Way("column"), op.kv_heads % ranks
    shared = Way("repeated", heads=op.kv_heads) if few else column
    yield from _own(op)
    yield from _parted(op, {"wq": column, "wk": shared, "wv": shared})
    yield from _parted(op, {"wg": column} if op.gated else {})
    yield from _parted(op, {"wo": Way("row")})
    norm = op.qk_norm
    if norm and not op.norm_heads:
        yield from _parted(op, {"q_norm": Way("all_heads"), "k_norm": Way("all_heads")})
    elif norm and (norm.weight or norm.bias):
        yield from _parted(op, {"q_norm": Way("heads", axis=1), "k_norm": Way("heads", axis=1)})


def _own(op: Attention) -> Iterator[tuple[str, Way]]:
    """The parameters that an attention has itself."""
    axes: list[tuple[str, int | None]] = [("sinks", 0)] if op.sinks else []
    if op.relative:
        axes += [("rel_rows", None), ("rel_columns", None)]
    if axes:
        yield "", Way("parts", axes=tuple(axes))


def _parted(op: Attention, ways: dict[str, Way]) -> Iterator[tuple[str, Way]]:
    """The same for each segment, where segments have weights of their own."""
    for path, way in ways.items():
        yield from ((f"{path}.{name}", way) for name in op.by) if op.by else ((path, way),)


def _latent(op: Attention) -> Iterator[tuple[str, Way]]:
    assert op.latent is not None
    yield from _own(op)
    yield ("wq" if op.latent.q_rank is None else "wq_b"), Way("column")
    yield "wkv_b", Way("column")
    yield "shared_key", Way("shared")
    if op.gated:
        yield "wg", Way("column")
    yield "wo", Way("row")


def _delta() -> Iterator[tuple[str, Way]]:
    own = ("a_log", "dt_bias", "conv_q", "conv_k", "conv_v")
    yield "", Way("parts", axes=tuple((name, 0) for name in own))
    yield from ((name, Way("column")) for name in ("in_q", "in_k", "in_v", "in_z", "in_b", "in_a"))
    yield "norm", Way("heads", axis=2)
    yield "out", Way("row")


def _fading() -> Iterator[tuple[str, Way]]:
    yield from ((name, Way("column")) for name in ("in_q", "in_k", "in_v", "in_z"))
    yield "own_heads", Way("own_heads")
    yield "norm", Way("all_heads")
    yield "out", Way("row")


def _mlp(op: Mlp) -> dict[str, Way]:
    """Those of one network, or of a mixture."""
    inner = {"gate": Way("column")} if op.gated else {}
    dense = {**inner, "up": Way("column"), "down": Way("row")}
    if op.moe is None:
        return dense
    first, axis = ("gate_up", 2) if op.gated else ("up", 1)
    axes: list[tuple[str, int | None]] = [(first, axis), ("down", 2)]
    if op.bias:
        axes += [(f"{first}_bias", axis), ("down_bias", None)]
    shared = {f"shared.{path}": way for path, way in dense.items()} if op.moe.shared else {}
    return {"experts": Way("experts", axes=tuple(axes)), **shared}


def laid(op: Op, *, split: bool, spread: bool) -> Op:
    """The operation with those matrices apart that ranks of `tp` each hold a part of, and experts spread over `ep`."""
    if isinstance(op, Linear):
        return replace(op, apart=split)
    if isinstance(op, Mlp) and op.moe:
        return replace(op, moe=replace(op.moe, halves=split and op.gated, spread=spread and is_routed(op)))
    return op


def is_routed(op: Op) -> bool:
    """Whether an operation is of experts that tokens choose."""
    return isinstance(op, Mlp) and op.moe is not None and op.moe.router.capacity is None


def by_width(node: Node, mesh: Mapping[str, int]) -> bool:
    """Whether ranks of `dp` share each expert of a rank of `ep`, since they cannot share experts out evenly."""
    stack, ranks = node.spec.stack, mesh.get("dp", 1)
    kinds = stack.kinds if stack else ()
    ops = [sublayer.op for kind in kinds for sublayer in kind.sublayers]
    moes = [(op.hidden, op.moe.experts) for op in ops if isinstance(op, Mlp) and op.moe and op.moe.spread]
    even = all(experts // node.expert_parallel % ranks == 0 for _, experts in moes)
    fits = stack is not None and stack.dim % ranks == 0
    return not even and fits and all(hidden // node.tensor_parallel % ranks == 0 for hidden, _ in moes)


def spread_experts(node: Node) -> dict[str, Way]:
    """The experts of a layer that lie on different ranks of `ep`, and how `tp` splits each."""
    stack = node.spec.stack
    found = _by_kind(stack, node.tensor_parallel) if stack and node.expert_parallel > 1 else []
    return {path: way for each in found for path, way in each.items() if way.style == "experts"}
