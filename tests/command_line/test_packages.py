"""From graphs to packages and drawings: `build`, `diff`, `viz`."""

from __future__ import annotations

from pathlib import Path

from .running import Cli, Done


def test_build_and_diff(cli: Cli, tmp_path: Path) -> None:
    built = cli("build", "tiny", "-o", "packages")
    assert (built.code, built.out) == (0, f"{Path('packages/tiny')}\n")
    assert cli("diff", "tiny", "-o", "packages") == Done(0, "", "")
    assert cli("diff", "tiny", "packages/tiny") == Done(0, "", "")
    changed = cli("diff", "tiny", "nodes.llm.layers=1", "-o", "packages")
    assert changed.code == 1
    assert "-    layers: int = 2\n+    layers: int = 1\n" in changed.out


def test_build_keeps_what_was_edited(cli: Cli, tmp_path: Path) -> None:
    cli("build", "tiny", "-o", "packages")
    edited = tmp_path / "packages/tiny/model.py"
    edited.write_text(edited.read_text() + "# mine\n")
    refused = cli("build", "tiny", "-o", "packages")
    assert refused.code == 1
    assert "error[edited-output]" in refused.err
    assert "\n-# mine\n" in refused.err
    assert edited.read_text().endswith("# mine\n")
    assert cli("build", "tiny", "-o", "packages", "--force").code == 0
    assert not edited.read_text().endswith("# mine\n")


def test_switches_of_the_rewrites(cli: Cli) -> None:
    cli("build", "tiny", "-o", "packages")
    assert "post_layernorm" in cli("diff", "tiny", "-o", "packages", "--keep-dead").out
    assert cli("diff", "tiny", "-o", "packages", "--no-pass", "merge_projections").code == 1
    assert cli("diff", "tiny", "-o", "packages", "--no-pass", "dead_layer").code == 1  # a diagnostic: no such pass


def test_changes_may_stand_anywhere(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("nodes: {llm: {layers: 3}}\n")
    cli("build", "tiny", "more.yaml", "-o", "a", "nodes.llm.dim=60")
    cli("build", "-o", "b", "tiny", "more.yaml", "nodes.llm.dim=60")
    config = (tmp_path / "a/tiny/config.py").read_text()
    assert config == (tmp_path / "b/tiny/config.py").read_text()
    assert "layers: int = 3" in config


def test_viz(cli: Cli, tmp_path: Path) -> None:
    assert cli("viz", "tiny", "-o", "deep/tiny.svg").out == f"{Path('deep/tiny.svg')}\n"
    drawing = (tmp_path / "deep/tiny.svg").read_text()
    assert drawing.startswith("<svg")
    assert cli("viz", "tiny").out == drawing
