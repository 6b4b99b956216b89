"""The view of `checkpoint.py`: the name map as a table a person can read."""

from __future__ import annotations

from collections.abc import Iterator
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

    @property
    def exceptions(self) -> bool:
        """Whether layers differ in how the rows of one matrix are shared."""
        return any(ours not in {row.ours for row in self.rows} for ours, _ in self.shares)


def make(graph: Graph) -> CheckpointView:
    """The view for a graph after its passes."""
    rows: dict[str, Row] = {}
    joined: dict[str, dict[str, tuple[int, ...]]] = {}
    for node in graph.nodes.values():
        for module, row, sizes in _modules(node):
            rows.setdefault(row.ours, row)
            joined.setdefault(row.ours, {})[module] = shares(sizes)
    return CheckpointView(
        rows=tuple(rows.values()),
        shares=tuple(item for ours, modules in joined.items() for item in _uneven(ours, modules)),
        aliases=tuple(aliases(graph).items()),
        dead=dead_patterns(graph),
        ignored=ignored_patterns(graph),
        parts=tuple(PartView(p.name, p.nodes, p.prefix, tuple(p.aliases.items())) for p in parts(graph)),
    )


def _modules(node: Node) -> Iterator[tuple[str, Row, tuple[int, ...]]]:
    """(our module, its row with layers folded into `*`, rows of each piece) for every parameter of a node."""
    prefix = node.checkpoint.prefix
    for parameter in node.spec.parameters():
        pattern, _ = starred(parameter.path)
        theirs = tuple(prefix + reference_name(node.checkpoint.names, starred(p.path)[0]) for p in parameter.pieces)
        leaf = f".{pattern.rpartition('.')[2]}"
        if not all(name.endswith(leaf) for name in theirs):
            leaf = ""
        row = Row(f"{node.name}.{pattern}".removesuffix(leaf), tuple(name.removesuffix(leaf) for name in theirs))
        sizes = tuple(piece.rows for piece in parameter.pieces)
        yield f"{node.name}.{parameter.path}".removesuffix(leaf), row, sizes


def _uneven(ours: str, modules: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The shares of a merged matrix where they are not even, then those of layers that differ from the first."""
    usual = next(iter(modules.values()))
    if len(set(usual)) > 1:
        yield ours, usual
    yield from ((module, found) for module, found in modules.items() if found != usual)
