"""The view of `checkpoint.py`: the name map as a table a person can read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..blocks.parameters import Parameter, Piece
from ..code import quoted
from ..ir import Graph, Node
from ..keys import (
    aliases,
    dead_patterns,
    ignored_patterns,
    is_flat,
    is_row,
    is_square,
    named_rows,
    parts,
    plain_stars,
    reference_name,
    shares,
    starred,
    stored_otherwise,
    whole_name,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One module (or bare parameter) of ours, and the reference's: several are joined by rows."""

    ours: str
    theirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartView:
    """What loads from one directory; `starts` are beginnings of its keys and what they are in a whole."""

    name: str
    nodes: tuple[str, ...]
    starts: tuple[tuple[str, str], ...]
    aliases: tuple[tuple[str, str], ...]

    @property
    def beginnings(self) -> str:
        """The starts as a Python dict."""
        return "{" + ", ".join(f"{quoted(old)}: {quoted(new)}" for old, new in self.starts) + "}"


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """Everything on the page of `checkpoint.py`."""

    rows: tuple[Row, ...]
    shares: tuple[tuple[str, tuple[int, ...]], ...]
    aliases: tuple[tuple[str, str], ...]
    dead: tuple[str, ...]
    ignored: tuple[str, ...]
    parts: tuple[PartView, ...]
    by_head: tuple[tuple[str, int, tuple[int, ...]], ...]
    leading: tuple[tuple[str, int], ...]
    transposed: tuple[str, ...]
    interleaved: tuple[str, ...]
    flat: tuple[str, ...]
    square: tuple[str, ...]
    halves: tuple[str, ...]
    scalars: tuple[str, ...]
    single: tuple[str, ...]
    teachers: bool
    tied: bool
    repeated: bool
    buffers: tuple[str, ...]
    imported: tuple[tuple[str, str], ...]

    @property
    def scattered(self) -> bool:
        """Whether some part has its keys in several places of a whole."""
        return any(len(part.starts) > 1 for part in self.parts)

    @property
    def altering(self) -> tuple[str, ...]:
        """The tables of what files have in another order or shape."""
        tables = {
            "BY_HEAD": self.by_head,
            "FLAT": self.flat,
            "INTERLEAVED": self.interleaved,
            "LEADING": self.leading,
            "ROWS": self.single,
            "SCALARS": self.scalars,
            "SQUARE": self.square,
            "TRANSPOSED": self.transposed,
        }
        return tuple(name for name, entries in tables.items() if entries)

    @property
    def stacked(self) -> bool:
        """Whether matrices of experts are stacked."""
        return any("#" in name for row in self.rows for name in row.theirs)

    @property
    def counted(self) -> bool:
        """Whether the reference counts the layers that have a sublayer."""
        return any("%" in name for row in self.rows for name in row.theirs)

    @property
    def further(self) -> bool:
        """Whether the reference numbers layers or experts on from others."""
        return any("*+" in name or "#+" in name for row in self.rows for name in row.theirs)

    @property
    def exceptions(self) -> bool:
        """Whether layers differ in how the rows of one matrix are shared."""
        return any(ours not in {row.ours for row in self.rows} for ours, _ in self.shares)


def make(graph: Graph) -> CheckpointView:
    """The view for a graph after its passes."""
    rows: dict[str, Row] = {}
    joined: dict[str, dict[str, tuple[int, ...]]] = {}
    for node in graph.owners:
        for module, row, sizes in _modules(node):
            rows.setdefault(row.ours, row)
            joined.setdefault(row.ours, {})[module] = shares(sizes)
    return CheckpointView(
        rows=tuple(rows.values()),
        shares=tuple(item for ours, modules in joined.items() for item in _uneven(ours, modules)),
        aliases=tuple(aliases(graph).items()),
        dead=dead_patterns(graph),
        ignored=ignored_patterns(graph),
        parts=tuple(PartView(p.name, p.nodes, p.starts, tuple(p.aliases.items())) for p in parts(graph)),
        by_head=tuple(item for node in graph.owners for item in _by_head(node)),
        leading=tuple((name, leading) for name, leading, _ in _otherwise(graph) if leading),
        transposed=tuple(dict.fromkeys(starred(name)[0] for name, _, turned in _otherwise(graph) if turned)),
        interleaved=tuple(dict.fromkeys(_interleaved(graph))),
        flat=tuple(_flat(graph)),
        square=tuple(_square(graph)),
        halves=tuple(dict.fromkeys(_halves(graph))),
        scalars=tuple(_scalars(graph)),
        single=tuple(dict.fromkeys(_single(graph))),
        teachers=bool(graph.teachers),
        tied=any(node.tie for node in graph.owners),
        repeated=any(node.tie or (node.spec.stack and node.spec.stack.shared) for node in graph.owners),
        buffers=tuple(f"{node.name}.{each.path}" for node in graph.owners for each in node.spec.buffers()),
        imported=tuple((node.name, node.checkpoint.whole("")) for node in graph.imported),
    )


def _halves(graph: Graph) -> Iterator[str]:
    """Our names, with layers as `*`, of stacks of two matrices that have an axis of their own."""
    for node in graph.owners:
        for parameter in node.stored:
            if parameter.halves:
                yield f"{node.name}.{starred(parameter.path)[0]}"


