"""What one rank sends in a step, by axis of the mesh: the collectives that the generated `parallel.py` causes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from ..blocks.segments import marked_segment
from ..blocks.settings import Attention, Mlp, is_choosing
from ..blocks.settings_linear import Fading, Linear
from ..ir import Graph, Node
from ..keys import starred
from ..sharding import tied_tables
from ..splits import Way, splits
from .arithmetic import Work, met, scoped
from .weights import Weight, ranks_of
from .workload import Workload, evaluate, rows

REDUCED = 4  # gradients are reduced in float32


@dataclass(frozen=True, slots=True)
class Exchange:
    """All collectives of one kind over one axis: how many a step, and the bytes that a rank sends in them.

    Rings are assumed: of n ranks each sends (n - 1) / n of a gathered or scattered tensor, and twice that of a sum.
    """

    axis: str
    collective: str
    calls: int
    sent: float


def traffic(
    graph: Graph, weights: tuple[Weight, ...], works: Mapping[str, Work], sizes: Mapping[str, int], work: Workload
) -> tuple[Exchange, ...]:
    """The exchanges of one step, axis by axis; those of `dp` first."""
    mesh = graph.parallelism.mesh
    found = [
        *(
            each
            for over in dict.fromkeys((weight.axis, weight.ranks) for weight in weights if weight.ranks > 1)
            for each in _sharded(graph, weights, works, work, over)
        ),
        *(each for name, node in graph.nodes.items() for each in _split(node, works[name], sizes, work)),
        *_shared(graph, weights, sizes, work),
        *_again(mesh, weights),
        *(each for name, node in graph.nodes.items() for each in _context(node, works[name], sizes, work)),
        *(_spread(graph, works, work, mesh["ep"]) if mesh.get("ep", 1) > 1 else ()),
    ]
    merged: dict[tuple[str, str], Exchange] = {}
    for each in found:
        other = merged.get((each.axis, each.collective), Exchange(each.axis, each.collective, 0, 0.0))
        merged[each.axis, each.collective] = replace(other, calls=other.calls + each.calls, sent=other.sent + each.sent)
    return tuple(each for each in merged.values() if each.calls)


def _sharded(
    graph: Graph, weights: tuple[Weight, ...], works: Mapping[str, Work], work: Workload, over: tuple[str, int]
) -> tuple[Exchange, ...]:
    """FSDP: a unit is gathered before its forward pass and again before its backward pass, but for tables that stay.

    While one goes back, the unit that ran before it is fetched ahead, also if it has nothing to do there.
    """
    units: dict[str, list[Weight]] = defaultdict(list)
    for weight in weights:
        if (weight.axis, weight.ranks) == over:
            units[weight.unit].append(weight)
    tied = tied_tables(graph)
    axis, ranks = over
    part = (ranks - 1) / ranks
    gathers = scatters = 0
    gathered = scattered = 0.0
    idle = _fetched_for_nothing(weights, works)
    for name, unit in units.items():
        called = [works[node.name] for node in graph.nodes.values() if node.module == unit[0].node]
        times = len(called) + (name in idle or (name not in tied and sum(each.returns for each in called)))
        times = 1 if graph.parallelism.mesh.get("pp", 1) > 1 else times  # stages keep what they gathered
        gathers += times
        gathered += times * sum(weight.stored for weight in unit) * ranks * work.compute
        trained = [weight.stored for weight in unit if weight.trained]
        if trained:
            scatters += 1
            scattered += sum(trained) * ranks * REDUCED
    return (
        Exchange(axis, "all-gather", gathers, gathered * part),
        Exchange(axis, "reduce-scatter", scatters, scattered * part),
    )


def _spread(graph: Graph, works: Mapping[str, Work], work: Workload, ep: int) -> Iterator[Exchange]:
    """Experts on different ranks: how many rows come, the rows to their experts and back, and so their gradients."""
    for node in graph.nodes.values():
        stack = node.spec.stack
        ops = [s.op for index in stack.order for s in stack.kinds[index].sublayers] if stack else []
        for moe in (op.moe for op in ops if isinstance(op, Mlp) and op.moe and op.moe.spread):
            here = works[node.name]
            times = 4 if here.returns else 2
            assert stack is not None
            rows = here.tokens * moe.top * stack.dim * work.compute * times
            yield Exchange("ep", "all-to-all", times + 1, (ep - 1) / ep * (rows + moe.experts * _INDEX))


_INDEX = 8  # bytes of a number of rows


def _fetched_for_nothing(weights: tuple[Weight, ...], works: Mapping[str, Work]) -> set[str]:
    """The last unit of every node that no gradient comes back to, where one comes back to the next node."""
    last: dict[str, str] = {}
    for weight in weights:  # what is in no layer is gathered until the node has run
        last[weight.node] = weight.node if weight.node in (weight.unit, last.get(weight.node)) else weight.unit
    names = list(last)
    return {last[name] for name, following in pairwise(names) if works[following].returns and not works[name].returns}


def _shared(graph: Graph, weights: tuple[Weight, ...], sizes: Mapping[str, int], work: Workload) -> Iterable[Exchange]:
    """Images on different ranks: their features come together, gradients are summed over the axis without shards."""
    mesh = graph.parallelism.mesh
    for node in graph.nodes.values():
        if node.spread:
            shape = next(iter(node.signature.outputs.values())).shape
            ranks, images = node.groups, evaluate(shape[0], sizes)
            numbers = rows((-(-images // ranks) * ranks, *shape[1:]), sizes) * evaluate(shape[-1], sizes)
            yield Exchange("tp", "all-gather", 1, (ranks - 1) / ranks * numbers * work.compute)
    axes = " ".join(axis for axis in mesh if axis not in ("pp", "tp"))
    ranks = ranks_of(mesh, axes)
    trained = [each for each in weights if each.trained and graph.nodes[each.node].spread]
    if trained and ranks > 1:
        summed = sum(each.stored for each in trained) * REDUCED
        yield Exchange(axes, "all-reduce", len({each.unit for each in trained}), 2 * (ranks - 1) / ranks * summed)


def _again(mesh: Mapping[str, int], weights: tuple[Weight, ...]) -> Iterator[Exchange]:
    """Gradients are summed over the groups that have the same parts."""
    groups = mesh.get("replicate", 1)
    trained = [weight for weight in weights if weight.trained and weight.axis.startswith("dp")]
    if groups > 1 and trained:
        sent = 2 * (groups - 1) / groups * sum(weight.stored for weight in trained) * REDUCED
        yield Exchange("replicate", "all-reduce", len({weight.unit for weight in trained}), sent)


def _context(node: Node, here: Work, sizes: Mapping[str, int], work: Workload) -> Iterator[Exchange]:
    """Tokens that are shared out: heads for tokens and back around each attention, all of them behind the layers."""
    stack = node.spec.stack
    if node.context == 1 or stack is None:
        return
    part, times = (node.context - 1) / node.context, 2 if here.returns else 1
    marks = part * here.tokens * node.context if marked_segment(stack.segments) else 0  # a byte each
    for sublayer in (sublayer for index in stack.order for sublayer in stack.kinds[index].sublayers):
        op = sublayer.op
        if is_choosing(op):  # how many tokens each rank has, and these
            some = part * scoped(node, sublayer, here.tokens, sizes) * stack.dim * work.compute
            yield Exchange("cp", "all-gather", 2, some + part * _INDEX * node.context)
            yield Exchange("cp", "reduce-scatter", int(here.returns), some * here.returns)
        if isinstance(op, Attention) and op.by and marks:
            yield Exchange("cp", "all-gather", 1, marks)
        if not isinstance(op, Mlp) and op.context:
            numbers = [each / node.tensor_parallel for each in _heads_of(op)]
            sent = part * here.tokens * sum(numbers) * work.compute
            yield Exchange("cp", "all-to-all", len(numbers) * times, sent * times)
            if isinstance(op, Attention) and op.latent:
                keys = part * here.tokens * node.context * op.latent.rope_dim * work.compute
                yield Exchange("cp", "all-gather", 1, keys)
                yield Exchange("cp", "reduce-scatter", int(here.returns), keys * here.returns)
    wide = part * here.tokens * node.context * stack.dim * work.compute
    yield Exchange("cp", "all-gather", 1 + here.passes, wide * (1 + here.passes))


def _heads_of(op: Attention | Linear) -> Iterator[float]:
    """How wide each of the tensors is whose heads are exchanged for tokens."""
    if isinstance(op, Linear):
        keys, values = (op.heads, op.heads) if isinstance(op, Fading) else (op.key_heads, op.value_heads)
        wide = values * op.value_dim
        yield from (keys * op.key_dim, keys * op.key_dim, wide, wide)
        yield from () if isinstance(op, Fading) else (wide, values, values)  # gates, and how much fades and is written
        return
    values = op.heads * op.value_dim
    if op.latent:
        yield from (op.heads * (op.latent.nope_dim + op.latent.rope_dim), op.heads * op.latent.nope_dim + values)
    else:
        yield from (op.heads * op.head_dim, op.kv_heads * op.head_dim, op.kv_heads * op.head_dim)
    yield from (values, *((values,) if op.gated else ()))


def _split(node: Node, work: Work, sizes: Mapping[str, int], asked: Workload) -> Iterator[Exchange]:
    """Tensor parallelism: what a node sums and gathers over the ranks that share it."""
    part = (node.tensor_parallel - 1) / node.tensor_parallel
    for each in _exchanged(node, work, sizes, asked):
        rings = 2 if each.collective == "all-reduce" else 1
        yield Exchange("tp", each.collective, int(each.times), rings * part * each.bytes * each.times)


@dataclass(frozen=True, slots=True)
class _Each:
    """A tensor of so many bytes that is summed over ranks, or gathered, or summed and parted, so many times."""

    bytes: float
    times: int
    collective: str = "all-reduce"


# Styles whose exchanges are as large as weights say.
_OF_WEIGHTS = frozenset(("row", "scattered", "column", "repeated", "all_heads", "vocabulary"))


def _exchanged(node: Node, work: Work, sizes: Mapping[str, int], asked: Workload) -> Iterator[_Each]:
    """What the ranks of a node exchange: of each module that is split, in all layers together."""
    parameters = node.spec.parameters()
    for path, way in splits(node).items():
        own = [each for each in parameters if _is_of(path, starred(each.path)[0])]
        if not own and way.style in _OF_WEIGHTS:
            continue  # which are in layers of another stage
        first = own[0].path if own else "head.weight" if way.style == "tied" else ""
        times = len([each for each in own if each.path.endswith(first.rpartition(".")[2])])
        vectors = met(node, first, work.tokens, sizes)
        wide = vectors * asked.compute
        back = work.returns and (work.passes or path.startswith(("layers.", "head")))
        if way.style == "row":
            yield _Each(own[0].shape[0] * work.tokens * asked.compute, times)
        elif way.style == "scattered":
            yield _Each(own[0].shape[0] * wide, times, "reduce-scatter")
            yield _Each(own[0].shape[0] * wide, times * work.returns, "all-gather")
        elif way.style in ("gathered", "between", "some"):
            yield from _of_tokens(node, path, way, work, sizes, asked)
        elif way.style in ("column", "repeated") and _one_by_one(node, path) and back:
            yield _Each(own[0].shape[1] * wide, times)
        elif way.style == "all_heads":
            yield _Each(own[0].shape[0] * wide, times * (2 if work.returns else 1), "all-gather")
        elif way.style in ("experts", "shared"):
            yield from _of_blocks(node, way, path, work, asked)
        elif way.style == "vocabulary":
            yield _Each(own[0].shape[1] * wide, 1)
        elif way.style == "tied" and back:
            yield _Each(_width(node) * wide, 1)
        if path == "head":  # the largest logit, the sum over all, and that of the target, in float32
            yield _Each(4.0 * vectors, 1)
            yield _Each(8.0 * vectors, 1)
    if node.sequence:  # apart in front of the first layer, together behind the last
        yield _Each(_width(node) * work.tokens * asked.compute, 1 + work.passes, "all-gather")


def _width(node: Node) -> int:
    """How wide the tokens of a node's blocks are."""
    assert node.spec.stack is not None
    return node.spec.stack.dim


