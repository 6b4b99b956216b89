"""The view of the package's `README.md`."""

from __future__ import annotations

from dataclasses import dataclass

from ..dims import show_shape
from ..ir import Graph, Node
from ..keys import dead_keys, dead_patterns, parts


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    name: str
    what: str = ""
    inside: str = ""
    out: str = ""
    parameters: str = ""
    shape: str = ""


@dataclass(frozen=True, slots=True)
class ReadmeView:
    """Everything on the page."""

    nodes: tuple[Row, ...]
    inputs: tuple[Row, ...]
    outputs: tuple[Row, ...]
    total: str
    dead: tuple[str, ...]
    dead_parameters: str
    frozen: str
    keywords: tuple[str, ...]
    parts: str
    generates: bool
    beside: str

    @property
    def call(self) -> str:
        return ", ".join(self.keywords)


def make(graph: Graph, arguments: tuple[str, ...], *, generates: bool) -> ReadmeView:
    """The view; `arguments` are the keywords of `forward`, and `generates` whether there are functions for that."""
    return ReadmeView(
        nodes=tuple(
            Row(
                name=name,
                what=f"{node.kind}: {node.spec.summary()}",
                inside=", ".join(show_shape(graph.port(ref).shape) for ref in node.inputs.values()),
                out=show_shape(next(iter(node.signature.outputs.values())).shape),
                parameters=_count_of(node),
            )
            for name, node in graph.nodes.items()
        ),
        inputs=tuple(
            Row(name=name, what=found.port.what, shape=show_shape(found.port.shape))
            for name, found in graph.inputs.items()
        ),
        outputs=tuple(Row(name=name, shape=show_shape(graph.port(ref).shape)) for name, ref in graph.outputs.items()),
        total=f"{graph.parameter_count:,}",
        dead=tuple(_dead_line(graph)),
        dead_parameters=f"{sum(_count(shape) for shape in dead_keys(graph).values()):,}",
        frozen=", ".join(
            f"`{freeze.pattern}`" + (f" until step {freeze.until}" if freeze.until is not None else "")
            for freeze in graph.freeze
        ),
        keywords=tuple(f"{name}={name}" for name in arguments),
        parts="{" + ", ".join(f'"{part.name}": directory' for part in parts(graph)) + "}",
        generates=generates,
        beside=_beside(graph),
    )


def _count_of(node: Node) -> str:
    if node.owner:
        return f"as `{node.owner}`"
    return "imported" if node.imported else f"{node.parameter_count:,}"


def _beside(graph: Graph) -> str:
    """What the package needs beside torch."""
    packages = ", ".join(dict.fromkeys(f"`{node.spec.package}`" for node in graph.imported))
    return f"{packages}, whose modules it imports" if packages else "nothing else"


def _dead_line(graph: Graph) -> list[str]:
    paths = [f"`{dead.node}.{path}`" for dead in graph.dead for path in dead.paths]
    keys = [f"`{pattern}`" for pattern in dead_patterns(graph)]
    return [f"{ours}, in checkpoints {theirs}" for ours, theirs in zip(paths, keys, strict=False)]


def _count(shape: tuple[int, ...]) -> int:
    number = 1
    for size in shape:
        number *= size
    return number
