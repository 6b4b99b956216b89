"""Export every ready graph at a tiny size and ask all judges: `python -m tests.exports.sweep [GRAPH ...]`.

What is found goes to `docs/export-coverage.json`, a graph at a time, and the table in `docs/export-coverage.md` is made
of that. With names, only these graphs are done again. A graph takes about half a minute of one core.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from graphvlm.diagnostics import GraphError
from graphvlm.exporters import plan as plans

from ..running import SHIPPED, loaded
from . import judging

DOCS = Path(__file__).parents[2] / "docs"
FOUND = DOCS / "export-coverage.json"
TABLE = DOCS / "export-coverage.md"
HEAD = """# What exports

Ready graphs at a tiny size (odd widths, few layers, all of their kinds of layers), with random weights, exported by
`graphvlm export --onnx`. Written by `python -m tests.exports.sweep`. All ready graphs are in the table, or below it.

- **difference**: the largest between ONNX Runtime and the package in PyTorch, in parts of the largest number that comes
  out, over three sets of sizes that the program was not traced with, two of them with padding; at most 1e-4 counts.
  "(rounded)": too much, and the export says so and fails; but the model was no farther from the package in double
  precision than the package itself is.
- **greedy**: 32 tokens by `run_onnx.py`, from the files alone, are those of the package.
- **TensorRT-RTX**: its parser and builder made an engine for compute capabilities 8.6, 8.9 and 12.0, from the model and
  its profile. Nothing was executed on a GPU.

| graph | program | operators | difference | greedy | TensorRT-RTX |
|---|---|---:|---:|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="*", metavar="GRAPH", help="(default: all)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the exports there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() and args.graphs else {}
    for name in [name for name in args.graphs or SHIPPED if name not in training()]:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found[name] = judged(name, (args.keep or Path(folder)) / name)
        FOUND.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8")
        TABLE.write_text(table(found), encoding="utf-8")
        print(f"{name}: {verdict(found[name])} ({time.monotonic() - start:.0f} s)", flush=True)
    return 0 if all(verdict(each) == "fine" for each in found.values()) else 1


@cache
def training() -> Mapping[str, str]:
    """The ready graphs that are refused, each with the parts that are for training alone."""
    found = {}
    for name in SHIPPED:
        try:
            plans.make(loaded(name))
        except GraphError as problem:
            said = [re.search(r"` is (an? [^,]+),", each.message) for each in problem.diagnostics]
            found[name] = ", ".join(sorted({each[1] for each in said if each}))
    return found


def judged(name: str, folder: Path) -> dict[str, Any]:
    """One graph before all judges."""
    try:
        made = judging.exported(name, folder)
    except Exception as problem:
        traceback.print_exc(file=sys.stderr)
        return {"failed": f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"}
    programs = {}
    for program in made.manifest["programs"]:
        found = [each for each in made.differences if each.program == program["name"]]
        refused = judging.refusal(judging.gate(folder / program["file"])) if not judging.why_no_gate() else "not asked"
        programs[program["name"]] = {
            "operators": sum(program["operators"].values()),
            "difference": max(each.worst for each in found),
            "rounded": any(each.rounded for each in found),
            "refused": refused,
        }
    greedy = None
    if "generation" in made.manifest:
        ours, theirs = judging.greedy(name, folder)
        greedy = ours == theirs
    return {"programs": programs, "greedy": greedy}


def verdict(found: Mapping[str, Any]) -> str:
    """`fine`, or what is not."""
    if "failed" in found:
        return str(found["failed"])
    said = [f"{name}: {each['refused']}" for name, each in found["programs"].items() if each["refused"]]
    far = {name: each for name, each in found["programs"].items() if each["difference"] > 1e-4}
    said += [f"{name}: {each['difference']}" for name, each in far.items()]
    said += ["other tokens"] if found["greedy"] is False else []
    return "; ".join(said) or "fine"


def table(found: Mapping[str, Any]) -> str:
    """The page of what was found."""
    lines = []
    for name, each in sorted(found.items()):
        if "failed" in each:
            lines.append(f"| {name} | | | | | {_cell(each['failed'])} |")
            continue
        greedy = {True: "equal", False: "**differs**", None: ""}[each["greedy"]]
        for number, (program, one) in enumerate(each["programs"].items()):
            shown = "built" if not one["refused"] else _cell(one["refused"])
            last = number == len(each["programs"]) - 1
            lines.append(
                f"| {'' if number else name} | {program} | {one['operators']} |"
                f" {one['difference']:.0e}{' (rounded)' if one.get('rounded') else ''} |"
                f" {greedy if last else ''} | {shown} |"
            )
    names = "\n".join(f"- {name}: {parts}" for name, parts in training().items())
    why = "Refused by name, as they have parts for training alone (`graphvlm explain trained-only`):"
    return "\n".join([HEAD + "\n".join(lines), "", why, "", names, ""])


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:160]


if __name__ == "__main__":
    sys.exit(main())