def _one_by_one(node: Node, path: str) -> bool:
    """Whether the gradient of what a matrix reads is summed for it alone: not where tokens are gathered for several."""
    if path.endswith("relative.table"):
        return False
    sublayer = ".".join(path.split(".")[:3])
    gathered = splits(node).get(sublayer)
    return gathered is None or gathered.style != "gathered"


def _of_tokens(  # noqa: PLR0917
    node: Node, path: str, way: Way, work: Work, sizes: Mapping[str, int], asked: Workload
) -> Iterator[_Each]:
    """Tokens that come together in front of a sublayer, in each layer that has it; and their gradients.

    Where it is for some of them, ranks say first how many each has; which tokens are marked comes with them.
    """
    stack = node.spec.stack
    assert stack is not None
    name = path.rpartition(".")[2]
    layers = [stack.kinds[index].sublayers for index in stack.order]
    for sublayer in (each for sublayers in layers for each in sublayers if each.name == name):
        numbers = stack.dim * scoped(node, sublayer, work.tokens, sizes) * asked.compute
        yield _Each(numbers, 1, "all-gather")
        if work.returns:
            yield _Each(numbers, 1, "reduce-scatter" if way.style == "gathered" else "all-gather")
        if way.style == "some":
            yield _Each(_INDEX * node.tensor_parallel, 1, "all-gather")
        if isinstance(sublayer.op, Attention | Mlp) and sublayer.op.by and marked_segment(stack.segments):
            yield _Each(work.tokens, 1, "all-gather")


def _is_of(path: str, parameter: str) -> bool:
    """Whether a parameter belongs to a module itself."""
    return parameter.rpartition(".")[0] == path


def _of_blocks(node: Node, way: Way, path: str, work: Work, asked: Workload) -> Iterator[_Each]:
    """Of experts, what they find, and back what goes in; of latent attention, the gradient of what all heads read."""
    stack = node.spec.stack
    assert stack is not None
    for kind in (stack.kinds[index] for index in stack.order):
        for sublayer in kind.sublayers:
            op = sublayer.op
            if not path.startswith(f"layers.*.{sublayer.name}."):
                continue
            if isinstance(op, Attention) and op.latent and way.style == "shared" and work.returns:
                yield _Each(work.tokens * op.latent.rope_dim * asked.compute, 1)
            elif isinstance(op, Mlp) and op.moe and way.style == "experts":
                yield _Each(work.tokens * stack.dim * asked.compute, 2 if work.returns else 1)
                if work.returns:
                    share = op.moe.router.capacity
                    taken = op.moe.top if share is None else share * op.moe.experts
                    yield _Each(work.tokens * taken * _WEIGHTS, 1)


_WEIGHTS = 4  # how much each expert counts is found in float32
