"""List the catalog parts and the graphs that come along, with their sizes.

In a graph, `use: encoder/clip_vit_l_14_336` loads a part. A command that takes a graph takes the name of a shipped one.
Maps of checkpoint keys are parts too; they are listed when they are asked for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from graphvlm import catalog
from graphvlm.drawing import human_count

from . import sizes

EXAMPLES = """
    graphvlm list                            # everything
    graphvlm list qwen                       # all whose name or description has the word
    graphvlm list clip 336 --kind encoder    # encoders that have both words
    graphvlm list graphs --json              # the ready graphs, for programs
    graphvlm list llava --kind checkpoint    # maps of checkpoint keys
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORD", nargs="*", help="`parts` or `graphs`, and words to search for")
    parser.add_argument(
        "--kind", metavar="KIND", help="only these: graph, encoder, decoder, projector, checkpoint, ..."
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="(default: text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    what, words = (args.words[0], args.words[1:]) if args.words[:1] in (["parts"], ["graphs"]) else ("", args.words)
    found = {
        "graphs": [] if what == "parts" else _entries(catalog.describe_graphs(), words, args.kind),
        "parts": [] if what == "graphs" else _entries(catalog.describe_parts(), words, args.kind),
    }
    known = sizes.of_all(
        {entry.name: entry.path for entry in found["graphs"]}, (entry.name for entry in found["parts"])
    )
    rows = {title: [_row(entry, known[entry.name]) for entry in entries] for title, entries in found.items()}
    if args.format == "json":
        print(json.dumps(rows[what] if what else rows, indent=2))
    else:
        print("\n\n".join(_table(title, table) for title, table in rows.items() if table) or "nothing found")
    return 0


def _entries(entries: Sequence[catalog.Entry], words: Sequence[str], kind: str | None) -> list[catalog.Entry]:
    """Those of a kind that have every word. Checkpoint maps, which have no size, are listed by their kind alone."""
    return [entry for entry in entries if _matches(entry, words) and (entry.kind == kind if kind else _shown(entry))]


def _shown(entry: catalog.Entry) -> bool:
    return entry.kind != "checkpoint"


def _matches(entry: catalog.Entry, words: Sequence[str]) -> bool:
    text = f"{entry.name} {entry.kind} {entry.type} {entry.description}".lower()
    return all(word.lower() in text for word in words)


def _row(entry: catalog.Entry, size: sizes.Size) -> dict[str, Any]:
    row = {"name": entry.name, "kind": entry.kind, "type": entry.type, **asdict(size)}
    return {**row, "description": entry.description, "source": entry.source, "path": str(entry.path)}


_COLUMNS = ("name", "params", "layers x width", "heads", "tokens", "description")


def _table(title: str, rows: list[dict[str, Any]]) -> str:
    """Columns of equal width, right-aligned where they are numbers; one that nobody fills is left out."""
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    used = [index for index in range(len(_COLUMNS)) if any(row[index] for row in cells[1:])]
    widths = {index: max(len(row[index]) for row in cells) for index in used}
    lines = ["  ".join(_aligned(row[index], widths[index], index) for index in used) for row in cells]
    return "\n".join([f"{title}:", *(f"  {line}".rstrip() for line in lines)])


def _aligned(text: str, width: int, column: int) -> str:
    return f"{text:{width}}" if column in (0, len(_COLUMNS) - 1) else f"{text:>{width}}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    heads = str(row["heads"] or "")
    if heads and row["kv_heads"] != row["heads"]:
        heads += f"/{row['kv_heads']}"
    shape = f"{row['layers']} x {row['dim']}" if row["layers"] else ""
    count = "" if row["parameters"] is None else human_count(row["parameters"])
    return (row["name"], count, shape, heads, str(row["tokens"] or ""), row["description"])
