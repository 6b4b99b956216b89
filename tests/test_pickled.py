"""Files of weights that torch.save wrote, as safetensors: their tensors and nothing that they could run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import graphvlm
from graphvlm.diagnostics import GraphError
from graphvlm.pickled import Source, convert
from graphvlm.weights import check

from .oracles import ORACLES, agree, recorded
from .training_cases import inputs, loaded


def saved(path: Path, held: Any) -> Path:
    torch.save(held, path)
    return path


@pytest.mark.parametrize("holder", ["", "model", "state_dict"])
def test_tensors_by_name(holder: str, tmp_path: Path) -> None:
    table = torch.randn(4, 3)
    weights = {"a.weight": table, "tied.weight": table, "turned": table.T, "count": torch.tensor(3)}
    whole = {holder: weights, "epoch": 3, "config": {"lr": [1.0]}, "optimizer": {"state": {0: table}}}
    file = saved(tmp_path / "all.pth", whole if holder else weights)
    written = convert([Source(file)], tmp_path / "out")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert written.tensors == len(weights)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in weights)


def test_several_files_in_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphvlm.pickled.SHARD_BYTES", 100)
    first = saved(tmp_path / "first.pth", {"a": torch.ones(20), "b": torch.ones(20)})
    second = saved(tmp_path / "second.pth", {"b": torch.zeros(4), "c": torch.zeros(4)})
    convert([Source(first), Source(second, "tower.")], tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    found = {key: tensor for file in files for key, tensor in load_file(file).items()}
    assert len(files) > 1
    assert found.keys() == {"a", "b", "tower.b", "tower.c"}
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()


class Command:
    """What a pickle of this would run."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("held", [{"model": {"a": torch.ones(2)}, "more": Command()}, {"epoch": 3}, torch.ones(3)])
def test_what_is_refused(held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraphError) as caught:
        convert([Source(saved(tmp_path / "bad.pth", held))], tmp_path / "out")
    assert [each.rule for each in caught.value.diagnostics] == ["unreadable-checkpoint"]
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"not a pickle")
    with pytest.raises(GraphError, match="broken"):
        convert([Source(tmp_path / "bad.pth")], tmp_path / "out")


@pytest.mark.skipif(not (ORACLES / "lavis").is_dir(), reason=f"NOT COMPARED: no recordings of lavis in {ORACLES}")
def test_a_recorded_checkpoint_as_lavis_writes_it(tmp_path: Path) -> None:
    case = recorded("lavis/blip_itm", tmp_path)
    whole = {"model": load_file(tmp_path / "model.safetensors"), "config": {"run": {"task": "retrieval"}}, "epoch": 5}
    convert([Source(saved(tmp_path / "checkpoint_5.pth", whole))], tmp_path / "converted")
    output = loaded("blip_itm", case._replace(weights=tmp_path / "converted")).eval()(**inputs(case))
    assert agree(output.itm, case.outputs["itm"])


def test_the_tower_of_queries_has_a_file_of_its_own(tmp_path: Path) -> None:
    """With a layer that nothing reads, and without the norm that the other file has."""
    overrides = ["nodes.vision={image: {size: 28}, dim: 48, layers: 1, attention: {heads: 4}, mlp: {hidden: 24}}"]
    overrides += ["nodes.queries={dim: 48, layers: {count: 2}, attention: {heads: 4}, mlp: {hidden: 24}}"]
    overrides += ["nodes.queries.sublayers={cross: {heads: 4}, text_mlp: {hidden: 24}}", "nodes.queries.vocab=30523"]
    graph = graphvlm.load(Path(__file__).parents[1] / "graphs" / "blip2_itm.yaml", overrides=overrides)
    from graphvlm.weights import expected

    shapes = expected(graph)
    tower = {key: torch.zeros(shape) for key, shape in shapes.items() if key.startswith("visual_encoder.")}
    own = {key.removeprefix("visual_encoder."): tensor for key, tensor in tower.items()}
    last = {"blocks.39.norm1.weight": torch.zeros(48), "norm.weight": torch.zeros(48)}
    rest = {key: torch.zeros(shape) for key, shape in shapes.items() if key not in tower}
    first = saved(tmp_path / "queries.pth", {"model": rest})
    second = saved(tmp_path / "tower.pth", own | last)
    convert([Source(first), Source(second, "visual_encoder.")], tmp_path / "out")
    report = check(graph, tmp_path / "out")
    assert report.fits
    assert {f"visual_encoder.{key}" for key in last} < {*report.unused}