def _interleaved(graph: Graph) -> Iterator[str]:
    """The reference's names, with layers as `*`, of stacked matrices whose rows take turns."""
    for node in graph.owners:
        for parameter in node.stored:
            if starred(parameter.path)[0] in node.checkpoint.interleaved:
                yield from (plain_stars(node.checkpoint.whole(name)) for name, _ in _starred_rows(node, parameter))


def _flat(graph: Graph) -> Iterator[str]:
    """The reference key of every tensor whose rows have one axis there."""
    for node in graph.nodes.values():
        for parameter in node.stored:
            if is_flat(node, parameter):
                yield node.checkpoint.whole(named_rows(node.checkpoint.names, parameter)[0][0])


def _square(graph: Graph) -> Iterator[str]:
    """The reference key of every table whose rows stand in a square there."""
    for node in graph.owners:
        for parameter in node.stored:
            if is_square(node, parameter):
                yield node.checkpoint.whole(named_rows(node.checkpoint.names, parameter)[0][0])


def _scalars(graph: Graph) -> Iterator[str]:
    """The reference key of every single number, which has no axis there."""
    for node in graph.owners:
        for parameter in node.stored:
            if parameter.path in node.checkpoint.scalars:
                yield node.checkpoint.whole(reference_name(node.checkpoint.names, parameter.path))


def _single(graph: Graph) -> Iterator[str]:
    """The reference's names, with layers as `*`, of tensors of which each row is a parameter here."""
    for node in graph.owners:
        for parameter in node.stored:
            if is_row(node, parameter):
                yield starred(node.checkpoint.whole(named_rows(node.checkpoint.names, parameter)[0][0]))[0]


def _otherwise(graph: Graph) -> Iterator[tuple[str, int, bool]]:
    """(reference key, leading axes, whether transposed) of every tensor that files keep in another shape."""
    for node in graph.owners:
        for parameter in node.stored:
            leading, transposed = stored_otherwise(node, parameter)
            if leading or transposed:
                yield node.checkpoint.whole(named_rows(node.checkpoint.names, parameter)[0][0]), leading, transposed


def _by_head(node: Node) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    """(reference name, heads, rows of each part in one of them) of what the reference joins head by head.

    One for all layers, then those of layers that differ from the first.
    """
    joined: dict[str, list[Piece]] = {}
    for piece in (piece for parameter in node.parameters for piece in parameter.pieces if piece.heads):
        name = reference_name(node.checkpoint.names, piece.path).rpartition(".")[0]
        joined.setdefault(node.checkpoint.whole(name), []).append(piece)
    usual: dict[str, tuple[int, tuple[int, ...]]] = {}
    for name, pieces in joined.items():
        if starred(pieces[0].path)[0].rpartition(".")[0] in node.checkpoint.by_head:
            weights = [piece for piece in pieces if piece.path.endswith(".weight")]
            heads = min(piece.heads for piece in weights)
            sizes = heads, tuple(piece.rows // heads for piece in weights)
            pattern = starred(name)[0]
            if usual.setdefault(pattern, sizes) != sizes:
                yield name, *sizes
    yield from ((pattern, *sizes) for pattern, sizes in usual.items())


def _modules(node: Node) -> Iterator[tuple[str, Row, tuple[int, ...]]]:
    """(our module, its row with layers folded into `*`, rows of each piece) for every parameter of a node."""
    for parameter in node.stored:
        pattern, _ = starred(parameter.path)
        named = _starred_rows(node, parameter)
        theirs = tuple(node.checkpoint.whole(name) for name, _ in named)
        leaf = f".{pattern.rpartition('.')[2]}"
        if not all(name.endswith(leaf) for name in theirs):
            leaf = ""
        row = Row(f"{node.name}.{pattern}".removesuffix(leaf), tuple(name.removesuffix(leaf) for name in theirs))
        sizes = tuple(rows for _, rows in named)
        yield f"{node.name}.{parameter.path}".removesuffix(leaf), row, sizes


def _starred_rows(node: Node, parameter: Parameter) -> list[tuple[str, int]]:
    """The reference's names with layers as `*`, and the rows of each; of stacked experts the first, with `#` for it.

    Where the reference counts the layers that have a sublayer, `%` stands for that number.
    """
    names = {pattern: name.replace("#", "%") for pattern, name in node.checkpoint.names.items()}
    if not parameter.stacked:
        pieces = tuple(replace(piece, path=starred(piece.path)[0]) for piece in parameter.pieces)
        return named_rows(names, replace(parameter, pieces=pieces))
    if whole := whole_name(names, replace(parameter, path=starred(parameter.path)[0])):
        return [(whole, parameter.shape[0])]
    first = parameter.pieces[: len(parameter.pieces) // parameter.shape[0]]
    found = [(reference_name(names, starred(piece.path)[0]), piece.rows) for piece in first]
    return [("#".join(name.rsplit("*", 1)), rows) for name, rows in found]


def _uneven(ours: str, modules: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The shares of a merged matrix where they are not even, then those of layers that differ from the first."""
    usual = next(iter(modules.values()))
    if len(set(usual)) > 1:
        yield ours, usual
    yield from ((module, found) for module, found in modules.items() if found != usual)
