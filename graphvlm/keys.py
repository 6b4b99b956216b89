"""The name map: which keys of a reference checkpoint each parameter of the generated package is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import gcd, isqrt, prod

from .blocks.parameters import Parameter
from .blocks.parameters import copies as shared_weights
from .ir import Graph, Node


@dataclass(frozen=True, slots=True)
class Key:
    """One reference key: its name in files, and the shape that our parameter needs of it."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One parameter of the package and the keys that are joined, row by row, to make it."""

    path: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What loads together from one directory: a node, with the token embedding that its reference holds."""

    name: str
    nodes: tuple[str, ...]
    starts: tuple[tuple[str, str], ...]
    aliases: Mapping[str, str]


def entries(graph: Graph) -> tuple[Entry, ...]:
    """Every parameter of the package, in its order."""
    return tuple(entry for node in graph.owners for entry in node_entries(node, node.stored))


def node_entries(node: Node, parameters: tuple[Parameter, ...]) -> tuple[Entry, ...]:
    """The entries for some parameters of a node."""
    return tuple(
        Entry(
            f"{node.name}.{parameter.path}",
            tuple(
                Key(node.checkpoint.whole(name), _stored(node, parameter, (rows, *_row(node, parameter))))
                for name, rows in named_rows(node.checkpoint.names, parameter)
            ),
        )
        for parameter in parameters
    )


def _stored(node: Node, parameter: Parameter, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in files of a tensor that we keep in `shape`."""
    if parameter.path in node.checkpoint.scalars:
        return ()
    leading, transposed = stored_otherwise(node, parameter)
    if is_row(node, parameter):
        return 1, *shape
    if is_flat(node, parameter):
        return shape[0], prod(shape[1:])
    if is_square(node, parameter):
        return isqrt(shape[0]), isqrt(shape[0]), *shape[1:]
    return (1,) * leading + ((*shape[:-2], shape[-1], shape[-2]) if transposed else shape)


def _row(node: Node, parameter: Parameter) -> tuple[int, ...]:
    """Shape of one row of a key: what is stacked here may be stacked there too."""
    return parameter.shape[1:] if whole_name(node.checkpoint.names, parameter) else parameter.row


def whole_name(names: Mapping[str, str], parameter: Parameter) -> str:
    """The reference's name for stacked matrices that are one tensor there too; empty if they are not."""
    pattern, numbers = starred(parameter.path)
    return unstarred(names[pattern], numbers) if parameter.stacked and pattern in names else ""


def stored_otherwise(node: Node, parameter: Parameter) -> tuple[int, bool]:
    """How many axes of length one the reference has before ours, and whether it has our rows as columns."""
    path = starred(parameter.path)[0]
    module = path.rpartition(".")[0]
    leading = node.checkpoint.leading.get(path) or node.checkpoint.leading.get(module) or 0
    return leading, len(parameter.shape) > 1 and bool({path, module} & {*node.checkpoint.transposed})


def is_flat(node: Node, parameter: Parameter) -> bool:
    """Whether the reference keeps the rows of our tensor without axes of their own."""
    path = starred(parameter.path)[0]
    return bool({path, path.rpartition(".")[0]} & {*node.checkpoint.flat}) and len(parameter.shape) > 2


def is_square(node: Node, parameter: Parameter) -> bool:
    """Whether the rows of our table stand in as many rows as columns in the reference."""
    path = starred(parameter.path)[0]
    return bool({path, path.rpartition(".")[0]} & {*node.checkpoint.square})


def is_row(node: Node, parameter: Parameter) -> bool:
    """Whether our tensor is one row of the reference's."""
    return starred(parameter.path)[0] in node.checkpoint.rows


def shapes(found: Iterable[Entry]) -> dict[str, tuple[int, ...]]:
    """Reference key -> its shape in files; a key that fills several parameters has the rows of all."""
    shapes: dict[str, tuple[int, ...]] = {}
    for key in (key for entry in found for key in entry.keys):
        if not key.shape:
            shapes[key.name] = ()
            continue
        rows = shapes[key.name][0] if key.name in shapes else 0
        shapes[key.name] = (rows + key.shape[0], *key.shape[1:])
    return shapes


def named_rows(names: Mapping[str, str], parameter: Parameter) -> list[tuple[str, int]]:
    """The reference's name and the rows of each piece; pieces that the reference has joined too are one."""
    if whole := whole_name(names, parameter):
        return [(whole, parameter.shape[0])]
    found: list[tuple[str, int]] = []
    for piece in parameter.pieces:
        name, before = reference_name(names, piece.path), found[-1][0] if found else None
        if name == before:
            found[-1] = (name, found[-1][1] + piece.rows)
        else:
            found.append((name, piece.rows))
    return found


def reference_name(names: Mapping[str, str], path: str) -> str:
    """The reference's name, without prefix, for one of our unmerged parameter paths; our own if it has none."""
    pattern, numbers = starred(path)
    module, _, leaf = path.rpartition(".")
    if (counted := names.get(module)) and pattern != path:  # a name for this layer alone
        return f"{counted}.{leaf}"
    if (counted := names.get(path)) and pattern != path:
        return counted
    found = names.get(pattern)
    if found is None:
        stem = names.get(pattern.rpartition(".")[0])
        found = pattern if stem is None else f"{stem}.{leaf}"
    return unstarred(found, numbers)


