"""Compare a written package with what its graph compiles to now: a unified diff, and exit code 1 if there is any.

Meant for CI, to keep a committed package and its graph together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from graphvlm import output

from . import options as shared
from .console import UsageError

EXAMPLES = """
    graphvlm diff my_model.yaml -o packages              # as `build`, with `diff` in its place
    graphvlm diff my_model.yaml packages/my_model
"""


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    shared.add_changes(parser)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="as for build (default: this folder)")
    shared.add_passes(parser)


def run(args: argparse.Namespace) -> int:
    import graphvlm

    folders = [word for word in args.changes if Path(word).is_dir()]
    args.changes = [word for word in args.changes if word not in folders]
    graph = shared.load(args)
    difference = output.diff(_package(graph.name, args.output, folders), graphvlm.render(graph))
    print(difference, end="")
    return 1 if difference else 0


def _package(name: str, out: Path | None, folders: list[str]) -> Path:
    """The folder of the package, which may also be named itself, without -o."""
    if len(folders) + (out is not None) > 1:
        raise UsageError("name one folder: -o DIR, or the package itself")
    if not folders:
        return (out or Path()) / name
    folder = Path(folders[0])
    return folder if folder.name == name or output.manifest(folder) else folder / name
