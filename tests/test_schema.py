"""The schema files: complete, strict, usable by an editor, and the documents that are made from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from graphvlm import resources, schema, schema_files
from graphvlm.compose import compose
from graphvlm.validate import validate

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "schemas"
FILES = sorted(SCHEMAS.rglob("*.json"))
GRAPHS = [name for name, _ in resources.graph_files()]
PARTS = [name for name, _ in resources.part_files()]
NUMBERS = {"integer", "number"}


def name_of(path: Path) -> str:
    return path.relative_to(SCHEMAS).as_posix()


def subschemas(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping in a schema that may be a schema, with its place; the keys of `properties` are no keywords."""
    if isinstance(value, dict):
        if not path.endswith(("/properties", "/$defs")):
            yield path, value
        for key, below in value.items():
            yield from subschemas(below, f"{path}/{key}")
    elif isinstance(value, list) and not path.endswith("/examples"):
        for index, below in enumerate(value):
            yield from subschemas(below, f"{path}/{index}")


def asked(path: str) -> bool:
    """Whether a place is a condition, not a description of a value."""
    return bool(re.search(r"/(if|then|else|not|oneOf|allOf|\$defs/(complete\w*|called))(/|$)", path))


@pytest.fixture(params=FILES, ids=name_of)
def file(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    path: Path = request.param
    return name_of(path).removesuffix(".schema.json"), json.loads(path.read_text("utf-8"))


def test_a_file_is_a_schema(file: tuple[str, dict[str, Any]]) -> None:
    stem, content = file
    assert content["$schema"] == schema.DIALECT
    assert content["description"]
    assert content["title"] == stem.removeprefix("blocks/")
    assert "$id" not in content  # it would make editors look for the references on the network
    Draft202012Validator.check_schema(content)


def test_every_key_is_described(file: tuple[str, dict[str, Any]]) -> None:
    stem, content = file
    for path, each in subschemas(content):
        if asked(path):
            continue
        for key, raw in each.get("properties", {}).items():
            description = schema_files.flat(raw, stem).get("description", "")
            assert description.strip(), f"{path}/properties/{key}"
            assert description[0] == description[0].upper() or description[0] == "`"
            assert len(description) < 300


def test_mappings_are_closed_and_numbers_bounded(file: tuple[str, dict[str, Any]]) -> None:
    _, content = file
    for path, each in subschemas(content):
        if asked(path) or path.endswith("$defs/written"):
            continue
        if "properties" in each:
            assert "additionalProperties" in each, path
        types = each.get("type", ())
        if NUMBERS & set([types] if isinstance(types, str) else types) and "const" not in each:
            assert "maximum" in each, path
            assert "minimum" in each or "exclusiveMinimum" in each, path
        if types == "array":
            assert "maxItems" in each, path


def test_beside_a_reference_stand_only_notes(file: tuple[str, dict[str, Any]]) -> None:
    """Editors differ in what they do with other keywords there."""
    _, content = file
    notes = {"$ref", "description", "default", "examples", "const", "enum", "x-other-names", "x-identifier"}
    for path, each in subschemas(content):
        if "$ref" in each:
            assert set(each) <= notes, path
            assert not each["$ref"].startswith(("/", "http")), path


def test_forms_differ_by_type(file: tuple[str, dict[str, Any]]) -> None:
    """Which form of a value was meant is seen from its type; no component is chosen by trying all of them."""
    stem, content = file
    for path, each in subschemas(content):
        forms = [schema_files.flat(form, stem) for form in each.get("anyOf", ())]
        if forms and all("type" in form for form in forms):
            assert len({form["type"] for form in forms}) == len(forms), path
        assert "oneOf" not in each or path.endswith("$defs/entry"), path


def test_defaults_and_examples_are_valid(file: tuple[str, dict[str, Any]]) -> None:
    stem, content = file
    for path, each in subschemas(content):
        if "/properties/default" in path:
            continue
        written = [*each.get("examples", ()), *([each["default"]] if "default" in each else ())]
        if not written:
            continue
        checker = Draft202012Validator(schema_files.flat(each, stem))
        for value in written:
            assert checker.is_valid(value), f"{path}: {value}"


def test_a_component_says_what_it_is() -> None:
    for kind, types in schema_files.components().items():
        for type_ in types:
            content = schema_files.load(f"{kind}/{type_}")
            assert content["properties"]["kind"]["const"] == kind
            assert content["properties"]["type"]["const"] == type_
            assert {"use", "inputs", "description", "source", "checkpoint"} <= set(content["properties"])
            assert "complete" in content["$defs"]
    assert set(schema_files.components()) == {
        "decoder",
        "encoder",
        "fusion",
        "head",
        "loss",
        "projector",
        "sampler",
        "state",
    }


# What is made from them


def fresh(path: Path, text: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden", default=False):
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text, "write it anew with pytest --update-golden"


def test_the_node_schema_is_up_to_date(request: pytest.FixtureRequest) -> None:
    fresh(SCHEMAS / "node.schema.json", json.dumps(schema.node(), indent=2, ensure_ascii=False) + "\n", request)


def test_the_reference_is_up_to_date(request: pytest.FixtureRequest) -> None:
    fresh(ROOT / "docs" / "reference.md", schema.reference(), request)


def test_the_reference_has_every_key_and_no_broken_link() -> None:
    text = schema.reference()
    for stem in schema_files.stems():
        for key in schema_files.load(stem).get("properties", {}):
            assert re.search(rf"`(\S+[.])?{key}`", text), f"{stem}: {key}"
    headings = {line.lstrip("# ").replace(" ", "-").lower() for line in text.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\(#([\w-]+)\)", text)) <= headings
    for block in re.findall(r"```yaml\n(.+?)```", text, re.DOTALL):
        for line in block.splitlines():
            yaml.safe_load(line)


# As an editor uses them


def bundled() -> Draft202012Validator:
    return Draft202012Validator(schema.bundle())


def from_files(name: str) -> Draft202012Validator:
    """The validator for a file, with references resolved from where it lies."""
    pairs = [(path.as_uri(), Resource.from_contents(json.loads(path.read_text("utf-8")))) for path in FILES]
    registry: Any = Registry().with_resources(pairs)
    return Draft202012Validator({"$ref": (SCHEMAS / f"{name}.schema.json").as_uri()}, registry=registry)


def test_the_bundle_is_one_schema() -> None:
    bundle = schema.bundle()
    Draft202012Validator.check_schema(bundle)
    references = [each["$ref"] for _, each in subschemas(bundle) if "$ref" in each]
    assert [reference for reference in references if not reference.startswith("#/")] == []
    assert len(json.dumps(bundle)) < 250_000


@pytest.fixture(params=["bundle", "files"])
def checker(request: pytest.FixtureRequest) -> Draft202012Validator:
    return bundled() if request.param == "bundle" else from_files("graph")


@pytest.mark.parametrize("name", GRAPHS)
def test_an_editor_accepts_the_shipped_graphs(name: str, checker: Draft202012Validator) -> None:
    path = ROOT / "graphs" / f"{name}.yaml"
    assert list(checker.iter_errors(yaml.safe_load(path.read_text("utf-8")))) == []
    assert list(checker.iter_errors(validate(compose(path)).plain())) == []


@pytest.mark.parametrize("name", PARTS)
def test_an_editor_accepts_the_shipped_parts(name: str) -> None:
    kind, _, part = name.partition("/")
    path = ROOT / "graphs" / "catalog" / kind / f"{part}.yaml"
    text = path.read_text("utf-8")
    header = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    if header:
        assert (path.parent / header[1]).resolve() in FILES
    used = from_files("checkpoint" if kind == "checkpoint" else "node")
    assert list(used.iter_errors(yaml.safe_load(text))) == []


ACCEPTED = [
    {"extends": "tiny.yaml", "nodes": {"vision": {"output": {"layer": -1}}}},
    {"extends": "tiny.yaml", "nodes": {"vision": {"kind": "encoder", "type": "vit", "image": {"channels": 1}}}},
]
NODES: list[tuple[dict[str, Any], bool]] = [
    ({"use": "decoder/vicuna_7b", "inputs": "text", "attention": {"bias": True}}, True),
    ({"use": "decoder/vicuna_7b", "inputs": "text", "attention": {"use": "mine.yaml", "window": 4}}, True),
    ({"use": "encoder/mine.yaml", "inputs": "text", "anything": 1}, True),
    ({"use": "decoder/vicuna_7b", "inputs": "text", "heads": 3}, False),
    ({"use": "decoder/vicuna_7b", "inputs": "text", "dim": "4096"}, False),
    ({"use": "decoder/vicuna_7b", "inputs": "text", "head": "none", "layers": {"count": 2}}, True),
    ({"use": "encoder/clip_vit_l_14", "inputs": "text", "vocab": 3}, True),  # a part may be of any type of its kind
    ({"kind": "projector", "type": "mlp"}, False),
    ({"kind": "projector", "type": "mlp", "inputs": "text", "layer": 2}, False),
    ({"kind": "projector", "type": "mpl", "inputs": "text"}, False),
    ({"kind": "projector", "inputs": "text"}, False),
    ({"type": "mlp", "inputs": "text"}, False),
    ({"kind": "projcetor", "type": "mlp", "inputs": "text"}, False),
    ({"kind": "fusion", "type": "scatter", "inputs": {"text": "text"}}, False),
    ({"kind": "fusion", "type": "scatter", "inputs": {"text": "text"}, "placeholder": {"image": 3}}, True),
]


@pytest.mark.parametrize("graph", ACCEPTED)
def test_an_editor_accepts_what_builds_on_something(graph: dict[str, Any], checker: Draft202012Validator) -> None:
    assert list(checker.iter_errors(graph)) == []


@pytest.mark.parametrize(("node", "good"), NODES)
def test_an_editor_checks_a_node(node: dict[str, Any], good: bool, checker: Draft202012Validator) -> None:
    graph = {
        "version": 1,
        "name": "sample",
        "inputs": {"input_ids": "tokens"},
        "nodes": {"text": {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}, "node": node},
        "outputs": {"out": "node"},
    }
    assert checker.is_valid(graph) == good


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"name": "My VLM"},
        {"inputs": {}},
        {"inputs": {"pixels": "images"}},
        {"outputs": {}},
        {"nodez": {}},
        {"passes": {"dead_layer": True}},
        {"freeze": "vision"},
        {"parallelism": {"mesh": {"sp": 2}}},
    ],
    ids=str,
)
def test_an_editor_rejects_a_bad_graph(change: dict[str, Any], checker: Draft202012Validator) -> None:
    good = yaml.safe_load((ROOT / "graphs" / "tiny.yaml").read_text("utf-8"))
    assert checker.is_valid(good)
    assert not checker.is_valid({**good, **change})
    assert not checker.is_valid({key: value for key, value in good.items() if key != "version"})
