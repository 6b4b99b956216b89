"""Draw a graph: an SVG with kinds by colour, shapes on the edges and parameter counts; for dark and light pages."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import options as shared

EXAMPLES = """
    graphvlm viz my_model.yaml -o my_model.svg
    graphvlm viz llava_1_5_7b > llava.svg
"""


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    shared.add_changes(parser)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="(default: standard output)")
    shared.add_passes(parser)


def run(args: argparse.Namespace) -> int:
    from graphvlm.drawing import draw
    from graphvlm.drawing.from_graph import picture
    from graphvlm.passes import apply_all

    shared.write(draw(picture(apply_all(shared.load(args)))), args.output)
    return 0
