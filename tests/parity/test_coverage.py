"""The table of model types in the documentation keeps step with the importers and with the parity tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphvlm.diagnostics import Diagnostic, GraphError
from graphvlm.importers import import_config
from graphvlm.importers.huggingface.missing import MISSING

from .coverage import PAGE, Row, known, page, rows


def test_the_page_is_that_of_this_state(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--update-golden"):
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
    assert PAGE.read_text(encoding="utf-8") == page(), "if this is meant: python -m tests.parity.coverage"


def test_every_type_is_accounted_for() -> None:
    assert len(known()) == 112
    assert [row.model_type for row in rows() if row.state == "refused" and row.model_type not in MISSING] == []
    assert set(MISSING) <= set(known())


def refusals(config: dict[str, Any], folder: Path) -> tuple[Diagnostic, ...]:
    """What is wrong with a config, nothing if it is imported."""
    (folder / "config.json").write_text(json.dumps(config, default=str), encoding="utf-8")
    try:
        import_config(folder)
    except GraphError as error:
        return error.diagnostics
    return ()


@pytest.mark.parametrize("row", [row for row in rows() if row.state == "refused"], ids=lambda row: row.model_type)
def test_refused_types_are_refused_for_what_the_table_says(row: Row, tmp_path: Path) -> None:
    """Whatever else the config says: its type alone decides."""
    (problem,) = refusals({"model_type": row.model_type}, tmp_path)
    assert problem.rule == "unsupported-config"
    assert f"`{row.model_type}`" in problem.message
    assert problem.message.endswith(f"graphvlm lacks {row.note}")


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.model_type)
def test_what_the_class_makes_by_itself_is_imported_or_refused(row: Row, tmp_path: Path) -> None:
    """The default config of every type, as the reference saves it: never a traceback, never an unknown field.

    Defaults of several classes contradict themselves: ids outside the vocabulary, or none, widths that do not fit.
    """
    from transformers import CONFIG_MAPPING

    made: Any = CONFIG_MAPPING[row.model_type]
    made().save_pretrained(tmp_path)
    found = {problem.rule for problem in refusals(json.loads((tmp_path / "config.json").read_text()), tmp_path)}
    assert (
        found == {"unsupported-config"}
        if row.state == "refused"
        else found <= {"contradictory-config", "invalid-config"}
    )
