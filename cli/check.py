"""Report every problem of a graph; if there is none, what it is made of. Nothing is written, torch is not imported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from graphvlm.diagnostics import GraphError
from graphvlm.dims import show_shape
from graphvlm.spec import counted

from . import console
from . import options as shared

if TYPE_CHECKING:
    from graphvlm.ir import Graph, Node

EXAMPLES = """
    graphvlm check my_model.yaml
    graphvlm check llava_1_5_7b nodes.llm.layers=2
    graphvlm check my_model.yaml --format github     # annotations in a pull request
"""


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    shared.add_changes(parser)
    shared.add_passes(parser)


def run(args: argparse.Namespace) -> int:
    from graphvlm.passes import apply_all

    try:
        graph = apply_all(shared.load(args))
    except GraphError as problem:
        console.report(problem.diagnostics, args.format, stream=sys.stdout)
        return 1
    if args.format == "text":
        print("\n".join(_summary(graph)))
    else:
        console.report((), args.format, stream=sys.stdout)
    return 0


def _summary(graph: Graph) -> Iterator[str]:
    from graphvlm.keys import dead_keys, dead_patterns

    modules = len(graph.imported)
    beside = f" and those of {counted(modules, 'imported module')}" if modules else ""
    yield f"{graph.name}: no problems, {graph.parameter_count:,} parameters{beside}"
    rows = [
        (name, f"{node.kind}/{node.type}", _count(node), _shapes(graph, name)) for name, node in graph.nodes.items()
    ]
    name, component, count = (max(len(row[column]) for row in rows) for column in range(3))
    for row in rows:
        yield f"  {row[0]:{name}}  {row[1]:{component}}  {row[2]:>{count}}  {row[3]}"
    if graph.dead:
        paths = [f"{dead.node}.{path}" for dead in graph.dead for path in dead.paths]
        yield f"left out, for no output depends on it (--keep-dead keeps it): {', '.join(paths)}"
        yield f"  {len(dead_keys(graph))} checkpoint keys: {', '.join(dead_patterns(graph))}"


def _count(node: Node) -> str:
    if node.owner:
        return f"of {node.owner}"
    return "imported" if node.imported else f"{node.parameter_count:,}"


def _shapes(graph: Graph, name: str) -> str:
    node = graph.nodes[name]
    inputs = ", ".join(show_shape(graph.port(ref).shape) for ref in node.inputs.values())
    return f"{inputs} -> {show_shape(next(iter(node.signature.outputs.values())).shape)}"
