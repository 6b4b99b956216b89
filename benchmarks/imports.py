"""What it costs to import a generated package, beside torch alone and transformers.

python -m benchmarks.imports --rounds 20
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from .options import parse
from .processes import Runs, interleaved, run
from .report import Goal, Table, write
from .timing import OtherLoad

BUILD = "import sys, graphvlm; graphvlm.build(sys.argv[1], sys.argv[2])"
GRAPH = Path(__file__).parents[1] / "graphs" / "llava_1_5_7b.yaml"
MODULES = "\nimport sys; print(len(sys.modules))"
PACKAGE = """\
import sys
sys.path.insert(0, sys.argv[1])
from llava_1_5_7b import Model, from_pretrained
from llava_1_5_7b.generate import generate
"""


def difference(more: Runs, less: Runs) -> float:
    """The median over the rounds of how many CPU milliseconds the one takes more."""
    return 1000 * median(one.cpu - other.cpu for one, other in zip(more.runs, less.runs, strict=True))


def main() -> None:
    """Measure and write results/imports."""
    options = parse(__doc__)
    load = OtherLoad()
    with tempfile.TemporaryDirectory() as folder:
        run(BUILD, str(GRAPH), folder)
        programs = {
            "nothing": ("pass" + MODULES,),
            "torch": ("import torch" + MODULES,),
            "generated package": (PACKAGE + MODULES, folder),
            "transformers": ("import torch; from transformers import LlavaForConditionalGeneration" + MODULES,),
        }
        count = max(2, options.rounds // 2)
        runs = interleaved(programs, count)
    table = Table(
        "Imports",
        ("import", "CPU s", "wall s", "MiB", "modules", "CPU ms over torch"),
        "Whole processes with compiled bytecode. `transformers`: torch and LlavaForConditionalGeneration. "
        "The last column is the median of the differences within the rounds.",
        (Goal("CPU ms over torch", 50, at_most=True, rows=("generated package",)),),
    )
    for name, found in runs.items():
        over = None if name in ("nothing", "torch") else difference(found, runs["torch"])
        table.add(name, found.cpu, found.wall, found.peak, int(found.output), over)
    intro = f"Import of the generated package of LLaVA-1.5-7B, {count} rounds"
    write("imports", intro, (table,), load, options.out)


if __name__ == "__main__":
    main()
