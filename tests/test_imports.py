"""Imports point one way: down the pipeline, and from the command line to the library."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# The rooms of graphvlm/, files and folders. A room imports from rows above its own, and within its row without a cycle.
LAYERS = (
    {"diagnostics", "names", "words", "code", "yaml_text"},
    {"tree", "scalars", "problems", "dims", "building", "merging", "settings"},
    {"source", "resources", "overrides", "compose", "catalog"},
    {"schema_files", "schema_words", "schema_hints", "schema_errors", "schema_reference", "schema", "validate"},
    {"blocks", "spec", "ir", "node_page", "component", "components", "axes", "declared"},
    {"linked", "masks", "link", "infer", "freezing", "splits", "contexts", "sharding", "vocabulary"},
    {"prompts", "stages", "staging"},
    {"checks", "stage_checks", "resolve"},
    {"passes", "keys"},
    {"pages", "drawing", "emit", "planning", "hub", "titan"},
    {"counting", "rendering", "output", "weights", "pickled"},
    {"cache", "importers", "rules", "excerpt"},
    {"exporters"},
    {""},  # graphvlm/__init__.py: the pipeline
    {"report"},
)
ROW = {room: row for row, rooms in enumerate(LAYERS) for room in rooms}


def modules(folder: Path) -> dict[str, Path]:
    """The modules of a package in the repository, by dotted name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules(ROOT / "graphvlm")


def imports(name: str, path: Path) -> Iterator[str]:
    """What a module imports when it runs, at its top or later; imports for type checkers are only words."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checking = (node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    words = {id(inner) for node in checking for statement in node.body for inner in ast.walk(statement)}
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and id(node) not in words:
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def room(module: str) -> str:
    """`graphvlm.blocks.parse` -> `blocks`; the package itself is ``."""
    return ".".join(module.split(".")[1:2])


def test_every_room_has_its_row() -> None:
    assert {room(name) for name in MODULES} - ROW.keys() == set()


def test_imports_point_down() -> None:
    upward = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        for other in imports(name, path)
        if other in MODULES and ROW.get(room(other), 0) > ROW.get(room(name), 0)
    ]
    assert upward == []


def test_imports_have_no_cycle() -> None:
    """Nor one that a lazy import hides. Packages are left out: they name what is in them, and that is all they do."""
    files = {name: path for name, path in MODULES.items() if path.stem != "__init__"}
    order = graphlib.TopologicalSorter({name: set(imports(name, path)) & files.keys() for name, path in files.items()})
    assert len(list(order.static_order())) == len(files)


def test_the_library_knows_nothing_of_the_command_line() -> None:
    named = [name for name, path in MODULES.items() if any("cli" in other.split(".") for other in imports(name, path))]
    assert named == []


def test_the_library_reads_no_arguments() -> None:
    named = [name for name, path in MODULES.items() if {"argparse", "getpass"} & set(imports(name, path))]
    assert named == []


def test_components_know_no_stage_of_the_compiler() -> None:
    stages = {"compose", "validate", "link", "resolve", "passes", "pages", "rendering", "importers", "drawing"}
    named = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if room(name) in ("components", "blocks")
        for other in imports(name, path)
        if other in MODULES and room(other) in stages
    ]
    assert named == []


def test_importers_do_not_know_each_other() -> None:
    def format_of(module: str) -> str:
        return module.split(".")[2] if module.startswith("graphvlm.importers.") and module.count(".") > 2 else ""

    named = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        for other in imports(name, path)
        if format_of(name) and format_of(other) not in ("", format_of(name))
    ]
    assert named == []
