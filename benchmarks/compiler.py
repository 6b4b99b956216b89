"""The compiler itself, as whole processes: the shipped 7B graph, and synthetic graphs of up to thousands of nodes.

python -m benchmarks.compiler --rounds 20 --configs 10,100,1000,2000
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from . import synthetic
from .options import Options, parse
from .processes import interleaved
from .report import Goal, Table, write
from .timing import OtherLoad

CONFIGS: Final = ("10", "100", "1000", "2000")
GRAPH: Final = Path(__file__).parents[1] / "graphs" / "llava_1_5_7b.yaml"
COMMAND: Final = "import sys; from graphvlm.cli import main; sys.exit(main(sys.argv[1:]))"
SHAPES: Final[Mapping[str, Callable[[int], str]]] = MappingProxyType(
    {"chain": synthetic.chain, "towers": synthetic.towers}
)


def shipped(table: Table, options: Options, folder: Path) -> None:
    """The rows of the shipped graph, and of doing nothing."""
    programs = {
        "python": ("pass",),
        "import graphvlm": ("import graphvlm",),
        "graphvlm --help": (COMMAND, "--help"),
        "graphvlm check": (COMMAND, "check", str(GRAPH)),
        "graphvlm build": (COMMAND, "build", str(GRAPH), "-o", str(folder), "--force"),
    }
    for name, runs in interleaved(programs, options.rounds).items():
        table.add(name, runs.wall, runs.cpu, runs.peak)


def grown(table: Table, options: Options, folder: Path) -> None:
    """The rows of the synthetic graphs."""
    programs: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for shape, text in SHAPES.items():
        for nodes in options.configs:
            graph = folder / f"{shape}_{nodes}.yaml"
            graph.write_text(text(int(nodes)), encoding="utf-8")
            out = str(folder / f"{shape}_{nodes}")
            programs[shape, nodes, "check"] = (COMMAND, "check", str(graph))
            programs[shape, nodes, "build"] = (COMMAND, "build", str(graph), "-o", out, "--force")
    runs = interleaved({" ".join(key): words for key, words in programs.items()}, max(2, options.rounds // 4))
    for shape in SHAPES:
        for nodes in options.configs:
            check, build = (runs[f"{shape} {nodes} {command}"] for command in ("check", "build"))
            first = runs[f"{shape} {options.configs[0]} build"]
            more = int(nodes) - int(options.configs[0])
            each = 1000 * (build.cpu - first.cpu) / more if more else None
            table.add(nodes, shape, check.wall, build.wall, build.cpu, each, check.peak, build.peak)


def main() -> None:
    """Measure and write results/compiler."""
    options = parse(__doc__, CONFIGS, toy="10")
    load = OtherLoad()
    whole = Table(
        "The graph of LLaVA-1.5-7B",
        ("command", "wall s", "CPU s", "MiB"),
        "Whole processes, interpreter included, with compiled bytecode.",
        (
            Goal("wall s", 0.6, at_most=True, rows=("graphvlm build",)),
            Goal("MiB", 60, at_most=True, rows=("graphvlm check", "graphvlm build")),
        ),
    )
    limits = {"10": 0.15, "100": 0.25, "1000": 1.0, "2000": 5.0}
    goals = [Goal("build wall s", limit, at_most=True, rows=(nodes,)) for nodes, limit in limits.items()]
    sizes = Table(
        "Synthetic graphs",
        ("nodes", "shape", "check wall s", "build wall s", "build CPU s", "ms/node", "check MiB", "build MiB"),
        "Whole processes. `chain`: a chain of projectors, the deepest graph of so many nodes; every projector is a "
        "file of the package. `towers`: image encoders with a projector each, the widest. `ms/node`: CPU time beyond "
        "that of the smallest graph; it stays level where the compiler is linear.",
        (*goals, Goal("build MiB", 110, at_most=True, rows=("1000",))),
    )
    with tempfile.TemporaryDirectory() as folder:
        shipped(whole, options, Path(folder))
        grown(sizes, options, Path(folder))
    write("compiler", f"The compiler, {options.rounds} rounds", (whole, sizes), load, options.out)


if __name__ == "__main__":
    main()
