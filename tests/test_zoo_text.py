"""Encoders of text in the catalog, and graphs of them: what the published configs say, with the published counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import graphvlm
from graphvlm.importers import import_config
from graphvlm.weights import expected

from .published import MASKED, TEXT_ENCODERS

ROOT = Path(__file__).parents[1]
PARTS = frozenset(TEXT_ENCODERS)


def imported(config: dict[str, Any], folder: Path) -> Path:
    """The graph of a config."""
    (folder / "config.json").write_text(json.dumps(config))
    path = folder / "imported.yaml"
    path.write_text(import_config(folder), encoding="utf-8")
    return path


@pytest.mark.parametrize("part", TEXT_ENCODERS)
def test_a_part_is_what_the_published_config_says(part: str, tmp_path: Path) -> None:
    path = imported(TEXT_ENCODERS[part].config, tmp_path)
    node = yaml.safe_load(path.read_text(encoding="utf-8"))["nodes"]["encoder"]
    shipped = yaml.safe_load((ROOT / "graphs" / "catalog" / "encoder" / f"{part}.yaml").read_text(encoding="utf-8"))
    assert shipped.pop("description")
    assert shipped.pop("source").startswith("https://")
    assert {key: value for key, value in node.items() if key != "inputs"} == shipped
    assert graphvlm.load(path).parameter_count == TEXT_ENCODERS[part].parameters


@pytest.mark.parametrize("name", MASKED)
def test_a_graph_is_what_the_published_config_says(name: str, tmp_path: Path) -> None:
    """The same keys and shapes of a checkpoint, and the published number of parameters."""
    shipped = graphvlm.load(ROOT / "graphs" / f"{name}.yaml")
    found = graphvlm.load(imported(MASKED[name].config, tmp_path))
    assert expected(shipped) == expected(found)
    assert {node: each.spec for node, each in shipped.nodes.items()} == {
        node: each.spec for node, each in found.nodes.items()
    }
    assert shipped.parameter_count == MASKED[name].parameters
