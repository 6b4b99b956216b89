"""Print the JSON Schema of the language, in one piece, for editors and other tools; or its reference, for people."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from . import options as shared

EXAMPLES = """
    graphvlm schema -o graph.schema.json     # then, as the first line of a graph:
                                             # yaml-language-server: $schema=graph.schema.json
    graphvlm schema --reference > language.md
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reference", action="store_true", help="Markdown: every key, with its type and meaning")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="(default: standard output)")


def run(args: argparse.Namespace) -> int:
    if args.reference:
        from graphvlm.schema_reference import reference

        text = reference()
    else:
        from graphvlm import schema

        text = json.dumps(schema.bundle(), indent=2) + "\n"
    shared.write(text, args.output)
    return 0
