"""Compile a graph into a PyTorch package: DIR/<name of the graph>/.

A file that was edited since it was written is never overwritten without --force.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from graphvlm.diagnostics import Diagnostic, GraphError

from . import console
from . import options as shared

EXAMPLES = """
    graphvlm build my_model.yaml -o packages
    graphvlm build llava_1_5_7b -o packages --keep-dead
    graphvlm build my_model.yaml smaller.yaml nodes.llm.layers=2 -o packages
"""


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    shared.add_changes(parser)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path(), help="(default: this folder)")
    parser.add_argument("--force", action="store_true", help="overwrite files that were edited by hand")
    shared.add_passes(parser)


def run(args: argparse.Namespace) -> int:
    import graphvlm

    overlays, overrides = shared.changes(args)
    path = shared.graph_path(args.graph)
    try:
        with console.step(f"building {args.graph}"):
            package = graphvlm.build(path, args.output, *overlays, overrides=overrides, force=args.force)
    except GraphError as problem:
        raise GraphError(_with_diff(each) for each in problem.diagnostics) from None
    print(package)
    return 0


def _with_diff(diagnostic: Diagnostic) -> Diagnostic:
    """The diff of files that were edited is long: it goes before the message, as it is."""
    if diagnostic.rule != "edited-output":
        return diagnostic
    console.note(diagnostic.note)
    return dataclasses.replace(diagnostic, note="")
