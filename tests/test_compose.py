"""Composition: extends, parts, overlays and overrides, the places of values, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphvlm import building
from graphvlm import compose as compose_module
from graphvlm.compose import PathOrText, compose
from graphvlm.diagnostics import Diagnostic, GraphError, Source

GRAPHS = Path(__file__).parents[1] / "graphs"

BASE = """\
version: 1
nodes:
  vision: {kind: encoder, dim: 8, norm: {type: rms, eps: 1e-5}, sizes: [1, 2]}
  llm: {kind: decoder, dim: 16}
"""


def text(yaml: str, name: str = "graph.yaml") -> Source:
    return Source(name, yaml)


def plain(path: PathOrText, *overlays: PathOrText, overrides: tuple[str, ...] = ()) -> Any:
    return compose(path, overlays, overrides).plain()


def problems(path: PathOrText, *overlays: PathOrText, overrides: tuple[str, ...] = ()) -> tuple[Diagnostic, ...]:
    with pytest.raises(GraphError) as caught:
        compose(path, overlays, overrides)
    return caught.value.diagnostics


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A graph in three files and two folders."""
    contents = {
        "base.yaml": "version: 1\nname: base\nnodes:\n  a: {use: parts/a.yaml, dim: 8}\n  b: {kind: decoder}\n",
        "middle.yaml": "extends: base.yaml\nname: middle\nnodes: {b: {dim: 4}}\n",
        "graph.yaml": "extends: middle.yaml\nname: top\nnodes: {a: {norm: {eps: 2}}}\n",
        "parts/a.yaml": "kind: encoder\nnorm: {use: norm.yaml, type: rms}\ndim: 2\n",
        "parts/norm.yaml": "{type: layer, eps: 1, bias: true}\n",
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, "utf-8")
    return {name: tmp_path / name for name in contents}


# Merging


def test_extends_and_use_merge_at_every_level_relative_to_where_they_are_written(files: dict[str, Path]) -> None:
    assert plain(files["graph.yaml"]) == {
        "version": 1,
        "name": "top",
        "nodes": {
            "a": {"kind": "encoder", "norm": {"type": "rms", "eps": 2, "bias": True}, "dim": 8},
            "b": {"kind": "decoder", "dim": 4},
        },
    }


def test_values_keep_the_places_they_were_written_at(files: dict[str, Path]) -> None:
    tree = compose(files["graph.yaml"], overrides=["nodes.b.dim=5"])

    def place(*path: str) -> str:
        found = tree.get(*path)
        assert found is not None
        return f"{Path(found.span.source.name).name}:{found.span.line}:{found.span.column}"

    assert place("version") == "base.yaml:1:10"
    assert place("nodes", "a", "dim") == "base.yaml:4:31"
    assert place("nodes", "a", "kind") == "a.yaml:1:7"
    assert place("nodes", "a", "norm", "bias") == "norm.yaml:1:29"
    assert place("nodes", "a", "norm") == "graph.yaml:3:19"  # a merged mapping stands where the last one does
    assert place("nodes", "b", "dim") == "<command line>:1:13"
    assert place("nodes", "b") == "middle.yaml:3:12"  # a setting changes one value, not where its node stands
    llm = tree.get("nodes", "b")
    assert llm is not None
    assert str(llm.key_span("dim").source.name) == "<command line>"


def test_overlays_merge_in_order_and_lists_are_replaced() -> None:
    over = text("nodes: {vision: {dim: 9, sizes: [3]}}", "a.yaml")
    last = text("nodes: {vision: {dim: 10}}\nname: new", "b.yaml")
    vision = plain(text(BASE), over, last)["nodes"]["vision"]
    assert vision == {"kind": "encoder", "dim": 10, "norm": {"type": "rms", "eps": 1e-5}, "sizes": [3]}


def test_null_deletes_what_it_lies_over_and_is_a_value_where_there_is_nothing() -> None:
    nodes = plain(text(BASE), text("nodes: {llm: null, vision: {norm: {eps: null}, head: null}}"))["nodes"]
    assert nodes == {"vision": {"kind": "encoder", "dim": 8, "norm": {"type": "rms"}, "sizes": [1, 2], "head": None}}


