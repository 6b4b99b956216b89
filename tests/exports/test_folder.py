"""Exports are written whole or not at all, and never over the work of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphvlm.exporters.folder import MANIFEST, ForeignFiles, digests, replaced, write_json


def written(folder: Path, text: str) -> None:
    with replaced(folder) as new:
        (new / "a.onnx").write_text(text)
        write_json(new / MANIFEST, {"files": digests(new)})


def test_an_export_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    written(tmp_path / "x", "old")
    written(tmp_path / "x", "new")
    assert (tmp_path / "x" / "a.onnx").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def half_written(folder: Path) -> None:
    with replaced(folder) as new:
        (new / "a.onnx").write_text("half")
        raise RuntimeError("half way")


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    written(tmp_path / "x", "old")
    with pytest.raises(RuntimeError, match="half way"):
        half_written(tmp_path / "x")
    assert (tmp_path / "x" / "a.onnx").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("name", ["notes.txt", "a.onnx", MANIFEST])
def test_files_of_others_stay(tmp_path: Path, name: str) -> None:
    """A file that no export wrote, one that was changed since, a manifest that is none."""
    if name != MANIFEST:
        written(tmp_path / "x", "old")
    else:
        (tmp_path / "x").mkdir()
    (tmp_path / "x" / name).write_text("mine")
    with pytest.raises(ForeignFiles, match=name):
        written(tmp_path / "x", "new")
    assert (tmp_path / "x" / name).read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(ForeignFiles):
        written(tmp_path / "x", "new")


def test_force(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").write_text("mine")
    with replaced(tmp_path / "x", force=True) as new:
        (new / "a.onnx").write_text("new")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a.onnx"]
