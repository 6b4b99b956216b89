"""Directories for transformers of two graphs, as they are committed in `golden/`: reviewed like any code.

One is a usual model, one has parts that no library has together. `pytest tests/exports/test_hub_golden.py
--update-golden` rewrites them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from graphvlm.rendering import render_hub

from ..test_golden import differences, files
from .directories import ODD, golden

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("tiny", ODD)


@pytest.mark.parametrize("name", NAMES)
def test_the_directory_is_the_golden_one(name: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    for file, text in render_hub(golden(name)).items():
        (tmp_path / file).write_text(text, encoding="utf-8", newline="\n")
    if pytestconfig.getoption("--update-golden"):
        (GOLDEN / name).mkdir(parents=True, exist_ok=True)
        for path in (GOLDEN / name).iterdir():
            path.unlink()
        for path in tmp_path.iterdir():
            (GOLDEN / name / path.name).write_bytes(path.read_bytes())
    found = "\n".join(differences(files(GOLDEN / name), files(tmp_path)))
    assert found == "", "if this is meant: pytest --update-golden"


def test_there_are_no_others() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(NAMES)
