"""Which token embeddings and heads are split by vocabulary over the ranks of `tp`."""

from __future__ import annotations

from dataclasses import replace

from .components.decoder.transformer import Transformer
from .components.encoder.token_embedding import TokenEmbedding
from .ir import Graph, Node


def split_vocabulary(graph: Graph) -> Graph:
    """The graph with tables of which each rank holds the rows of some tokens, and with heads that read these.

    Left whole are tables of types and extra rows, tables that a head reads with a bias or behind a transform, and
    all of a graph with teachers or weights that nodes share.
    """
    if any(node.follows or node.tie for node in graph.nodes.values()):
        return graph
    tables = {node.name: node for node in graph.owners if isinstance(node.spec, TokenEmbedding)}
    readers = {
        name: [node for node in graph.nodes.values() if _tied(node) and graph.embedding(node.name) == name]
        for name in tables
    }
    parted = {name for name, node in tables.items() if _splits(node, readers[name])}
    nodes = {}
    for name, node in graph.nodes.items():
        spec = node.spec
        if isinstance(spec, TokenEmbedding) and node.module in parted:
            spec = replace(spec, parted=True)
        elif isinstance(spec, Transformer) and spec.head and _tied(node) and graph.embedding(name) in parted:
            spec = replace(spec, head=replace(spec.head, apart=True))
        nodes[name] = replace(node, spec=spec)
    return replace(graph, nodes=nodes)


def gives_parts(node: Node) -> bool:
    """Whether each rank of `tp` has the logits of some tokens, of a decoder."""
    head = node.spec.head if isinstance(node.spec, Transformer) else None
    return head is not None and node.tensor_parallel > 1 and (head.apart or not (head.tied or head.own))


def _tied(node: Node) -> bool:
    head = getattr(node.spec, "head", None)
    return head is not None and head.tied


def _splits(table: Node, readers: list[Node]) -> bool:
    """Whether ranks can share the rows of a table, which these nodes multiply with."""
    spec, ranks = table.spec, table.tensor_parallel
    assert isinstance(spec, TokenEmbedding)
    plain = all(isinstance(node.spec, Transformer) and node.spec.head and not node.spec.head.own for node in readers)
    alike = all(node.tensor_parallel == ranks for node in readers)
    return ranks > 1 and not spec.types and not (readers and spec.extra) and plain and alike
