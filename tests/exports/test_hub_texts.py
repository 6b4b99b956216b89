"""The directory for transformers of models that read several texts, and of positions by distance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graphvlm.exporters.hub import Exported
from graphvlm.rendering import render_hub

from ..packages import lint
from . import contract
from .directories import golden

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "own_modules")]

# An encoder of images that reads an instruction, in a vocabulary of its own; slopes for distances.
KINDS = tuple(pytest.param(name, marks=pytest.mark.long) for name in ("instructblip_vicuna_7b", "mpt_7b"))


@pytest.mark.parametrize("name", KINDS)
def test_a_process_without_graphvlm_gives_what_the_package_gives(made: Callable[[str], Exported], name: str) -> None:
    found = made(name).checked
    assert found is not None
    assert found.difference <= 1e-5
    assert found.same
    assert found.tokens >= 2


@pytest.mark.parametrize("name", KINDS)
def test_every_clause_of_the_contract(made: Callable[[str], Exported], name: str) -> None:
    assert contract.broken(contract.Directory(made(name).folder)) == {}


@pytest.mark.parametrize("name", ["instructblip_vicuna_7b", "mpt_7b"])
def test_the_code_is_laid_out(name: str, tmp_path: Path) -> None:
    for file, text in render_hub(golden(name)).items():
        (tmp_path / file).write_text(text)
    said = [line for line in lint(tmp_path).splitlines() if "RUF012" not in line]
    assert [line for line in said if not line.startswith("Found ")] == []
