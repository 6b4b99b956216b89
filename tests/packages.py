"""Looking at generated packages from outside: linters, type checkers, other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(*arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """What a Python process prints that finds graphvlm and the modules in `cwd`; it must end well."""
    merged = {**os.environ, "PYTHONPATH": os.pathsep.join((str(cwd), str(ROOT))), **(environment or {})}
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=merged, capture_output=True, check=False, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def lint(folder: Path) -> str:
    """What `ruff check` and `ruff format` have to say about the packages in `folder`, under their own settings."""
    said = [_complaints("ruff", "check", "--isolated", "--no-cache", "--output-format", "concise", ".", cwd=folder)]
    for width in ("88", "120"):
        said.append(
            _complaints("ruff", "format", "--isolated", "--no-cache", "--line-length", width, "--diff", ".", cwd=folder)
        )
    return "".join(said)


def unread(folder: Path) -> str:
    """The arguments that no code in `folder` reads, unless their names begin with `_`."""
    rules = ("--isolated", "--no-cache", "--select", "ARG", "--output-format", "concise")
    return _complaints("ruff", "check", *rules, ".", cwd=folder)


def type_check(folder: Path) -> str:
    """What `mypy --strict` has to say about the packages in `folder`."""
    packages = [path.name for path in sorted(folder.iterdir()) if (path / "__init__.py").exists()]
    # The settings and the cache are those of the repository, so that torch is read once; they are strict and more.
    settings = ("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"))
    return _complaints("mypy", "--strict", *settings, *packages, cwd=folder)


def _complaints(tool: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", tool, *arguments]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, check=False, text=True)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """A package as files, nothing else."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