def test_an_overlay_that_names_another_part_replaces_the_part(files: dict[str, Path]) -> None:
    (files["base.yaml"].parent / "parts" / "b.yaml").write_text("kind: encoder\nlayers: 3\n", "utf-8")
    over = Source(str(files["base.yaml"]), "nodes: {a: {use: parts/b.yaml}}")
    assert plain(files["graph.yaml"], over)["nodes"]["a"] == {
        "kind": "encoder",
        "layers": 3,
        "dim": 8,
        "norm": {"eps": 2},
    }


def test_null_deletes_a_key_of_a_part_too(files: dict[str, Path]) -> None:
    assert "dim" not in plain(files["base.yaml"], text("nodes: {a: {dim: null}}"))["nodes"]["a"]
    assert plain(files["base.yaml"], text("nodes: {a: {use: null}}"))["nodes"]["a"] == {"dim": 8}
    assert plain(files["base.yaml"], text("nodes: {a: {use: null, dim: null}}"))["nodes"]["a"] == {}


def test_a_part_may_start_from_another_part(files: dict[str, Path]) -> None:
    (files["base.yaml"].parent / "wide.yaml").write_text("use: parts/a.yaml\ndim: 32\n", "utf-8")
    node = plain(Source(str(files["base.yaml"]), "nodes: {x: {use: wide.yaml, y: 1}}"))["nodes"]["x"]
    assert node == {"kind": "encoder", "norm": {"type": "rms", "eps": 1, "bias": True}, "dim": 32, "y": 1}


@pytest.mark.parametrize("path", sorted(GRAPHS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_graphs_compose(path: Path) -> None:
    tree = compose(path)
    assert tree.get("use") is None
    assert tree.get("extends") is None
    nodes = tree.get("nodes")
    assert nodes is not None
    maps = [node.get("checkpoint") for _, node in nodes.items()]
    assert "use" not in str(maps)
    assert any(each.get("names") for each in (*maps, tree.get("checkpoint")) if each is not None)


# Overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("nodes.vision.dim=3", ("nodes", "vision", "dim"), 3),
        ("nodes.vision.norm={eps: 2}", ("nodes", "vision", "norm"), {"type": "rms", "eps": 2}),
        ("nodes.vision.sizes.1=7", ("nodes", "vision", "sizes"), [1, 7]),
        ("nodes.vision.sizes=[7]", ("nodes", "vision", "sizes"), [7]),
        ("nodes.vision.new.deep.er=x=y", ("nodes", "vision", "new"), {"deep": {"er": "x=y"}}),
        ('nodes.vision."a.b=c".d= 1', ("nodes", "vision", "a.b=c"), {"d": 1}),
        ("nodes.llm.dim=null", ("nodes", "llm"), {"kind": "decoder"}),
        ("name=''", ("name",), ""),
        ("name=no", ("name",), "no"),
        ("nodes.new={kind: head}", ("nodes", "new"), {"kind": "head"}),
    ],
)
def test_overrides(override: str, path: tuple[str, ...], value: object) -> None:
    found = compose(text(BASE), overrides=[override]).get(*path)
    assert found is not None
    assert found.plain() == value


def test_an_override_goes_into_a_list_of_a_part(files: dict[str, Path]) -> None:
    files["parts/a.yaml"].write_text("sizes: [{w: 1}, {w: 2}]\nnorm: rms\n", "utf-8")
    node = plain(files["base.yaml"], overrides=("nodes.a.sizes.1.w=3", "nodes.a.norm=layer"))["nodes"]["a"]
    assert node == {"sizes": [{"w": 1}, {"w": 3}], "norm": "layer", "dim": 8}
    (problem,) = problems(files["base.yaml"], overrides=("nodes.a.norm.eps=1",))
    assert problem.rule == "bad-override"
    assert Path(problem.labels[0].span.source.name).name == "a.yaml"


