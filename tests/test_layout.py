"""The promises of the folder layout: everything ships, names keep to their places, files stay short."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
HOMES: dict[str, str] = SETTINGS["tool"]["setuptools"]["package-dir"]
CODE = ("graphvlm", "cli", "schemas", "graphs", "codegen_templates", "tests", "benchmarks", "docs")
ARCHITECTURES = re.compile(
    r"\b(llama(?!3\b)|vicuna|qwen|mistral|mixtral|gemma|deepseek|internlm|internvl|siglip|blip|albef|alpro|phi3|olmo|pixtral|"
    r"idefics|minicpm|glm4|kimi|llava|clip_vision|bert)",
    re.IGNORECASE,
)


def files(*suffixes: str, folders: tuple[str, ...] = CODE) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and not {"golden", "__pycache__"} & set(path.parts):
                yield path


def folder(package: str) -> str:
    """Where a package lies in the repository."""
    above, _, last = package.rpartition(".")
    return HOMES.get(package) or (f"{folder(above)}/{last}" if above else last)


def test_every_package_is_listed() -> None:
    listed = {folder(name) for name in SETTINGS["tool"]["setuptools"]["packages"]}
    found = {str(path.parent.relative_to(ROOT)) for path in files(".py", folders=CODE[:5]) if path.stem == "__init__"}
    assert listed == found


def test_every_folder_of_code_is_a_package() -> None:
    """A folder without `__init__.py` works from a checkout and is missing from the wheel."""
    folders = {path.parent for path in files(".py", folders=CODE[:5])}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files(".py", ".j2")}
    assert {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > 400} == {}


def test_no_architecture_is_named_in_templates_or_components() -> None:
    """They hold options. Names belong to the graphs, and to the importers that read foreign formats.

    (`llama3` alone is what everybody calls that scaling of rotary positions.)
    """
    named = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in files(".py", ".j2", folders=("codegen_templates", "graphvlm/components", "graphvlm/blocks"))
        for found in [ARCHITECTURES.search(path.read_text(encoding="utf-8"))]
        if found
    ]
    assert named == []


def test_a_component_is_three_files_under_one_stem() -> None:
    def stems(folder: str, suffix: str) -> set[str]:
        kinds = ("encoder", "projector", "fusion", "decoder", "head", "loss", "sampler", "state")
        found = (path for kind in kinds for path in (ROOT / folder / kind).glob(f"*{suffix}"))
        shown = (path for path in found if not path.name.startswith("_"))
        return {path.relative_to(ROOT / folder).as_posix().removesuffix(suffix) for path in shown}

    modules = stems("graphvlm/components", ".py")
    assert stems("schemas", ".schema.json") == modules
    assert stems("codegen_templates", ".py.j2") <= modules


@pytest.mark.parametrize("group", ["dependencies", "test"])
def test_every_requirement_is_pinned(group: str) -> None:
    project = SETTINGS["project"]
    wanted = project[group] if group == "dependencies" else project["optional-dependencies"][group]
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in CONSTRAINTS.splitlines() if "==" in line}
    names = {re.sub(r"[-_.]+", "-", re.split(r"[><=!~\[; ]", want)[0]).lower() for want in wanted}
    assert names <= pinned


def test_constraints_name_versions_only() -> None:
    pins = [line for line in CONSTRAINTS.splitlines() if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    command = commands[-1].removeprefix("exec ")
    assert command == "python3 dev.py test"
    assert command in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
