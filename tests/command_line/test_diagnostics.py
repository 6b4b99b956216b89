"""Problems of graphs: exit codes, streams, formats and colour."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .running import BROKEN, Cli


def test_check_of_a_good_graph(cli: Cli) -> None:
    done = cli("check", "tiny")
    assert (done.code, done.err) == (0, "")
    assert "no problems" in done.out
    assert "vision.layers.2, vision.norm" in done.out
    assert "vision_tower.post_layernorm.*" in done.out
    assert "left out" not in cli("check", "tiny", "--keep-dead").out


def test_check_of_a_bad_graph(cli: Cli) -> None:
    done = cli("check", "tiny", BROKEN)
    assert (done.code, done.err) == (1, "")
    assert "error[unknown-key]" in done.out


@pytest.mark.parametrize("command", ["build", "diff", "viz"])
def test_other_commands_report_on_stderr(command: str, cli: Cli) -> None:
    done = cli(command, "tiny", BROKEN)
    assert (done.code, done.out) == (1, "")
    assert "error[unknown-key]" in done.err


def test_formats(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nodes: {vision: {headz: 3}}\n")
    assert json.loads(cli("check", "tiny", "--format", "json").out)["diagnostics"] == []
    (found,) = json.loads(cli("check", "tiny", "bad.yaml", "--format", "json").out)["diagnostics"]
    assert (found["rule"], found["place"]["file"], found["place"]["line"]) == ("unknown-key", "bad.yaml", 1)
    assert len(cli("check", "tiny", "bad.yaml", "--format", "concise").out.splitlines()) == 1
    assert ",file=bad.yaml,line=1," in cli("build", "tiny", "bad.yaml", "--format", "github").out
    assert json.loads(cli("viz", "tiny", "bad.yaml", "--format", "sarif").out)["version"] == "2.1.0"


def test_colour_only_where_it_is_wanted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\033[" not in cli("check", "tiny", BROKEN).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\033[" in cli("check", "tiny", BROKEN).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in cli("check", "tiny", BROKEN).out
