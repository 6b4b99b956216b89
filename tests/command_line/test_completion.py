"""What the shell offers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .running import Cli


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ch"], ["check"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["check", "ti"], ["timesformer_k400", "tiny"]),
        (["check", "mine"], ["mine.yaml"]),
        (["show", "encoder/clip_vit_l_14_"], ["encoder/clip_vit_l_14_336"]),
        (["new", "x", "--decoder", "vicuna_7"], ["vicuna_7b"]),
        (["explain", "unknown-ke"], ["unknown-key"]),
        (["build", "tiny", "--forc"], ["--force"]),
        (["check", "tiny", "--format", "s"], ["sarif"]),
        (["frobnicate", ""], []),
    ],
)
def test_completion(words: list[str], found: list[str], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    assert cli("__complete", *words).out.splitlines() == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_parse(shell: str, cli: Cli) -> None:
    script = cli("completion", shell).out
    try:
        done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"{shell} is not installed here")
    assert (done.returncode, done.stderr) == (0, "")
