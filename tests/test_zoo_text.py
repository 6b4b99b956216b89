"""Encoders of text and encoder-decoders: what the published configs say, with the published numbers of parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import graphvlm
from graphvlm.importers import import_config
from graphvlm.weights import expected

from .published import ENCODER_DECODERS, MASKED, TEXT_ENCODERS, Published

GRAPHS = Path(__file__).parents[1] / "graphs"
PARTS = frozenset((*TEXT_ENCODERS, *ENCODER_DECODERS))
MODELS = {name: each for name, each in {**MASKED, **ENCODER_DECODERS}.items() if (GRAPHS / f"{name}.yaml").exists()}
STACKS = [*((name, "encoder") for name in PARTS), *((name, "decoder") for name in ENCODER_DECODERS)]


def imported(published: Published, folder: Path) -> Path:
    """The graph of a config."""
    (folder / "config.json").write_text(json.dumps(published.config))
    path = folder / "imported.yaml"
    path.write_text(import_config(folder), encoding="utf-8")
    return path


@pytest.mark.parametrize(("part", "kind"), sorted(STACKS))
def test_a_part_is_what_the_published_config_says(part: str, kind: str, tmp_path: Path) -> None:
    published = {**TEXT_ENCODERS, **ENCODER_DECODERS}[part]
    path = imported(published, tmp_path)
    node: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["nodes"][kind]
    shipped = yaml.safe_load((GRAPHS / "catalog" / kind / f"{part}.yaml").read_text(encoding="utf-8"))
    assert shipped.pop("description").startswith(published.description)
    assert shipped.pop("source") == published.source
    assert {key: value for key, value in node.items() if key != "inputs"} == shipped
    assert graphvlm.load(path).parameter_count == published.parameters


@pytest.mark.parametrize("name", MASKED)
def test_a_graph_is_what_the_published_config_says(name: str, tmp_path: Path) -> None:
    """The same keys and shapes of a checkpoint, and the published number of parameters."""
    shipped, found = graphvlm.load(GRAPHS / f"{name}.yaml"), graphvlm.load(imported(MODELS[name], tmp_path))
    assert expected(shipped) == expected(found)
    specs, theirs = ({key: node.spec for key, node in each.nodes.items()} for each in (shipped, found))
    assert specs == theirs
    assert shipped.parameter_count == MODELS[name].parameters
    assert shipped.generation == found.generation
