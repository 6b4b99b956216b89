"""Models whose weights lie in a file and nowhere else: exported as others are, and with the same numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import graphvlm
from graphvlm.cache import imported
from graphvlm.exporters import mapped
from graphvlm.exporters.models import loaded
from graphvlm.exporters.onnx import Exported, Options, export
from graphvlm.ir import Graph

from ..running import TINY, VARIANTS, variant
from . import judging

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def tied() -> Graph:
    """A decoder of text whose head is its table."""
    return graphvlm.load(TINY, overrides=(*VARIANTS["text_alone"], *VARIANTS["tied"]))


def made(graph: Graph, folder: Path, monkeypatch: pytest.MonkeyPatch, options: Options) -> Exported:
    """An export as if a few bytes were many."""
    monkeypatch.setattr(mapped, "LIMIT", 0)
    monkeypatch.setattr(sys.modules["graphvlm.exporters.onnx.weights"], "_SMALL", 256)
    return export(graph, folder, options, lambda _: None)


def held(folder: Path, program: str) -> dict[str, np.ndarray]:
    """What a model refers to in the file."""
    import onnx

    model = onnx.load(folder / f"{program}.onnx")
    return {each.name: onnx.numpy_helper.to_array(each, base_dir=str(folder)) for each in model.graph.initializer}


def test_random_weights_are_those_of_a_model_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens by the files alone are those of the package, whose weights are in memory; nothing is written twice."""
    found = made(variant("text_alone"), tmp_path / "x", monkeypatch, Options(sizes=1))
    assert found.agrees
    assert len(found.differences) == 3
    ours, theirs = judging.greedy("text_alone", tmp_path / "x")
    assert ours == theirs
    _, model = loaded(variant("text_alone"), None, 0, None)
    pages = sum(-(-parameter.nbytes // mapped.PAGE) for parameter in model.parameters())
    others = sum(-(-buffer.nbytes // mapped.PAGE) for buffer in model.buffers())
    assert (tmp_path / "x" / "weights.bin").stat().st_size <= (pages + others + 4) * mapped.PAGE


def test_a_checkpoint_goes_into_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tied, so that the table is the head; and every matrix in the file is one of the checkpoint."""
    graph = tied()
    package, model = loaded(graph, None, 5, None)
    package.checkpoint.save_pretrained(model, tmp_path / "checkpoint")
    options = Options(weights=tmp_path / "checkpoint", sizes=1)
    found = made(graph, tmp_path / "x", monkeypatch, options)
    assert found.agrees
    assert json.loads((tmp_path / "x" / "manifest.json").read_text())["weights"] == "checkpoint"
    own = [each.detach().numpy() for each in (*model.parameters(), *model.buffers())]
    matrices = [array for array in held(tmp_path / "x", "prefill").values() if array.ndim == 2]
    assert len(matrices) > 5
    for array in matrices:
        same = [each for each in own if each.size == array.size]
        assert any(np.array_equal(array, each) or np.array_equal(array.T, each) for each in same)


def test_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    """Said before anything is written."""
    package, model = loaded(tied(), None, 0, None)
    package.checkpoint.save_pretrained(model, tmp_path / "checkpoint")
    other = imported(variant("text_alone"))
    with pytest.raises(ValueError, match="missing: "):
        mapped.mapped(other, tmp_path / "weights.bin", tmp_path / "checkpoint", 0, torch.float32)
    assert not (tmp_path / "weights.bin").exists()


def test_weights_share_the_file(tmp_path: Path) -> None:
    """Written to a parameter, they are in the file; what lies elsewhere is not said to be there."""
    package = imported(tied())
    model, file = mapped.mapped(package, tmp_path / "weights.bin", None, 0, torch.float32)
    parameter = next(model.parameters())
    with torch.no_grad():
        parameter.fill_(7.0)
    file.release()
    offset = file.offset(parameter.data_ptr(), parameter.nbytes)
    assert offset == 0
    read = np.fromfile(tmp_path / "weights.bin", dtype=np.float32, count=parameter.numel())
    assert (read == 7.0).all()
    assert file.offset(torch.ones(3).data_ptr(), 12) is None
    assert len({id(each) for each in model.parameters()}) == len([*model.named_parameters()])
