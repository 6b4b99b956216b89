"""The table of model types in the documentation keeps step with the importers and with the parity tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphvlm.diagnostics import GraphError
from graphvlm.importers import import_config

from .coverage import PAGE, known, page, rows
from .missing import MISSING


def test_the_page_is_that_of_this_state(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--update-golden"):
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
    assert PAGE.read_text(encoding="utf-8") == page(), "if this is meant: python -m tests.parity.coverage"


def test_every_type_is_accounted_for() -> None:
    assert len(known()) == 112
    assert [row.model_type for row in rows() if row.state == "refused" and row.model_type not in MISSING] == []
    assert set(MISSING) <= set(known())


@pytest.mark.parametrize("name", [row.model_type for row in rows() if row.state == "refused"])
def test_refused_types_are_refused_by_name(name: str, tmp_path: Path) -> None:
    """Whatever else the config says: its type alone decides."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}), encoding="utf-8")
    with pytest.raises(GraphError) as raised:
        import_config(tmp_path)
    (problem,) = raised.value.diagnostics
    assert problem.rule == "unsupported-config"
    assert f"`{name}`" in problem.message
