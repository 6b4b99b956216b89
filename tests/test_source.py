"""Reading and parsing: values, their places, and everything that is refused."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import process_time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from graphvlm import building
from graphvlm.diagnostics import Diagnostic, GraphError, Source, Span
from graphvlm.source import MAX_BYTES, decode, parse, read
from graphvlm.tree import Scalar, Tree

LLAVA = (Path(__file__).parents[1] / "graphs" / "llava_1_5_7b.yaml").read_text("utf-8")


def problems(text: str, name: str = "graph.yaml") -> tuple[Diagnostic, ...]:
    with pytest.raises(GraphError) as caught:
        parse(Source(name, text))
    return caught.value.diagnostics


def place(span: Span | None) -> tuple[int, int]:
    assert span is not None
    return span.line, span.column


def cut(span: Span) -> str:
    """The text that a span covers."""
    lines = span.source.text.splitlines(keepends=True)
    start = sum(map(len, lines[: span.line - 1])) + span.column - 1
    end = sum(map(len, lines[: span.end_line - 1])) + span.end_column - 1
    return span.source.text[start:end]


def walk(tree: Tree) -> Iterator[Tree]:
    yield tree
    for _, child in tree.items():
        yield from walk(child)
    for child in tree.elements():
        yield from walk(child)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("010", 10),
        ("0o10", 8),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1e-5", 1e-5),
        ("1.0e-5", 1e-5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5e+3", -500.0),
        ("e5", "e5"),
        ("1e", "1e"),
        ("-", None),  # an empty block sequence entry, see below
        ("--1", "--1"),
        ("2024-01-01", "2024-01-01"),
        ("0x", "0x"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("='", "='"),
        ("llm.logits", "llm.logits"),
        ("9007199254740992", 2**53),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Scalar) -> None:
    found = parse(Source("graph.yaml", f"key:\n  - {text}\n")).get("key", 0)
    assert found is not None
    if text == "-":
        assert found.plain() == [None]
        return
    assert found.value == value
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    "number", [".inf", "-.INF", ".nan", "1e999", "9007199254740993", "9" * 5000, "0x" + "f" * 5000]
)
def test_numbers_beyond_any_model_are_refused(number: str) -> None:
    (problem,) = problems(f"eps: {number}")
    assert problem.rule == "number-out-of-range"
    assert place(problem.span) == (1, 6)


def test_spans_are_exact_in_block_flow_and_multi_byte_text() -> None:
    text = (
        'name: "größe 日本" # c\n日本: {é: [1, two, "x"], b: {c: 1e-5}}\nlist:\n  - a\n  - b: c d\n'
        "long: |\n  one\n  two\nnext: last\n"
    )
    tree = parse(Source("graph.yaml", text))
    spans = {".".join(map(str, path)): cut(found.span) for path in PATHS if (found := tree.get(*path)) is not None}
    assert spans == {
        "name": '"größe 日本"',
        "日本": '{é: [1, two, "x"], b: {c: 1e-5}}',
        "日本.é": '[1, two, "x"]',
        "日本.é.1": "two",
        "日本.é.2": '"x"',
        "日本.b.c": "1e-5",
        "list": "- a\n  - b: c d",
        "list.1": "b: c d",
        "list.1.b": "c d",
        "long": "|\n  one\n  two\n",
        "next": "last",
    }
    for each in walk(tree):
        assert all(cut(span).strip("\"'") == key for key, span in each.keys.items())


PATHS: list[tuple[str | int, ...]] = [
    ("name",),
    ("日本",),
    ("日本", "é"),
    ("日本", "é", 1),
    ("日本", "é", 2),
    ("日本", "b", "c"),
    ("list",),
    ("list", 1),
    ("list", 1, "b"),
    ("long",),
    ("next",),
]


def test_a_value_starts_after_its_anchor_and_an_alias_is_the_value_it_repeats() -> None:
    tree = parse(Source("graph.yaml", "a: &x 12\nb: &y # c\n  c: *x\nd: &z\ne: *y\nf: &w {g: 1}\n"))
    assert tree.plain() == {"a": 12, "b": {"c": 12}, "d": None, "e": {"c": 12}, "f": {"g": 1}}
    spans = [found.span for key in "abdf" if (found := tree.get(key)) is not None]
    assert [cut(span) for span in spans] == ["12", "c: *x", "", "{g: 1}"]
    assert tree.get("e") is tree.get("b")


def test_places_are_the_same_with_windows_line_ends_and_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    def places(text: str) -> list[tuple[int, int, object]]:
        return [(*place(each.span), each.plain()) for each in walk(parse(Source("graph.yaml", text)))]

    expected = places(LLAVA)
    assert places(LLAVA.replace("\n", "\r\n")) == expected
    monkeypatch.setattr(building, "_Loader", yaml.SafeLoader)
    assert places(LLAVA) == expected


@pytest.mark.parametrize(
    ("text", "rule", "line", "column"),
    [
        ("a: [1, 2\nb: 3\n", "yaml-syntax", 2, 2),
        ("a: 'x\nb: 1\n", "yaml-syntax", 1, 4),
        ("a:\n\tb: 1", "yaml-syntax", 2, 1),
        ("a: b: c", "yaml-syntax", 1, 5),
        ("a: @x", "yaml-syntax", 1, 4),
        ("a: !!python/object:os.system x", "yaml-tag", 1, 4),
        ("a: !x [1]", "yaml-tag", 1, 4),
        ("a: &b !x {c: 1}", "yaml-tag", 1, 7),
        ("!!str a: 1", "yaml-tag", 1, 1),
        ("%TAG ! tag:x,2000:\n---\na: 1", "yaml-tag", 1, 1),
        ("a: !e!x 1", "yaml-tag", 1, 4),
        ("a: 1\nb: {c: 1, c: 2}", "duplicate-key", 2, 11),
        ("'a': 1\na: 2", "duplicate-key", 2, 1),
        ("a: &a [*a]", "alias-bomb", 1, 8),
        ("a: *nobody", "unknown-anchor", 1, 4),
        ("a: " + "[" * 65, "too-deep", 1, 67),
        ("".join(f"{' ' * i}a:\n" for i in range(70)), "too-deep", 65, 65),
        ("a: 1\n---\nb: 1", "multiple-documents", 2, 1),
        ("a: {1: x}", "non-text-key", 1, 5),
        ("true: x", "non-text-key", 1, 1),
        ("?\n: x", "non-text-key", 1, 2),
        ("? [a]\n: x", "non-text-key", 1, 3),
        ("a: &a x\n*a : x", "non-text-key", 2, 1),
        ("a:\n  <<: {b: 1}", "merge-key", 2, 3),
        ("", "empty-file", 1, 1),
        ("# only a comment\n", "empty-file", 1, 1),
        ("---\n...\n", "empty-file", 1, 1),
        ("- a\n- b\n", "not-a-mapping", 1, 1),
        ("just text", "not-a-mapping", 1, 1),
        ("a: x\0y", "not-text", 1, 5),
        ("a: 日\nb: \x1b[31m", "not-text", 2, 4),
        ("a: \udcff", "not-text", 1, 4),
    ],
)
def test_refused(text: str, rule: str, line: int, column: int) -> None:
    problem = problems(text)[0]
    assert (problem.rule, *place(problem.span)) == (rule, line, column)
    assert problem.help or rule == "unknown-anchor"
    assert "\n" not in problem.message


def test_every_problem_is_found_in_one_run() -> None:
    text = "a: 1\na: 2\nb: !x 1\nc: {d: .inf, 2: 3}\n<<: {}\ne: *f\ng: [1\n"
    rules = [problem.rule for problem in problems(text)]
    assert rules == [
        "duplicate-key",
        "yaml-tag",
        "number-out-of-range",
        "non-text-key",
        "merge-key",
        "unknown-anchor",
        "yaml-syntax",
    ]


def test_a_duplicate_key_points_at_the_first() -> None:
    (problem,) = problems("nodes:\n  llm: 1\n  vision: 2\n  llm: 3\n")
    assert [place(label.span) for label in problem.labels] == [(2, 3)]


def test_a_quoted_merge_key_is_an_ordinary_key() -> None:
    assert parse(Source("graph.yaml", '"<<": 1')).plain() == {"<<": 1}


BOMB = "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: &a [x, x, x, x, x, x, x, x, x]\n" + BOMB, "alias-bomb"),
        ("a: &a {" + "b: {" * 40 + "}" * 41 + "\nc: {" + "d: {" * 30 + "e: *a" + "}" * 31, "too-deep"),
        ("a: [" + "1," * 300_000 + "]", "too-large"),
        ("a: " + "x" * MAX_BYTES, "too-large"),
        ("[" * 1_000_000, "too-deep"),
        ("- " * 1_000_000, "too-deep"),
        ("".join(f"%TAG !a{i}! tag:x\n" for i in range(50_000)), "yaml-tag"),
        ("".join(f"a{i}: &a{i} 1\n" for i in range(130_000)), "too-large"),
        ("a: 1\n" * 100_000, "duplicate-key"),
    ],
    ids=["bomb", "deep alias", "values", "bytes", "brackets", "dashes", "directives", "anchors", "duplicates"],
)
def test_hostile_text_is_refused_at_once(text: str, rule: str) -> None:
    start = process_time()
    found = problems(text)
    assert process_time() - start < 5
    assert found[-1].rule == rule
    assert len(found) <= building.MAX_PROBLEMS
    assert all(len(problem.message) < 300 for problem in found)


def test_a_graph_of_2000_nodes_parses_fast() -> None:
    node = (
        "  node_{0}:\n    kind: projector\n    type: mlp\n    inputs: node_{0}\n    norm: {{type: rms, eps: 1.0e-5}}\n"
    )
    source = Source("graph.yaml", "nodes:\n" + "".join(node.format(i) for i in range(2000)))
    gc.disable()  # what earlier tests left takes seconds to look through
    start = process_time()
    try:
        parse(source)
    finally:
        taken = process_time() - start
        gc.enable()
    assert taken < 1  # a tenth of that on an idle machine


# Files


def refused(path: Path, at: Span | None = None) -> Diagnostic:
    with pytest.raises(GraphError) as caught:
        read(path, at)
    (problem,) = caught.value.diagnostics
    return problem


def test_read_drops_the_byte_order_mark_and_keeps_the_name(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: tiny\r\n")
    source = read(file)
    assert (source.name, source.text) == (str(file), "name: tiny\r\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").touch()
    missing = refused(tmp_path / "grahp.yaml")
    assert (missing.rule, missing.help) == ("unreadable-file", "did you mean `graph.yaml`?")
    assert refused(tmp_path).message.endswith("is a directory")
    assert refused(tmp_path / ("x" * 5000)).rule == "unreadable-file"
    assert refused(Path("a\0b")).rule == "unreadable-file"
    at = Span(Source("graph.yaml", "use: x.yaml"), 1, 6, 1, 12)
    assert refused(tmp_path / "x.yaml", at).span is at


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert refused(pipe).message.endswith("is not a regular file")


def test_files_that_are_too_large_or_not_text(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert refused(file).rule == "too-large"
    file.write_bytes("größe: 日本\nb: x".encode() + b"\xff\n")
    problem = refused(file)
    assert (problem.rule, place(problem.span)) == ("not-text", (2, 5))
    file.write_bytes("name: tiny".encode("utf-16"))
    assert "UTF-16" in refused(file).message


# Properties


def parsed_or_refused(text: str) -> None:
    with suppress(GraphError):
        parse(Source("graph.yaml", text))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_graph_error(data: bytes) -> None:
    try:
        source = decode(data, "graph.yaml")
    except GraphError:
        return
    parsed_or_refused(source.text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:- ,[]{}&*!%|>'\"#?<\n\t0.\u00e9\u2028\x85\ufeff\ud800"), max_size=60))
def test_no_soup_of_yaml_signs_raises_anything_but_graph_error(text: str) -> None:
    parsed_or_refused(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_mutation_of_a_good_graph_raises_anything_but_graph_error(data: st.DataObject) -> None:
    text = LLAVA
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.text(max_size=5) | st.sampled_from(SNIPPETS)) + text[end:]
    parsed_or_refused(text)


SNIPPETS = [
    "\n",
    "  ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!x ",
    "---\n",
    "<<: ",
    "|\n",
    "\t",
    "'",
    '"',
    "null",
    "# ",
]
