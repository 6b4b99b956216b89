"""`graphvlm.weights`: whether a checkpoint fits, from file headers alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import graphvlm
from graphvlm import weights

GRAPH = Path(__file__).parents[1] / "graphs" / "tiny.yaml"


def write(directory: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """A safetensors file with a header and no data."""
    header = json.dumps(
        {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    )
    directory.mkdir(exist_ok=True)
    (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    return directory


@pytest.fixture(scope="module")
def graph() -> "graphvlm.ir.Graph":
    return graphvlm.load(GRAPH)


def test_a_complete_checkpoint_fits(graph: "graphvlm.ir.Graph", tmp_path: Path) -> None:
    shapes = weights.expected(graph)
    report = weights.check(graph, write(tmp_path / "whole", shapes))
    assert report.fits
    assert {*report.matched, *report.unused} == shapes.keys()
    assert report.unused, "the last vision layer is dead, and checkpoints hold it"


def test_every_problem_is_listed(graph: "graphvlm.ir.Graph", tmp_path: Path) -> None:
    shapes = weights.expected(graph)
    needed = weights.check(graph, write(tmp_path / "whole", shapes)).matched
    lost, bent = needed[0], needed[-1]
    broken = {name: shape for name, shape in shapes.items() if name != lost}
    broken |= {bent: (3, 5), "language_model.model.layers.0.surprise": (2,)}
    report = weights.check(graph, write(tmp_path / "broken", broken))
    assert report.missing == (lost,)
    assert [(found.key, found.stored, found.needed) for found in report.misshapen] == [(bent, (3, 5), shapes[bent])]
    assert report.unexpected == ("language_model.model.layers.0.surprise",)
    assert not report.fits


def test_a_part_is_found_alone_and_in_a_whole(graph: "graphvlm.ir.Graph", tmp_path: Path) -> None:
    shapes = weights.expected(graph)
    whole = weights.check(graph, write(tmp_path / "whole", shapes), part="llm")
    alone = {
        name.removeprefix("language_model."): shape for name, shape in shapes.items() if name.startswith("language_")
    }
    assert whole.fits
    assert weights.check(graph, write(tmp_path / "alone", alone), part="llm").matched == whole.matched


def test_no_such_part(graph: "graphvlm.ir.Graph", tmp_path: Path) -> None:
    with pytest.raises(graphvlm.GraphError, match="unknown-node"):
        weights.check(graph, write(tmp_path / "whole", weights.expected(graph)), part="lmm")


@pytest.mark.parametrize(
    "content", [b"", b"\x08\0\0\0\0\0\0\0[1,2]", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0{}"[:9], b"\x04\0\0\0\0\0\0\0null"]
)
def test_damaged_files_are_one_diagnostic(graph: "graphvlm.ir.Graph", tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(graphvlm.GraphError, match="unreadable-checkpoint"):
        weights.check(graph, tmp_path)


def test_a_missing_directory_is_one_diagnostic(graph: "graphvlm.ir.Graph", tmp_path: Path) -> None:
    with pytest.raises(graphvlm.GraphError, match="unreadable-checkpoint"):
        weights.check(graph, tmp_path / "nowhere")


def test_torch_is_not_imported() -> None:
    code = f"""
import sys, graphvlm, graphvlm.weights
graphvlm.weights.expected(graphvlm.load({str(GRAPH)!r}))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