def starred(path: str) -> tuple[str, tuple[str, ...]]:
    """`layers.3.attn.wq` -> (`layers.*.attn.wq`, ("3",))."""
    parts = path.split(".")
    numbers = tuple(part for part in parts if part.isdigit())
    return ".".join("*" if part.isdigit() else part for part in parts), numbers


def unstarred(pattern: str, numbers: tuple[str, ...]) -> str:
    """The stars of a pattern replaced by numbers, in order; `*+7` by seven more."""
    for number in numbers:
        pattern = _STAR.sub(lambda found, own=int(number): str(own + int(found[1] or 0)), pattern, count=1)  # type: ignore[misc]
    return pattern


def plain_stars(pattern: str) -> str:
    """A pattern without the sums behind its stars."""
    return _STAR.sub("*", pattern)


_STAR = re.compile(r"\*(?:\+(\d+))?")


def dead_keys(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Reference keys of what the dead-layer pass left out, with their shapes."""
    return shapes(entry for dead in graph.dead for entry in node_entries(graph.nodes[dead.node], dead.parameters))


def dead_patterns(graph: Graph) -> tuple[str, ...]:
    """The dead keys as patterns, one for each dead module."""
    found = []
    for dead in graph.dead:
        node = graph.nodes[dead.node]
        for path in dead.paths:
            stem = _module_name(node.checkpoint.names, path)
            found.append(node.checkpoint.whole(f"{stem}.*"))
    return tuple(dict.fromkeys(found))


def ignored_patterns(graph: Graph) -> tuple[str, ...]:
    """Patterns of keys that a checkpoint may hold and that nothing here needs."""
    named = [node.checkpoint.whole(pattern) for node in graph.owners for pattern in node.checkpoint.ignore]
    tied = [
        node.checkpoint.whole(f"{_module_name(node.checkpoint.names, 'head')}.*")
        for node in graph.owners
        if getattr(getattr(node.spec, "head", None), "tied", False)
    ]
    copies = [
        node.checkpoint.whole(starred(reference_name(node.checkpoint.names, path))[0])
        for node in graph.owners
        if node.tie
        for path in ("embed", *(each.path for each in node.spec.parameters() if not node.tie.keeps(each.path)))
    ]
    shared = [
        node.checkpoint.whole(reference_name(node.checkpoint.names, each.path))
        for node in graph.owners
        if node.spec.stack and node.spec.stack.shared
        for each in shared_weights(node.spec.stack)
    ]
    copied = (f"{name.removesuffix('.weight').removesuffix('.bias')}.*" for name in copies)
    return tuple(dict.fromkeys([*graph.ignored, *named, *tied, *shared, *copied]))


def _module_name(names: Mapping[str, str], path: str) -> str:
    pattern, numbers = starred(path)
    if pattern in names:
        return unstarred(names[pattern], numbers)
    # A whole layer has no entry of its own: what all its entries have in common is its name.
    below = [value for key, value in names.items() if key.startswith(f"{pattern}.")]
    if not below:
        return path
    common = below[0].split(".")
    for value in below[1:]:
        parts = value.split(".")
        length = next((i for i, (a, b) in enumerate(zip(common, parts, strict=False)) if a != b), len(common))
        common = common[:length]
    stars = [index for index, part in enumerate(common) if part.startswith("*")]
    return unstarred(".".join(common[: stars[0] + 1] if stars else common), numbers)


def aliases(graph: Graph) -> dict[str, str]:
    """Other spellings of key prefixes -> file layout; the graph's first, then those of the nodes, longest first."""
    own = {
        node.checkpoint.whole(old): node.checkpoint.whole(new)
        for node in graph.owners
        for old, new in node.checkpoint.aliases.items()
    }
    return {**_longest_first(graph.aliases), **_longest_first(own)}


def _longest_first(found: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))


def parts(graph: Graph) -> tuple[Part, ...]:
    """What can be loaded from a directory of its own, by node."""
    embeddings = _embeddings_by_owner(graph)
    inner = {name for names in embeddings.values() for name in names}
    found = []
    for node in graph.owners:
        name = node.name
        if name in inner or not (node.stored or node.imported):
            continue
        nodes = (*embeddings.get(name, ()), name)
        found.append(Part(name, nodes, node.checkpoint.starts, node.checkpoint.aliases))
    return tuple(found)


def _embeddings_by_owner(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Decoder -> the token embedding whose reference name it supplied."""
    found: dict[str, tuple[str, ...]] = {}
    for node in graph.owners:
        if "embed" not in node.checkpoint.names:
            continue
        first = graph.nodes[graph.embedding(node.name)]
        if first.name != node.name and first.parameters:
            found[node.name] = (first.name,)
    return found


def shares(rows: tuple[int, ...]) -> tuple[int, ...]:
    """Rows in lowest terms: 96, 32, 32 -> 3, 1, 1."""
    divisor = gcd(*rows)
    return tuple(row // divisor for row in rows)
