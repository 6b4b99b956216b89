"""The view of `checkpoint.py`: the name map as a table a person can read."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Graph, Node
from ..keys import aliases, dead_patterns, ignored_patterns, parts, reference_name, shares, starred


@dataclass(frozen=True, slots=True)
class Row:
    """One module (or bare parameter) of ours, and the reference's: several are joined by rows."""

    ours: str
    theirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartView:
    """What loads from one directory; `prefix` stands before its keys in a checkpoint of the whole."""

    name: str
    nodes: tuple[str, ...]
    prefix: str
    aliases: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """Everything on the page of `checkpoint.py`."""

    rows: tuple[Row, ...]
    shares: tuple[tuple[str, tuple[int, ...]], ...]
    aliases: tuple[tuple[str, str], ...]
    dead: tuple[str, ...]
    ignored: tuple[str, ...]
    parts: tuple[PartView, ...]


def make(graph: Graph) -> CheckpointView:
    """The view for a graph after its passes."""
    rows: dict[str, Row] = {}
    uneven: dict[str, tuple[int, ...]] = {}
    for node in graph.nodes.values():
        for ours, theirs, sizes in _modules(node):
            rows.setdefault(ours, Row(ours, theirs))
            if len(set(sizes)) > 1:
                uneven[ours] = shares(sizes)
    return CheckpointView(
        rows=tuple(rows.values()),
        shares=tuple(uneven.items()),
        aliases=tuple(aliases(graph).items()),
        dead=dead_patterns(graph),
        ignored=ignored_patterns(graph),
        parts=tuple(PartView(p.name, p.nodes, p.prefix, tuple(p.aliases.items())) for p in parts(graph)),
    )


def _modules(node: Node) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    """(our module, the reference's, rows of each) for every module of a node, layers folded into `*`."""
    found: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {}
    prefix = node.checkpoint.prefix
    for parameter in node.spec.parameters():
        pattern, _ = starred(parameter.path)
        theirs = tuple(prefix + reference_name(node.checkpoint.names, starred(p.path)[0]) for p in parameter.pieces)
        ours = f"{node.name}.{pattern}"
        leaf = f".{pattern.rpartition('.')[2]}"
        if all(name.endswith(leaf) for name in theirs):
            ours, theirs = ours.removesuffix(leaf), tuple(name.removesuffix(leaf) for name in theirs)
        found.setdefault(ours, (ours, theirs, tuple(piece.rows for piece in parameter.pieces)))
    return list(found.values())
