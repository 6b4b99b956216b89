"""The part of `export` that writes programs of torch and libraries of AOTInductor."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from . import console, quantising

if TYPE_CHECKING:
    from graphvlm.ir import Graph


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `--pt2`."""
    group = parser.add_argument_group("programs of torch")
    group.add_argument("--no-libraries", action="store_true", help="write the programs, and compile nothing")


def run(args: argparse.Namespace, graph: Graph) -> int:
    """Write programs and libraries; 1 if one differs from the package."""
    from graphvlm.exporters.folder import ForeignFiles
    from graphvlm.exporters.pt2 import Options, export
    from graphvlm.exporters.pt2.export import NoCompiler
    from graphvlm.exporters.quantising import NoTorchao

    chosen = Options(
        weights=args.weights,
        seed=args.seed,
        dtype=args.dtype,
        quantize=quantising.recipe(args),
        libraries=not args.no_libraries,
        verify=not args.no_verify,
        force=args.force,
    )
    try:
        made = export(graph, args.output / f"{graph.name}_pt2", chosen, console.note)
    except (ForeignFiles, NoCompiler, NoTorchao, ValueError) as problem:
        raise console.UsageError(str(problem)) from None
    if args.json:
        print(json.dumps({"folder": str(made.folder), **made.manifest}, indent=1))
    else:
        for program in made.manifest["programs"]:
            found = [each.worst for each in made.differences if each.program == program["name"]]
            said = f"{max(found):.1e} from the package" if found else "not verified"
            ratio = f", {program['speed']:.2f} times as fast" if "speed" in program else ""
            print(f"{program['name']:24}{said}{ratio}")
        print(made.folder)
    return 0 if made.agrees else 1
