"""Print a catalog part with everything it holds, or a shipped graph with everything that was inferred."""

from __future__ import annotations

import argparse
import json

import yaml

import graphvlm
from graphvlm import catalog
from graphvlm.compose import compose
from graphvlm.diagnostics import Source, did_you_mean
from graphvlm.yaml_text import write_yaml

from . import sizes
from .console import UsageError

EXAMPLES = """
    graphvlm show encoder/clip_vit_l_14_336
    graphvlm show decoder/qwen3_8b --format json
    graphvlm show llava_1_5_7b
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("part", metavar="PART", help="kind/part, or the name of a shipped graph")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: text, which is YAML)")


def run(args: argparse.Namespace) -> int:
    graphs, parts = catalog.graphs(), catalog.parts()
    if args.part in graphs:
        from graphvlm.emit import emit

        graph = graphvlm.load(graphs[args.part])
        text = emit(graph)
        count: int | None = graph.parameter_count
    elif args.part in parts:
        around = Source("<part>", f"part: {{use: {args.part}}}")
        settings = compose(around).plain()["part"]
        count = sizes.of_part(args.part).parameters
        text = write_yaml(settings)
    else:
        hint = did_you_mean(args.part, [*parts, *graphs]) or "`graphvlm list` names them all"
        raise UsageError(f"there is no part `{args.part}`; {hint}")
    if args.format == "json":
        print(json.dumps({"name": args.part, "parameters": count, "settings": yaml.safe_load(text)}, indent=2))
    else:
        print(f"# {args.part}: {_size(args.part, count)}\n{text}", end="")
    return 0


def _size(name: str, count: int | None) -> str:
    if count is None:
        return "its neighbours in a graph decide its parameters"
    return f"{count:,} parameters" + (", token embedding included" if name.startswith("decoder/") else "")
