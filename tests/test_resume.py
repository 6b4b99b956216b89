"""The training recipe of the docs: killed in the middle of a step, it goes on, on another mesh."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import graphvlm

from .packages import ROOT
from .running import TINY

RECIPE = ROOT / "docs" / "howto" / "parallelism.md"
FATAL = "    if step == 3 and dist.get_rank() == 1:\n        import os\n\n        os._exit(9)\n"


def losses(folder: Path, program: str, *arguments: str, ranks: int) -> tuple[int, dict[int, float]]:
    """The exit code, and the loss of each step."""
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks))
    done = subprocess.run((*launch, program, *arguments), cwd=folder, capture_output=True, text=True, check=False)
    found = {int(step): float(loss) for step, loss in re.findall(r"step (\d+) loss ([\d.]+)", done.stdout)}
    return done.returncode, found


@pytest.mark.long
def test_killed_and_resumed_on_another_mesh(tmp_path: Path) -> None:
    text = re.search(r"<!-- file: train.py -->\n```python\n(.*?)```", RECIPE.read_text(encoding="utf-8"), re.DOTALL)
    assert text
    program = text[1]
    fatal = program.replace("    loss.backward()\n", f"    loss.backward()\n{FATAL}")
    assert fatal != program
    for name, run in (("killed", fatal), ("alone", program)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(run, encoding="utf-8")
        changes = ("parallelism.mesh={dp: 2, tp: 2}", "parallelism.nodes.vision.tp=1")
        graphvlm.build(TINY, tmp_path / name, overrides=changes)
    code, before = losses(tmp_path / "killed", "train.py", "--steps", "6", ranks=4)
    assert code != 0
    (tmp_path / "killed" / "train.py").write_text(program, encoding="utf-8")
    code, after = losses(tmp_path / "killed", "train.py", "--steps", "6", "--mesh", "dp=4", ranks=4)
    assert code == 0
    assert (sorted(before), sorted(after)) == ([0, 1, 2], [2, 3, 4, 5])
    code, straight = losses(tmp_path / "alone", "train.py", "--steps", "6", "--mesh", "dp=1", ranks=1)
    assert code == 0
    off = {step: loss - straight[step] for step, loss in (*before.items(), *after.items())}
    assert {step: gap for step, gap in off.items() if abs(gap) > 1e-5} == {}
    assert (tmp_path / "killed" / "trained" / "model.safetensors").exists()


@pytest.mark.long
def test_stages_resumed_without_stages(tmp_path: Path) -> None:
    """Two stages of two ranks go on as four ranks without stages, with the state of the optimizer."""
    text = RECIPE.read_text(encoding="utf-8")
    found = re.search(r"<!-- file: train_stages.py -->\n```python\n(.*?)```", text, re.DOTALL)
    layout = re.search(r"graphvlm build tiny '(parallelism={mesh: {pp: 2.*?)' name=staged", text)
    assert found
    assert layout
    for name in ("staged", "alone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train_stages.py").write_text(found[1], encoding="utf-8")
        graphvlm.build(TINY, tmp_path / name, overrides=(layout[1], "name=staged"))
    runs = [("--steps", "4"), ("--steps", "6", "--mesh", "dp=4")]
    together: dict[int, float] = {}
    for run in runs:
        code, some = losses(tmp_path / "staged", "train_stages.py", *run, ranks=4)
        assert code == 0
        together |= some
    code, straight = losses(tmp_path / "alone", "train_stages.py", "--steps", "6", "--mesh", "dp=1", ranks=1)
    assert code == 0
    assert sorted(together) == sorted(straight) == [0, 1, 2, 3, 4, 5]
    assert {step for step in straight if abs(together[step] - straight[step]) > 1e-5} == set()
