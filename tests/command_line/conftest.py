"""Running a command line through its entry point, in this process or in one of its own."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from .running import Cli, Done


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command line in an empty folder."""
    (script,) = entry_points(group="console_scripts", name="graphvlm")
    main = script.load()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*words: str) -> Done:
        code = main(words)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run
