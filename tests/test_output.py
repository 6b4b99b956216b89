"""Writing packages: whole or not at all, never over somebody's edits, never outside the folder."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphvlm
from graphvlm.diagnostics import Diagnostic, GraphError, Source
from graphvlm.output import MANIFEST, diff, manifest, write

ROOT = Path(__file__).parents[1]
TINY = ROOT / "graphs" / "tiny.yaml"
OLD = {"a.py": "a = 1\n", "b.py": "b = 1\n", "c.py": "c = 1\n"}
NEW = {"a.py": "a = 2\n", "b.py": "b = 2\n", "d.py": "d = 2\n"}


def contents(folder: Path) -> dict[str, str]:
    """Every file in a folder but the manifest, at any depth."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    return {str(path.relative_to(folder)): path.read_text() for path in files if path.name != MANIFEST}


def refused(call: Callable[[], object]) -> Diagnostic:
    """The one diagnostic of what is refused."""
    with pytest.raises(GraphError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


# ---- what is written


def test_a_build_writes_the_files_and_their_sums(tmp_path: Path) -> None:
    folder = graphvlm.build(TINY, tmp_path)
    files = graphvlm.render(graphvlm.load(TINY))
    assert folder == tmp_path / "tiny"
    assert contents(folder) == files
    assert manifest(folder).keys() == files.keys()
    assert diff(folder, files) == ""


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    assert write(tmp_path, OLD) == ["a.py", "b.py", "c.py"]
    before = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert write(tmp_path, OLD) == []
    assert {path.name: path.stat() for path in tmp_path.iterdir()} == before
    assert write(tmp_path, {**OLD, "b.py": "b = 2\n"}) == ["b.py"]
    assert (tmp_path / "a.py").stat() == before["a.py"]


def test_files_that_are_no_longer_produced_are_removed(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    (tmp_path / "mine.py").write_text("mine = 1\n")
    assert write(tmp_path, NEW) == ["a.py", "b.py", "c.py", "d.py"]
    assert contents(tmp_path) == {**NEW, "mine.py": "mine = 1\n"}
    assert manifest(tmp_path).keys() == NEW.keys()


def test_line_ends_and_letters_are_written_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "é\n\r\nü\u2028"})
    assert (tmp_path / "a.py").read_bytes() == "é\n\r\nü\u2028".encode()


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path, OLD)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.py").stat().st_mode) == 0o640


# ---- edits


def edited(folder: Path) -> None:
    write(folder, OLD)
    (folder / "a.py").write_text("a = 1  # mine\n")


def test_an_edited_file_is_not_overwritten(tmp_path: Path) -> None:
    edited(tmp_path)
    found = refused(lambda: write(tmp_path, NEW))
    assert found.rule == "edited-output"
    assert "a.py" in found.message
    assert "b.py" not in found.message
    assert "-a = 1  # mine\n+a = 2\n" in found.note
    assert "--force" in found.help
    assert contents(tmp_path) == {**OLD, "a.py": "a = 1  # mine\n"}


def test_every_edited_file_is_named(tmp_path: Path) -> None:
    edited(tmp_path)
    (tmp_path / "c.py").write_text("c = 3\n")
    found = refused(lambda: write(tmp_path, NEW))
    assert "a.py, c.py" in found.message
    assert "-c = 3\n" in found.note


def test_force_overwrites(tmp_path: Path) -> None:
    edited(tmp_path)
    assert write(tmp_path, NEW, force=True) == ["a.py", "b.py", "c.py", "d.py"]
    assert contents(tmp_path) == NEW
    assert write(tmp_path, NEW) == []


def test_an_edit_that_the_new_build_would_write_too_is_none(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    (tmp_path / "a.py").write_text(NEW["a.py"])
    write(tmp_path, NEW)
    assert contents(tmp_path) == NEW


def test_an_edited_file_that_is_no_longer_produced_is_kept(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    (tmp_path / "c.py").write_text("c = 3\n")
    assert refused(lambda: write(tmp_path, NEW)).rule == "edited-output"
    assert (tmp_path / "c.py").read_text() == "c = 3\n"


def test_a_file_that_no_build_wrote_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("somebody's\n")
    assert refused(lambda: write(tmp_path, NEW)).rule == "edited-output"
    assert contents(tmp_path) == {"a.py": "somebody's\n"}


def test_a_deleted_file_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    (tmp_path / "b.py").unlink()
    assert write(tmp_path, OLD) == ["b.py"]


def test_an_edit_of_the_package_through_build(tmp_path: Path) -> None:
    folder = graphvlm.build(TINY, tmp_path)
    (folder / "llm.py").write_text("# mine\n")
    assert refused(lambda: graphvlm.build(TINY, tmp_path)).rule == "edited-output"
    graphvlm.build(TINY, tmp_path, force=True)
    assert diff(folder, graphvlm.render(graphvlm.load(TINY))) == ""


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"../../x": "1", "..": "2", "/etc/passwd": "3", ".": "4"}', "\xff"]
)
def test_a_broken_manifest_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "package"
    write(folder, OLD)
    (tmp_path / "x").write_text("outside\n")
    (folder / MANIFEST).write_text(text, encoding="latin-1")
    assert refused(lambda: write(folder, NEW)).rule == "edited-output"
    write(folder, NEW, force=True)
    assert (tmp_path / "x").read_text() == "outside\n"
    assert json.loads((folder / MANIFEST).read_text()).keys() == NEW.keys()


