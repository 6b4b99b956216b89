"""What is built from this repository holds everything, and works outside of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HOMES: dict[str, str] = {"graphvlm": "graphvlm", **SETTINGS["tool"]["setuptools"]["package-dir"]}
SHIPPED = (".py", ".j2", ".json", ".yaml", ".md", ".typed")
BUILD = "import sys; from setuptools import build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"


def shipped() -> set[str]:
    """Every file that must be in the wheel, by its name there."""
    found = set()
    for package, home in HOMES.items():
        for path in (ROOT / home).rglob("*"):
            if path.suffix in SHIPPED and "__pycache__" not in path.parts:
                found.add(f"{package.replace('.', '/')}/{path.relative_to(ROOT / home).as_posix()}")
    return found


def build(what: str, source: Path, out: Path) -> Path:
    """Call a hook of the build backend, without isolation and hence without the network."""
    command = [sys.executable, "-c", BUILD, what, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for home in HOMES.values():
        shutil.copytree(ROOT / home, source / home, ignore=shutil.ignore_patterns("__pycache__"))
    return build("build_sdist", source, folder)


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Built from the sdist, as a package index would be given both."""
    folder = sdist.parent / "unpacked"
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("build_wheel", source, sdist.parent)


@pytest.mark.slow
def test_the_wheel_holds_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == shipped()


@pytest.mark.slow
def test_the_wheel_carries_its_license_and_readme(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert "License-Expression: Apache-2.0" in text
    assert (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[0] in text


@pytest.mark.slow
def test_the_wheel_works_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from importlib.metadata import entry_points\n"
        "(script,) = entry_points(group='console_scripts', name='graphvlm')\n"
        "main = script.load()\n"
        "import graphvlm; assert graphvlm.__file__.startswith(sys.path[0]), graphvlm.__file__\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for words in (["check", "tiny"], ["build", "tiny", "-o", "out"], ["schema"], ["explain"]):
        command = [sys.executable, "-P", "-c", script, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "tiny" / "model.py").is_file()
