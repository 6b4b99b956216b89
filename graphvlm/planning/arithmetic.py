"""Floating-point operations of a step on one rank, and which nodes a backward pass goes through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..blocks.run import read_run
from ..blocks.settings import Attention, Op, Sublayer, is_choosing
from ..blocks.settings_linear import Delta, Fading
from ..ir import Graph, Node
from ..settings import Settings
from ..spec import Port
from .weights import Weight, sublayer_of
from .workload import evaluate, rows


@dataclass(frozen=True, slots=True)
class Work:
    """Operations of a node in a step; a multiplication and an addition are two.

    `tokens` run through the node. `products` are those with weights, `trained` the part whose weights are trained,
    `scores` those among tokens: queries with keys, and what comes of it with values. All are of one forward pass.
    Without `returns`, no gradient comes back to the node; with `passes`, one goes on to what the node reads.
    """

    tokens: int
    products: float
    trained: float
    scores: float
    returns: bool
    passes: bool

    @property
    def forward(self) -> float:
        return self.products + self.scores

    @property
    def backward(self) -> float:
        """The gradient of a product by its input costs the product again, and so does that by its weight; of a product
        among tokens, both sides are inputs."""
        return self.products + self.trained + 2 * self.scores if self.returns else 0.0


def work(graph: Graph, weights: Iterable[Weight], sizes: Mapping[str, int]) -> dict[str, Work]:
    """What each node does, on one tensor-parallel rank."""
    own: dict[str, list[Weight]] = defaultdict(list)
    for weight in weights:
        own[weight.node].append(weight)
    found: dict[str, Work] = {}
    for name, node in graph.nodes.items():
        tokens = stack_tokens(node, sizes)
        products, trained = _products(graph, node, own, tokens, sizes)
        passes = any(found[ref.name].returns for ref in node.inputs.values() if ref.name in found)
        returns = passes or any(weight.trained for weight in own[node.module])
        alone = tokens * node.context / sequences(node, sizes)
        scores = _scores(node, tokens, alone, sizes) / node.tensor_parallel
        found[name] = Work(tokens, products, trained, scores, returns, passes)
    return found


def stack_tokens(node: Node, sizes: Mapping[str, int]) -> int:
    """How many tokens run through the blocks of a node on one rank, those of all images or sequences together."""
    if segments := _segments(node, sizes):
        return sum(segments.values())
    port = _stream(node)
    inside, outside = getattr(node.spec, "tokens", None), port.shape[1] if len(port.shape) > 1 else None
    if isinstance(inside, int) and isinstance(outside, int):
        return sequences(node, sizes) * inside
    count = rows(port.shape, sizes)
    return -(-count // (node.groups * node.context))


def sequences(node: Node, sizes: Mapping[str, int]) -> int:
    """Into how many sequences, which do not see each other, these tokens fall on one rank."""
    count = evaluate(next(iter(_stream(node).shape), 1), sizes)
    return -(-count // node.groups)


def scoped(node: Node, sublayer: Sublayer, tokens: int, sizes: Mapping[str, int]) -> int:
    """How many of the tokens of a node a sublayer is for on one rank; experts that choose do so among those of all."""
    own = _segments(node, sizes).get(sublayer.scope, tokens)
    return own * node.context if is_choosing(sublayer.op) else own


def _segments(node: Node, sizes: Mapping[str, int]) -> dict[str, int]:
    """The tokens on one rank of each segment that comes in at a port of its own; nothing if there is one sequence."""
    names = [segment.name for segment in node.spec.stack.segments] if node.spec.stack else []
    ports = {name: node.signature.inputs[name] for name in names if name in node.signature.inputs}
    return {name: -(-rows(port.shape, sizes) // node.context) for name, port in ports.items()}


def _stream(node: Node) -> Port:
    """The port whose tokens run through a node."""
    stream = node.signature.inputs.get("features") if node.kind == "decoder" else None
    return stream or next(iter(node.signature.outputs.values()))


def _products(
    graph: Graph, node: Node, weights: Mapping[str, list[Weight]], tokens: int, sizes: Mapping[str, int]
) -> tuple[float, float]:
    """Operations with weights, and with those that are trained."""
    products = trained = 0.0
    for weight in weights[node.module]:
        if weight.per_token:
            cost = 2.0 * weight.held * weight.share * met(node, weight.path, tokens, sizes)
            products += cost
            trained += cost * weight.trained
    head = getattr(node.spec, "head", None)
    if head is not None and head.tied and "logits" in node.signature.outputs:
        table = next(weight for weight in weights[graph.embedding(node.name)] if weight.path == "weight")
        cost = 2.0 * table.held * met(node, "head.weight", tokens, sizes)
        products += cost
        trained += cost * table.trained
    return products, trained


def met(node: Node, path: str, tokens: int, sizes: Mapping[str, int]) -> int:
    """How many vectors are multiplied with a weight."""
    if path.startswith("head."):
        logits = node.signature.outputs.get("logits")
        return rows(logits.shape, sizes) if logits else 0
    sublayer = sublayer_of(node, path)
    if sublayer is None:
        return tokens
    if int(path.split(".")[1]) not in layers_run(node) or left_out(node, sublayer):
        return 0
    *_, module, _ = path.split(".")
    if isinstance(sublayer.op, Attention) and sublayer.op.cross and module in ("wk", "wv"):
        return rows(node.signature.inputs[sublayer.op.cross.port].shape, sizes)
    segments = _segments(node, sizes)
    own = next((word for word in path.split(".") if word in segments), sublayer.scope)
    return scoped(node, replace(sublayer, scope=own), tokens, sizes)


def _scores(node: Node, tokens: int, alone: float, sizes: Mapping[str, int]) -> float:
    stack = node.spec.stack
    if stack is None:
        return 0.0
    each = [scores_of(node, kind, tokens, alone, sizes) for kind in range(len(stack.kinds))]
    return sum(each[stack.order[layer]] for layer in layers_run(node))


def scores_of(node: Node, kind: int, tokens: int, alone: float, sizes: Mapping[str, int]) -> float:
    """Operations among tokens in a layer of a kind, on all ranks of `tp` together."""
    sublayers = node.spec.stack.kinds[kind].sublayers if node.spec.stack else ()
    return sum(_score(node, each.op, tokens, alone, sizes) for each in sublayers if not left_out(node, each))


def layers_run(node: Node) -> range:
    """The layers that a call runs."""
    count = len(node.spec.stack.order) if node.spec.stack else 0
    settings = Settings(node.tree)
    chosen = settings.has("layers", "run") or settings.has("call", "layers")
    run = read_run(settings) if chosen else None
    return range(run.first, run.end) if run else range(count)


def left_out(node: Node, sublayer: Sublayer) -> bool:
    """Whether a call leaves a sublayer out: nothing comes in that it reads."""
    cross = sublayer.op.cross if isinstance(sublayer.op, Attention) else None
    return cross is not None and cross.port not in node.inputs


def _score(node: Node, op: Op, tokens: int, alone: float, sizes: Mapping[str, int]) -> float:
    """Products among tokens. As usual, what a causal mask hides is counted too; what a window hides is not."""
    if isinstance(op, Delta):  # a state is faded, written and read: three products of its size for each token
        return 6.0 * tokens * op.value_heads * op.key_dim * op.value_dim
    if isinstance(op, Fading):
        return 4.0 * tokens * op.heads * op.key_dim * op.value_dim
    if not isinstance(op, Attention):
        return 0.0
    keys = alone
    if op.cross:
        keys = rows(node.signature.inputs[op.cross.port].shape, sizes) / (tokens * node.context / alone)
    elif op.window:
        keys = min(keys, op.window)
    elif op.grid and op.grid.apart:  # as many frames in every video
        frames = int(getattr(node.spec, "frames", 1))
        keys = frames if op.grid.within == "place" else keys / frames
    elif op.grid:  # patches of all images stand in one sequence
        keys /= evaluate(node.signature.inputs["grid"].shape[0], sizes)
        keys = min(keys, op.grid.size**2) if op.grid.within == "window" else keys
    elif op.windows:
        keys = min(keys, op.windows.side**2)
    return 2.0 * tokens * keys * op.heads * (op.head_dim + op.value_dim)