# ---- differences


def test_a_diff_shows_what_a_build_would_change(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    text = diff(tmp_path, NEW)
    assert "-a = 1\n+a = 2\n" in text
    assert f"--- {tmp_path / 'c.py'}\n+++ /dev/null\n@@ -1 +0,0 @@\n-c = 1\n" in text
    assert "--- /dev/null\n+++ d.py (built)\n@@ -0,0 +1 @@\n+d = 2\n" in text
    assert contents(tmp_path) == OLD


def test_a_diff_against_nothing_shows_everything(tmp_path: Path) -> None:
    text = diff(tmp_path / "nowhere", NEW)
    assert text.count("--- /dev/null") == len(NEW)
    assert not (tmp_path / "nowhere").exists()


def test_a_missing_line_end_does_not_glue_lines(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "a = 1"})
    assert diff(tmp_path, {"a.py": "a = 2"}).endswith("-a = 1\n+a = 2\n")


# ---- killed half way


class Killed(BaseException):
    """What a signal handler may raise."""


@pytest.mark.parametrize("survived", range(4))
def test_a_build_that_is_interrupted_leaves_the_old_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    """Whichever file it was at: not a mixture of old and new, and no litter."""
    write(tmp_path, OLD)
    before = contents(tmp_path), (tmp_path / MANIFEST).read_text()
    real, calls = os.replace, 0

    def replace(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == survived + 1:
            raise Killed
        real(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Killed):
        write(tmp_path, NEW)
    assert (contents(tmp_path), (tmp_path / MANIFEST).read_text()) == before
    monkeypatch.undo()
    write(tmp_path, NEW)
    assert contents(tmp_path) == NEW


def test_a_disk_that_fills_up_leaves_the_old_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, OLD)
    real, calls = Path.write_bytes, 0

    def write_bytes(path: Path, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    found = refused(lambda: write(tmp_path, NEW))
    assert found.rule == "unwritable-output"
    assert "No space left" in found.message
    assert contents(tmp_path) == OLD


def test_a_build_that_is_killed_while_it_writes_leaves_the_old_package(tmp_path: Path) -> None:
    """Not an exception but the end: nothing runs afterwards."""
    write(tmp_path, OLD)
    script = (
        "import os, sys; from pathlib import Path; from graphvlm import output\n"
        "os.replace = lambda *_: os._exit(9)\n"
        f"output.write(Path(sys.argv[1]), {NEW!r})\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=ROOT)
    assert ended.returncode == 9
    assert {name: text for name, text in contents(tmp_path).items() if not name.startswith(".")} == OLD
    write(tmp_path, NEW)
    assert {name: text for name, text in contents(tmp_path).items() if not name.startswith(".")} == NEW


# ---- places where nothing can be written


def test_a_folder_that_may_not_be_written_is_a_diagnostic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right to write is taken away inside the process: a test may run as root, whom no mode stops."""

    def no(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(tempfile, "mkdtemp", no)
    found = refused(lambda: write(tmp_path, NEW))
    assert found.rule == "unwritable-output"
    assert str(tmp_path) in found.message
    assert "Permission denied" in found.message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_diagnostic(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert refused(lambda: graphvlm.build(TINY, tmp_path)).rule == "unwritable-output"
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("out", ["file", "file/below", "folder/\0", "x" * 300])
def test_a_place_that_is_no_folder_is_a_diagnostic(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("kept\n")
    assert refused(lambda: graphvlm.build(TINY, tmp_path / out)).rule == "unwritable-output"
    assert (tmp_path / "file").read_text() == "kept\n"


def test_a_file_where_the_package_should_be(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("kept\n")
    assert refused(lambda: graphvlm.build(TINY, tmp_path)).rule == "unwritable-output"
    assert (tmp_path / "tiny").read_text() == "kept\n"


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    (tmp_path / "d.py").mkdir()
    assert refused(lambda: write(tmp_path, NEW)).rule == "unwritable-output"
    assert contents(tmp_path) == OLD
    assert refused(lambda: write(tmp_path, NEW, force=True)).rule == "unwritable-output"
    assert contents(tmp_path) == OLD


# ---- links and names


def test_a_link_in_the_package_is_replaced_and_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "package", tmp_path / "outside.txt"
    outside.write_text("kept\n")
    write(folder, OLD)
    (folder / "a.py").unlink()
    (folder / "a.py").symlink_to(outside)
    assert refused(lambda: write(folder, NEW)).rule == "edited-output"
    write(folder, NEW, force=True)
    assert outside.read_text() == "kept\n"
    assert not (folder / "a.py").is_symlink()
    assert contents(folder) == NEW


def test_a_link_to_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "tiny").symlink_to("real")
    graphvlm.build(TINY, tmp_path)
    assert (tmp_path / "real" / "model.py").is_file()
    assert (tmp_path / "tiny").is_symlink()


ESCAPES = ["../evil", "..", ".", "/tmp/evil", "a/b", "a\\b", "a\0b", "a.b", "", "con:", "x" * 65, "~", "$HOME"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("where", ["graph", "node"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str, where: str) -> None:
    quoted = json.dumps(name)
    text = TINY.read_text(encoding="utf-8")
    text = (
        text.replace("name: tiny", f"name: {quoted}") if where == "graph" else text.replace("  fused:", f"  {quoted}:")
    )
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(GraphError):
        graphvlm.build(Source("evil.yaml", text), out)
    assert set(tmp_path.rglob("*")) == before
