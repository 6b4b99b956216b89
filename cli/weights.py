"""Compare a checkpoint directory with a graph, by the headers of its safetensors files: what is missing, unexpected or
of another shape. Exit code 1 if anything is. No tensor is read, torch is not imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import options as shared
from .console import UsageError

if TYPE_CHECKING:
    from graphvlm.weights import Report

EXAMPLES = """
    graphvlm weights check llava_1_5_7b llava-1.5-7b-hf
    graphvlm weights check my_model.yaml clip-vit-large --part vision
    graphvlm weights check my_model.yaml checkpoint --format json
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("check",))
    shared.add_graph(parser)
    parser.add_argument("directory", metavar="DIR", type=Path, help="a folder with *.safetensors")
    shared.add_changes(parser)
    parser.add_argument("--part", metavar="NODE", help="a checkpoint of this node alone")
    shared.add_passes(parser)


def run(args: argparse.Namespace) -> int:
    from graphvlm import weights

    if not args.directory.is_dir():
        raise UsageError(f"there is no folder {args.directory}")
    report = weights.check(shared.load(args), args.directory, args.part)
    if args.format == "json":
        print(json.dumps({"fits": report.fits, **dataclasses.asdict(report)}, indent=2))
    else:
        print("\n".join(_lines(report)))
    return 0 if report.fits else 1


def _lines(report: Report) -> Iterator[str]:
    yield f"{'fits' if report.fits else 'does not fit'}: {_keys(len(report.matched))} to load"
    if report.unused:
        yield f"{_keys(len(report.unused))} of the checkpoint that no output depends on"
    yield from (f"missing: {key}" for key in report.missing)
    yield from (f"unexpected: {key}" for key in report.unexpected)
    yield from (f"misshapen: {each.key} is {list(each.stored)}, not {list(each.needed)}" for each in report.misshapen)


def _keys(count: int) -> str:
    return f"{count} key" if count == 1 else f"{count} keys"
