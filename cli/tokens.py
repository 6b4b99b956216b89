"""Say how many tokens of a prompt images of some sizes come to, by `prompt.image` of the graph. No torch, no tokenizer.

It counts with the page `tokens.py` of the package: the tokens whose places the features of an image take. How many
stand around and between them is for the tokenizer to say.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from . import options as shared
from .console import UsageError

EXAMPLES = """
    graphvlm tokens llava_v1_6_mistral_7b 640x480 1024x768
    graphvlm tokens internvl3_8b 640x480 prompt.image.tiling.max_tiles=6
    graphvlm tokens qwen2_5_vl_7b 1920x1080 --json
"""
_HELP = "WIDTHxHEIGHT of an image of the request; " + shared.CHANGES_HELP
_SIZE = re.compile(r"([1-9]\d{0,6})x([1-9]\d{0,6})\Z")


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    parser.add_argument("changes", metavar="SIZE|CHANGE", nargs="+", help=_HELP)
    parser.add_argument("--format", choices=shared.FORMATS, default="text", help="of diagnostics (default: text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    sizes = [(int(found[1]), int(found[2])) for word in args.changes if (found := _SIZE.match(word))]
    args.changes = [word for word in args.changes if not _SIZE.match(word)]
    if not sizes:
        raise UsageError("give the size of an image, such as 640x480")
    graph = shared.load(args)

    from graphvlm.counting import counter

    count = counter(graph)
    if count is None:
        raise UsageError(f"`{graph.name}` does not say what its images are: write `prompt.image`")
    try:
        rows: list[dict[str, Any]] = [
            {"width": width, "height": height, **count(height, width, len(sizes))} for width, height in sizes
        ]
    except ValueError as problem:  # an image of a shape that the encoder cannot take
        raise UsageError(str(problem)) from None
    total = sum(row["features"] for row in rows)
    if args.format == "json":
        print(json.dumps({"graph": graph.name, "images": rows, "features": total}, indent=2))
        return 0
    for row in rows:
        grid = f", {row['rows']} x {row['columns']} {row['of']}" if "rows" in row else ""
        print(f"{row['width']}x{row['height']}: {row['features']} features{grid}")
    if len(rows) > 1:
        print(f"together: {total} features")
    return 0
