"""The benchmarks run: a smoke test of one table, whose outputs are compared before anything is timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("table", ["prefill_decode", "train_step", pytest.param("deployed", marks=pytest.mark.long)])
def test_quick(table: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="what is measured against is not installed")
    if table == "deployed":
        pytest.importorskip("onnxruntime", reason="pip install graphvlm[onnx]")
    command = [sys.executable, "-m", f"benchmarks.{table}", "--quick", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / f"{table}.md").read_text().startswith("# ")
    found = json.loads((tmp_path / f"{table}.json").read_text())
    assert set(found["machine"]) >= {"processor", "cores", "python", "torch", "transformers"}
    assert all(table["rows"] for table in found["tables"])


def test_the_compilers_own_table(tmp_path: Path) -> None:
    """Synthetic graphs are legal, and `graphvlm` ends well on them."""
    command = [sys.executable, "-m", "benchmarks.compiler", "--quick", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    names = [row["shape"] for row in json.loads((tmp_path / "compiler.json").read_text())["tables"][1]["rows"]]
    assert names == ["chain", "towers"]
