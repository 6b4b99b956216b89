"""The part of `export` that writes a package for torchtitan."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from graphvlm.ir import Graph


def run(args: argparse.Namespace, graph: Graph) -> int:
    """Write the package, without weights: torchtitan reads those that its run names."""
    from graphvlm.exporters.folder import MANIFEST, ForeignFiles, digests, replaced, write_json
    from graphvlm.rendering import render_titan

    folder = args.output / f"{graph.name}_titan"
    files = render_titan(graph)
    try:
        with replaced(folder, force=args.force) as new:
            for name, text in files.items():
                (new / name).write_text(text, encoding="utf-8", newline="\n")
            manifest = {"format": 1, "kind": "titan", "graph": graph.name, "files": digests(new)}
            write_json(new / MANIFEST, manifest)
    except ForeignFiles as problem:
        raise console.UsageError(str(problem)) from None
    print(json.dumps({"folder": str(folder), **manifest}, indent=1) if args.json else folder)
    return 0
