"""The part of `export` that writes a directory for `transformers`."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import console, quantising

if TYPE_CHECKING:
    from graphvlm.ir import Graph

NEEDS = "a directory for transformers needs it: pip install 'graphvlm[hf]'"


def run(args: argparse.Namespace, graph: Graph) -> int:
    """Write the directory; 1 if it does not give what the package gives."""
    if find_spec("transformers") is None:
        raise console.UsageError(NEEDS)
    from graphvlm.exporters.folder import ForeignFiles
    from graphvlm.exporters.hub import Options, export
    from graphvlm.exporters.quantising import NoTorchao

    folder = args.output / f"{graph.name}_hf"
    fewer = quantising.recipe(args)
    options = Options(args.weights, args.seed, args.dtype, fewer, verify=not args.no_verify, force=args.force)
    try:
        made = export(graph, folder, options, console.note)
    except (ForeignFiles, NoTorchao, ValueError) as problem:  # or keys that the checkpoint lacks, or has too many of
        raise console.UsageError(str(problem)) from None
    if args.json:
        print(json.dumps({"folder": str(made.folder), **made.manifest}, indent=1))
    else:
        print(made.folder)
    if not made.manifest["processor"]:
        console.note("no tokenizer: there was none beside the weights")
    return 0 if made.agrees else 1
