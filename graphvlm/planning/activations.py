"""What a forward pass leaves behind for the backward pass, counted from the code that is generated.

A matrix product keeps its input, a norm its input, attention its queries, keys, values and result, a product of two
tensors both. Tensors that several of them keep are counted once.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..blocks.settings import Attention, Mlp, Sublayer
from ..blocks.settings_linear import Fading, Linear
from ..ir import Graph, Node
from ..vocabulary import gives_parts
from .arithmetic import Work, layers_run, left_out, scoped
from .workload import Workload, rows


def kept(graph: Graph, works: Mapping[str, Work], sizes: Mapping[str, int], work: Workload) -> dict[str, float]:
    """Bytes that each node keeps on one rank."""
    return {
        name: _of_node(node, works[name], sizes, work) * work.compute if works[name].returns else 0.0
        for name, node in graph.nodes.items()
    }


def logits(graph: Graph, sizes: Mapping[str, int], work: Workload) -> float:
    """Bytes of the logits at the loss: as they are, in float32, normalised for the gradient, and that gradient."""
    ports = [
        (node.signature.outputs["logits"], node.tensor_parallel if gives_parts(node) else 1)
        for node in graph.nodes.values()
        if "logits" in node.signature.outputs
    ]
    numbers = [
        rows(port.shape, sizes) * float(port.shape[-1]) / parts
        for port, parts in ports
        if isinstance(port.shape[-1], int)
    ]
    return sum(numbers) * (work.compute + 4 + 4 + 4)


def _of_node(node: Node, work: Work, sizes: Mapping[str, int], asked: Workload) -> float:
    """Numbers that a node keeps."""
    stack = node.spec.stack
    if stack is None:
        return work.tokens * _of_maps(node)
    each = [
        sum(
            scoped(node, sublayer, work.tokens, sizes) * _of_sublayer(sublayer, stack.dim, node)
            for sublayer in kind.sublayers
            if not left_out(node, sublayer)
        )
        for kind in stack.kinds
    ]
    ends = work.tokens * node.context * stack.dim * 2.0  # the final norm, and what the head reads, of all tokens
    layers = layers_run(node)
    if (asked.recompute or node.recompute) and stack.order:
        return work.tokens * stack.dim * len(layers) + max(each) + ends
    return sum(each[stack.order[layer]] for layer in layers) + ends


def _of_maps(node: Node) -> float:
    """A projector keeps what each of its maps reads, and what each activation does: that is its hidden width twice."""
    widths = [parameter.shape for parameter in node.spec.parameters() if len(parameter.shape) >= 2]
    if node.type == "token_embedding" or not widths:
        return 0.0
    split = node.tensor_parallel
    return widths[0][1] + sum(2.0 * shape[0] / split for shape in widths[:-1])


def _of_sublayer(sublayer: Sublayer, dim: int, node: Node) -> float:
    """Numbers a token that a sublayer keeps; what is split over ranks is held in parts."""
    split = node.tensor_parallel
    around = 1.0 * dim * {"sandwich": 3, "shared": 0, "none": 0}.get(sublayer.place, 2)
    if sublayer.residual.gate:
        around += dim
    if node.sequence:  # what the operation reads is gathered, the rest is for the tokens of a rank
        around = dim + (around - dim) / split
    op = sublayer.op
    if isinstance(op, Mlp):
        return around + _of_mlp(op, dim, split)
    return around + (_of_linear(op) / split if isinstance(op, Linear) else _of_attention(op, split))


def _of_attention(op: Attention, split: int) -> float:
    queries, keys, values = op.heads * op.head_dim, op.kv_heads * op.head_dim, op.kv_heads * op.value_dim
    result = op.heads * op.value_dim
    found = float(queries + keys + values + result)
    if op.qk_norm or op.merged:  # before they are normed or turned; one matrix gives all three in one tensor
        found += queries + keys
    if op.gated:
        found += 2 * result
    if op.context:  # before and after heads are exchanged for tokens
        found += result
    if op.latent:
        narrow = (op.latent.q_rank or 0) + op.latent.kv_rank
        found += 2 * narrow + op.latent.rope_dim
    return found / split


def _of_linear(op: Linear) -> float:
    if isinstance(op, Fading):
        return 2.0 * op.heads * (2 * op.key_dim + op.value_dim) + 3 * op.heads * op.value_dim
    keys, values = op.key_heads * op.key_dim, op.value_heads * op.value_dim
    return 2.0 * (2 * keys + values) + 4 * values


def _of_mlp(op: Mlp, dim: int, split: int) -> float:
    inner = (4.0 if op.gated else 2.0) * op.hidden
    if op.moe is None:
        return inner / split
    shared = (4.0 if op.gated else 2.0) * (op.moe.shared or 0)
    return op.moe.top * (inner + 2 * dim) + shared
