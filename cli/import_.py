"""Turn a model description into a graph. A field that would change the mathematics is never ignored.

It is a Hugging Face config.json, a YAML definition of LoongForge or a TOML file of KempnerForge: what is in the file
decides.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import options as shared

EXAMPLES = """
    graphvlm import llava-1.5-7b-hf -o llava.yaml       # a folder with config.json
    graphvlm import config.json --name my_model
    graphvlm import configs/models/qwen3/qwen3_8b.yaml  # of LoongForge
    graphvlm import configs/train/vlm_debug.toml        # of KempnerForge
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the description, or a folder with config.json")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="(default: standard output)")
    parser.add_argument("--name", help="of the graph")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument("--format", choices=shared.FORMATS, default="text", help="of diagnostics (default: text)")


def run(args: argparse.Namespace) -> int:
    from graphvlm import importers

    text = importers.import_config(args.config)
    if args.name:
        text = shared.renamed(text, shared.check_name(args.name))
    shared.write(text, args.output, keep=not args.force)
    return 0
