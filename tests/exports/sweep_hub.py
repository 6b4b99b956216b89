"""Write the directory for transformers of every ready graph, tiny: `python -m tests.exports.sweep_hub [GRAPH ...]`.

What is found goes to `docs/hub-coverage.json`, a graph at a time, and the table in `docs/hub-coverage.md` is made of
that. With names, only these graphs are done again. A graph takes some ten seconds of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from graphvlm.diagnostics import GraphError
from graphvlm.exporters.hub import Options, export, verify
from graphvlm.rendering import render_hub

from ..running import SHIPPED, loaded
from . import contract, judging

DOCS = Path(__file__).parents[2] / "docs"
FOUND = DOCS / "hub-coverage.json"
TABLE = DOCS / "hub-coverage.md"
HEAD = """# What has a directory for transformers

Ready graphs at a tiny size (odd widths, few layers, all of their kinds of layers), with random weights, written by
`graphvlm export --hf`. Made by `python -m tests.exports.sweep_hub`; graphs not in the table were not tried yet.

- **difference**: between the logits of the package and those of the directory, in parts of the largest, for a batch
  with padding on the left; a process that cannot import graphvlm loaded it. At most 1e-5 counts.
- **greedy**: how many of two times 32 tokens by `generate()` of transformers are those of the package.
- **contract**: the clauses of [the contract](design/hub.md) that it breaks. Models that write no text have none.

| graph | difference | greedy | contract |
|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="*", metavar="GRAPH", help="(default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() and args.graphs else {}
    verify.NEW_TOKENS = judging.NEW_TOKENS
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as apart, own_modules(place):
        verify.subprocess = Ready(apart)  # type: ignore[attr-defined, assignment]
        for name in args.graphs or SHIPPED:
            start = time.monotonic()
            found[name] = judged(name, Path(place))
            FOUND.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8")
            TABLE.write_text(table(found), encoding="utf-8")
            print(f"{name}: {found[name]} ({time.monotonic() - start:.0f} s)", flush=True)
    return 0 if all(fine(each) for each in found.values()) else 1


def own_modules(place: str) -> Any:
    """Code that is loaded is copied to a place of its own."""
    sys.path.insert(0, place)
    return patch("transformers.dynamic_module_utils.HF_MODULES_CACHE", place)


class Ready:
    """Runs Python in processes that begin with transformers imported, which takes seconds, and never had graphvlm."""

    def __init__(self, place: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name("answering.py"))]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = subprocess.Popen(command, env={**os.environ, "HF_MODULES_CACHE": place}, cwd=place, **pipes)

    def run(self, command: list[str], cwd: str, **_: Any) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` does, for `python -c CODE ARGUMENT ...`."""
        assert self.server.stdin
        assert self.server.stdout
        with tempfile.NamedTemporaryFile("r") as said:
            asked = {"code": command[2], "arguments": command[3:], "cwd": cwd, "said": said.name}
            print(json.dumps(asked), file=self.server.stdin, flush=True)
            code = int(self.server.stdout.readline())
            return subprocess.CompletedProcess(command, code, "", said.read())


def judged(name: str, place: Path) -> dict[str, Any]:
    """One graph: what it was refused for, or how it fared."""
    folder = place / f"{name}_hf"
    try:
        small = judging.graph(name)
    except GraphError:
        return {"refused": [["not tried", "the tests have no small form of it"]]}
    try:
        made = export(small, folder, Options(), lambda _: None)
        checked = made.checked
        assert checked is not None
        # No engine serves what writes no text.
        broken = contract.broken(contract.Directory(folder)) if checked.tokens else {}
    except GraphError as problem:
        return refused(name, problem)
    except Exception as problem:
        traceback.print_exc(file=sys.stderr)
        return {"failed": f"{type(problem).__name__}: {[*str(problem).splitlines(), ''][-1].strip()}"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"difference": checked.difference, "tokens": checked.tokens, "equal": checked.equal, "broken": broken}


def refused(name: str, problem: GraphError) -> dict[str, Any]:
    """Why; of graphs without a small form, what is said of them as they are."""
    found = problem.diagnostics
    if {each.rule for each in found} != {"outside-profile"}:
        try:
            render_hub(loaded(name))
        except GraphError as whole:
            found = whole.diagnostics
    return {"refused": [[each.rule, each.message] for each in found]}


def fine(found: Mapping[str, Any]) -> bool:
    """Whether it was refused by name, or is as it should be."""
    if "failed" in found:
        return False
    if "refused" in found:
        return {rule for rule, _ in found["refused"]} == {"outside-profile"}
    return bool(found["difference"] <= 1e-5 and found["equal"] == found["tokens"] and not found["broken"])


def table(found: Mapping[str, Any]) -> str:
    """The page of what was found."""
    lines, refused = [], []
    for name, each in sorted(found.items()):
        if "failed" in each:
            lines.append(f"| {name} | **fails** | | {_cell(each['failed'])} |")
        elif "refused" in each:
            said = "; ".join(f"`{rule}`: {_cell(message)}" for rule, message in each["refused"])
            refused.append(f"| {name} | {said} |")
        else:
            kept = "" if not each["tokens"] else _cell(", ".join(each["broken"])) or "kept"
            greedy = f"{each['equal']} of {each['tokens']}" if each["tokens"] else ""
            lines.append(f"| {name} | {each['difference']:.0e} | {greedy} | {kept} |")
    why = ["", "Refused, by name:", "", "| graph | diagnostics |", "|---|---|", *refused, ""]
    return HEAD + "\n".join([*lines, *why])


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:160]


if __name__ == "__main__":
    sys.exit(main())
