"""The catalog: what it lists, how fast, and that a name never leaves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest

from graphvlm import catalog, resources
from graphvlm.compose import compose
from graphvlm.diagnostics import Source

GRAPHS = Path(__file__).parents[1] / "graphs"


def test_everything_in_the_folder_is_listed() -> None:
    assert list(catalog.graphs()) == sorted(path.stem for path in GRAPHS.glob("*.yaml"))
    assert list(catalog.parts()) == sorted(
        f"{path.parent.name}/{path.stem}" for path in (GRAPHS / "catalog").glob("*/*.yaml")
    )
    assert all(path.is_file() for path in (*catalog.graphs().values(), *catalog.parts().values()))


def test_parts_are_described() -> None:
    entries = {entry.name: entry for entry in catalog.describe_parts()}
    vicuna = entries["decoder/vicuna_7b"]
    assert (vicuna.kind, vicuna.type) == ("decoder", "transformer")
    assert vicuna.description.startswith("Vicuna")
    assert vicuna.source.startswith("https://")
    for entry in entries.values():
        assert entry.kind == "checkpoint" or (entry.type and entry.description), entry.name
    assert {entry.kind for entry in catalog.describe_parts({"encoder"})} == {"encoder"}


def test_graphs_are_described() -> None:
    entries = {entry.name: entry for entry in catalog.describe_graphs()}
    assert entries["llava_1_5_13b"].description == "CLIP ViT-L/14-336, two-layer MLP, Vicuna-13B"
    assert all(entry.description and entry.kind == "graph" for entry in entries.values())


def test_the_text_of_a_part() -> None:
    source = catalog.part("decoder/vicuna_7b")
    assert source is not None
    assert source.name == "<catalog>/decoder/vicuna_7b.yaml"
    assert source.text == (GRAPHS / "catalog" / "decoder" / "vicuna_7b.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "decoder",
        "decoder/",
        "/etc/passwd",
        "../tiny",
        "decoder/../../tiny",
        "Decoder/vicuna_7b",
        "decoder/.x",
        "a\0/b",
    ],
)
def test_a_name_never_leaves_the_catalog(name: str) -> None:
    assert resources.part_file(name) is None
    assert catalog.part(name) is None


@pytest.mark.parametrize("name", list(catalog.parts()))
def test_every_part_composes(name: str) -> None:
    tree = compose(Source("graph.yaml", f"part: {{use: {name}}}"))
    part = tree.get("part")
    assert part is not None
    assert part.get("use") is None


def test_the_catalog_is_listed_fast_and_without_torch() -> None:
    start = process_time()
    catalog.describe_parts()
    catalog.describe_graphs()
    assert process_time() - start < 1
    code = (
        "import sys, graphvlm.catalog as c; c.describe_parts(); c.describe_graphs(); "
        "print([name for name in ('torch', 'jinja2', 'jsonschema', 'networkx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_resources_are_where_they_should_be() -> None:
    assert resources.schemas().is_dir()
    assert resources.graphs().joinpath("tiny.yaml").is_file()
    assert resources.templates() is not None