def test_an_override_may_name_another_part() -> None:
    node = plain(GRAPHS / "llava_1_5_7b.yaml", overrides=("nodes.llm.use=decoder/vicuna_13b",))["nodes"]["llm"]
    assert node["dim"] == 5120


@pytest.mark.parametrize(
    ("override", "column", "words"),
    [
        ("nodes.vision.dim", 17, "not of the form"),
        ("=3", 1, "not of the form"),
        ("", 1, "not of the form"),
        ("a..b=1", 3, "not of the form"),
        ('a."b=1', 3, "not of the form"),
        ("nodes.vision.dim=", 14, "has no value"),
        ("name=#x", 1, "has no value"),
        ("nodes.vision.dim.x=1", 18, "`nodes.vision.dim` is one value"),
        ("nodes.vision.sizes.2=1", 20, "not one of its elements"),
        ("nodes.vision.sizes.x=1", 20, "not one of its elements"),
        ("nodes.vision.sizes.0=null", 20, "cannot be deleted"),
        ("nodes.vison.dim=1", 7, "there is no node `vison`"),
        ("vision.dim=1", 1, "`vision` is a node"),
        ("extends=x.yaml", 1, "`extends` cannot"),
        (".".join("a" * 100) + "=1", 129, "not of the form"),
    ],
)
def test_bad_overrides(override: str, column: int, words: str) -> None:
    (problem,) = problems(text(BASE), overrides=(override,))
    assert problem.rule == "bad-override"
    assert words in problem.message
    assert problem.help
    assert problem.span is not None
    assert (problem.span.source.name, problem.span.line, problem.span.column) == ("<command line>", 1, column)


def test_the_value_of_an_override_is_read_like_a_file() -> None:
    found = problems(text(BASE), overrides=("name=[1", "name=!x 1", "name={a: 1, a: 2}", "name.x=1", "name=\0"))
    assert [problem.rule for problem in found] == ["yaml-syntax", "yaml-tag", "duplicate-key", "not-text"]
    assert [repr(problem.span) for problem in found[1:]] == [
        "<command line>:1:6",
        "<command line>:1:13",
        "<command line>:1:6",
    ]


# What is refused


def test_every_bad_part_is_found_in_one_run() -> None:
    found = problems(
        text(
            """\
nodes:
  a: {use: decoder/vicunna_7b}
  b: {use: vicuna_7b}
  c: {use: ../../../etc/passwd}
  d: {use: /etc/passwd}
  e: {use: 3}
  f: {use: no_such_file.yaml}
  g: {use: decoder/vicunna_7b}
  h: {use: decoder/../decoder/vicuna_7b}
"""
        )
    )
    assert [(problem.rule, problem.span.line if problem.span else 0) for problem in found] == [
        ("unknown-part", 2),
        ("unknown-part", 3),
        ("unknown-part", 4),
        ("unknown-part", 5),
        ("bad-use", 6),
        ("unreadable-file", 7),
        ("unknown-part", 8),
        ("unknown-part", 9),
    ]
    assert [problem.help for problem in found[:2]] == ["did you mean `decoder/vicuna_7b`?"] * 2


def test_problems_of_all_files_are_found_in_one_run(files: dict[str, Path]) -> None:
    files["base.yaml"].write_text("a: 1\na: 2\n", "utf-8")
    files["parts/a.yaml"].write_text("a: 1\na: 2\n", "utf-8")
    found = problems(files["graph.yaml"], text("nodes: {a: {use: parts/a.yaml}, b: !x 1}", str(files["graph.yaml"])))
    assert [problem.rule for problem in found] == ["duplicate-key", "yaml-tag"]


def test_bad_extends() -> None:
    assert problems(text("extends: tiny"))[0].rule == "bad-extends"
    assert problems(text("extends: [a.yaml]"))[0].rule == "bad-extends"
    assert problems(text("extends: no_such_file.yaml"))[0].rule == "unreadable-file"


