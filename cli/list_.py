"""List the catalog parts and the graphs that come along, with their sizes.

In a graph, `use: encoder/clip_vit_l_14_336` loads a part. A command that takes a graph takes the name of a shipped one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from graphvlm import catalog
from graphvlm.drawing import human_count

from . import sizes

EXAMPLES = """
    graphvlm list                       # everything
    graphvlm list parts encoder clip    # the parts whose name or description has both words
    graphvlm list graphs --format json
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORD", nargs="*", help="`parts` or `graphs`, and words to search for")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: text)")


def run(args: argparse.Namespace) -> int:
    what, words = (args.words[0], args.words[1:]) if args.words[:1] in (["parts"], ["graphs"]) else ("", args.words)
    found: dict[str, list[dict[str, Any]]] = {}
    if what != "parts":
        found["graphs"] = [_row(entry) for entry in catalog.describe_graphs() if _matches(entry, words)]
    if what != "graphs":
        found["parts"] = [_row(entry) for entry in catalog.describe_parts() if _matches(entry, words)]
    if args.format == "json":
        print(json.dumps(found[what] if what else found, indent=2))
    else:
        print("\n\n".join(_table(title, rows) for title, rows in found.items() if rows) or "nothing found")
    return 0


def _matches(entry: catalog.Entry, words: Sequence[str]) -> bool:
    text = f"{entry.name} {entry.kind} {entry.type} {entry.description}".lower()
    return all(word.lower() in text for word in words)


def _row(entry: catalog.Entry) -> dict[str, Any]:
    count = sizes.of_graph(entry.path) if entry.kind == "graph" else sizes.of_part(entry.name)
    row = {"name": entry.name, "kind": entry.kind, "type": entry.type, "parameters": count}
    return {**row, "description": entry.description, "source": entry.source, "path": str(entry.path)}


def _table(title: str, rows: list[dict[str, Any]]) -> str:
    width = max(len(row["name"]) for row in rows)
    counts = ["" if row["parameters"] is None else human_count(row["parameters"]) for row in rows]
    lines = [
        f"  {row['name']:{width}}  {count:>7}  {row['description']}" for row, count in zip(rows, counts, strict=True)
    ]
    return "\n".join([f"{title}:", *map(str.rstrip, lines)])