def test_circles(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    a.write_text("extends: b.yaml", "utf-8")
    b.write_text("extends: c.yaml", "utf-8")
    c.write_text("extends: b.yaml", "utf-8")
    (problem,) = problems(a)
    assert problem.rule == "composition-cycle"
    assert problem.message == "`extends` goes round in a circle: c.yaml -> b.yaml -> c.yaml"
    a.write_text("nodes: {x: {use: b.yaml}}", "utf-8")
    b.write_text("use: c.yaml", "utf-8")
    c.write_text("deep: [{er: {use: b.yaml}}]", "utf-8")
    (problem,) = problems(a)
    assert problem.message == "`use` goes round in a circle: c.yaml -> b.yaml -> c.yaml"
    assert (problem.rule, problem.span and problem.span.source.name) == ("composition-cycle", str(b))


def test_parts_that_expand_without_measure_are_refused(tmp_path: Path) -> None:
    for i in range(30):
        twice = f"{{a: {{use: {i + 1}.yaml}}, b: {{use: {i + 1}.yaml}}}}"
        (tmp_path / f"{i}.yaml").write_text(twice, "utf-8")
    (tmp_path / "30.yaml").write_text("{a: 1}", "utf-8")
    start = process_time()
    (problem,) = problems(tmp_path / "0.yaml")
    assert process_time() - start < 5
    assert problem.rule == "too-large"


def test_parts_that_nest_too_deep_are_refused(tmp_path: Path) -> None:
    for i in range(10):
        deep = "{a: " * 10 + f"{{use: {i + 1}.yaml}}" + "}" * 10
        (tmp_path / f"{i}.yaml").write_text(deep, "utf-8")
    (tmp_path / "10.yaml").write_text("{a: 1}", "utf-8")
    (problem,) = problems(tmp_path / "0.yaml")
    assert problem.rule == "too-deep"


def test_many_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_module, "MAX_CHARACTERS", 1000)
    for i in range(30):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n# {'x' * 100}\n", "utf-8")
    (problem,) = problems(tmp_path / "0.yaml")
    assert (problem.rule, problem.span and problem.span.line) == ("too-large", 1)


def test_a_long_chain_of_files_is_no_problem(tmp_path: Path) -> None:
    for i in range(1500):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\nk{i}: 1", "utf-8")
    (tmp_path / "1500.yaml").write_text("name: x", "utf-8")
    assert len(plain(tmp_path / "0.yaml")) == 1501


def test_problems_are_not_counted_without_end() -> None:
    nodes = "".join(f"  n{i}: {{use: no/part}}\n" for i in range(5000))
    assert len(problems(text("nodes:\n" + nodes))) == building.MAX_PROBLEMS


# Properties

KEYS = st.sampled_from(["nodes", "vision", "llm", "norm", "dim", "sizes", "use", "extends", "0", "1", '"a.b"', "", "x"])
VALUES = st.sampled_from(
    ["1", "null", "{a: 1}", "[1]", "rms", "decoder/vicuna_7b", "{use: x/y}", "[", "", "{use: null}"]
)
OVERRIDES = st.builds(lambda keys, value: f"{'.'.join(keys)}={value}", st.lists(KEYS, max_size=5), VALUES)


@settings(max_examples=150, deadline=None)
@given(st.lists(OVERRIDES | st.text(max_size=20), max_size=4))
def test_no_override_raises_anything_but_graph_error(overrides: list[str]) -> None:
    with suppress(GraphError):
        compose(text(BASE), overrides=overrides)


LEAVES = st.sampled_from(["1", "null", "rms", "[1, {use: projector/llava_mlp}]", "decoder/vicuna_7b"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.dictionaries(st.sampled_from(["nodes", "llm", "norm", "use", "extends", "checkpoint"]), inner).map(
        lambda entries: "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(TREES, TREES)
def test_no_pair_of_files_raises_anything_but_graph_error(base: str, over: str) -> None:
    with suppress(GraphError):
        compose(text(base), [text(over)])
