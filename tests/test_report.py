"""Diagnostics in every format, and the drawing of marks under lines."""

from __future__ import annotations

import json
import re
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphvlm.compose import compose
from graphvlm.diagnostics import Diagnostic, GraphError, Label, Source, Span
from graphvlm.report import FORMATS, render, summary

TEXT = """\
version: 1
nodes:
  projector:
    kind: projector
    type: mlp
    out: 1024
  other: 1
  more: 2
  fused:
    inputs: {text: text, image: projector}
\tt: [日本語, b]
"""
GRAPH = Source("graphs/mine.yaml", TEXT)
PART = Source("<catalog>/decoder/a.yaml", "kind: decoder\ndim: 4096\n")


def span(line: int, column: int, end: int, source: Source = GRAPH) -> Span:
    return Span(source, line, column, line, end)


MISMATCH = Diagnostic(
    "shape-mismatch",
    "`fused.image` takes features 4096 wide, `projector` gives 1024",
    span(10, 33, 42),
    "[images, 576, 1024], needs [images, tokens, 4096]",
    (Label(span(6, 10, 14), "written here"),),
    "remove `out` and let it be inferred, or set it to 4096",
)


def shown(*marks: tuple[Span, str], source: Source = GRAPH) -> str:
    """The excerpt of a diagnostic at the first mark, with the others as labels, without head and foot."""
    (first, note), *others = marks
    diagnostic = Diagnostic("rule", "message", first, note, tuple(Label(*other) for other in others))
    return "\n".join(render([diagnostic]).splitlines()[3:-4]) + "\n"


def test_text_is_laid_out_like_this() -> None:
    assert render([MISMATCH, Diagnostic("dead-node", "nothing uses `other`", severity="warning")]) == dedent(
        """\
        error[shape-mismatch]: `fused.image` takes features 4096 wide, `projector` gives 1024
          --> graphs/mine.yaml:10:33
           |
         6 |     out: 1024
           |          ---- written here
        ...
        10 |     inputs: {text: text, image: projector}
           |                                 ^^^^^^^^^ [images, 576, 1024], needs [images, tokens, 4096]
           |
        help: remove `out` and let it be inferred, or set it to 4096
        see: graphvlm explain shape-mismatch

        warning[dead-node]: nothing uses `other`
        see: graphvlm explain dead-node

        1 error and 1 warning
        """
    )


def test_labels_on_one_line_stand_below_each_other() -> None:
    line = span(10, 14, 18), span(10, 26, 31), span(10, 33, 42)
    assert shown((line[1], "this"), (line[0], "first"), (line[2], "third")) == dedent(
        """\
        10 |     inputs: {text: text, image: projector}
           |              ----        ^^^^^  --------- third
           |              |           |
           |              |           this
           |              first
        """
    )


def test_a_mark_inside_another_is_not_hidden() -> None:
    assert shown((span(10, 33, 42), "inner"), (span(10, 13, 43), "outer")) == dedent(
        """\
        10 |     inputs: {text: text, image: projector}
           |             --------------------^^^^^^^^^-
           |             |                   |
           |             |                   inner
           |             outer
        """
    )


def test_lines_that_are_near_show_what_is_between() -> None:
    assert shown((span(6, 5, 8), "a"), (span(4, 5, 9), "b"), (span(7, 3, 8), "c")) == dedent(
        """\
        4 |     kind: projector
          |     ---- b
        5 |     type: mlp
        6 |     out: 1024
          |     ^^^ a
        7 |   other: 1
          |   ----- c
        """
    )


def test_tabs_and_wide_characters_are_counted_as_they_are_shown() -> None:
    assert shown((span(11, 6, 9), "three"), (span(11, 2, 3), "t")) == dedent(
        """\
        11 |     t: [日本語, b]
           |     -   ^^^^^^ three
           |     |
           |     t
        """
    )
    combined = Source("graph.yaml", "e\u0301a\u200b: 1\n")
    assert shown((span(1, 3, 4, combined), "a"), source=combined).splitlines()[1] == "  |  ^ a"


def test_long_lines_are_trimmed_around_each_mark() -> None:
    line = Source("graph.yaml", f"a: [{'x' * 200}, here, {'y' * 300}]\n")
    rows = shown(
        (span(1, 207, 211, line), "here"), (span(1, 1, 2, line), "key"), (span(1, 500, 501, line), "end")
    ).splitlines()
    assert all(len(row) < 140 for row in rows)
    for text, sign in (("a: [xxx", "- key"), (", here, yyy", "^^^^ here"), ("…yyyy", "- end")):
        above = next(index for index, row in enumerate(rows) if text in row and sign in rows[index + 1])
        if sign == "^^^^ here":
            column = rows[above].index("here")
            assert rows[above + 1][column : column + 4] == "^^^^"


def test_a_span_of_several_lines_is_marked_on_its_first() -> None:
    assert (
        shown((Span(GRAPH, 4, 5, 6, 14), "all of it")) == "4 |     kind: projector\n  |     ^^^^^^^^^^^^^^^ all of it\n"
    )


def test_spans_past_the_end_are_shown_there() -> None:
    assert shown((span(1, 11, 11), "")) == "1 | version: 1\n  |           ^\n"
    assert shown((span(99, 1, 2), "end")) == "99 |\n   | ^ end\n"


def test_labels_in_other_files_name_the_file() -> None:
    text = render([Diagnostic("rule", "message", span(6, 5, 8), "here", (Label(span(2, 1, 4, PART), "there"),))])
    assert text == dedent(
        """\
        error[rule]: message
         --> graphs/mine.yaml:6:5
          |
        6 |     out: 1024
          |     ^^^ here
          |
         ::: <catalog>/decoder/a.yaml:2:1
          |
        2 | dim: 4096
          | --- there
          |
        see: graphvlm explain rule

        1 error
        """
    )


def test_colours_are_only_added() -> None:
    coloured = render([MISMATCH], colour=True)
    assert "\033[1;31merror[shape-mismatch]\033[0m" in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == render([MISMATCH])


def test_nothing_in_a_graph_reaches_the_terminal_as_a_command() -> None:
    nasty = Source("a\033[31m.yaml", "a: \033[2J\u202e\udcff x")
    diagnostic = Diagnostic("rule", "a\033]0;x\a\nb\tc" + "d" * 5000, span(1, 1, 5, nasty), "\033", (), "\u202e")
    for form in FORMATS:
        text = render([diagnostic], form)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", text)
        text.encode("utf-8")
    assert max(map(len, render([diagnostic]).splitlines())) < 1100


def test_concise_is_a_line_each() -> None:
    assert render([MISMATCH, Diagnostic("cycle", "round and round")], "concise") == (
        f"graphs/mine.yaml:10:33: error[shape-mismatch]: {MISMATCH.message}\nerror[cycle]: round and round\n"
    )


def test_json_holds_everything() -> None:
    document = json.loads(render([MISMATCH, Diagnostic("dead-node", "x", severity="warning")], "json"))
    assert (document["errors"], document["warnings"]) == (1, 1)
    first, second = document["diagnostics"]
    place = {"file": "graphs/mine.yaml", "line": 10, "column": 33, "end_line": 10, "end_column": 42}
    assert first["place"] == place
    assert first["labels"][0]["text"] == "written here"
    assert (first["rule"], first["help"], first["note"]) == (MISMATCH.rule, MISMATCH.help, MISMATCH.note)
    assert second["place"] is None


def test_github_annotations() -> None:
    first, second = render([MISMATCH, Diagnostic("r", "50%\nmore", span(2, 1, 4, PART))], "github").splitlines()
    assert first == (
        "::error title=graphvlm (shape-mismatch),file=graphs/mine.yaml,line=10,endLine=10,col=33,endColumn=42::"
        "`fused.image` takes features 4096 wide, `projector` gives 1024%0Agraphs/mine.yaml:6:10: written here%0A"
        "help: remove `out` and let it be inferred, or set it to 4096"
    )
    assert second == "::error title=graphvlm (r)::<catalog>/decoder/a.yaml:2:1: 50%25%0Amore"
    odd = render([Diagnostic("r", "m", span(1, 1, 2, Source("a,b:c.yaml", "x")))], "github")
    assert "file=a%2Cb%3Ac.yaml," in odd


def test_sarif() -> None:
    warning = Diagnostic("dead-node", "x", span(1, 1, 2, Source("/tmp/ä b.yaml", "x")), severity="warning")
    log = json.loads(render([MISMATCH, warning, Diagnostic("yaml-tag", "x", span(2, 1, 4, PART))], "sarif"))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    first, second, third = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [
        "shape-mismatch",
        "dead-node",
        "yaml-tag",
    ]
    assert rules[2]["shortDescription"]["text"]
    location = first["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "graphs/mine.yaml"
    assert location["region"] == {"startLine": 10, "startColumn": 33, "endLine": 10, "endColumn": 42}
    assert first["relatedLocations"][0]["message"]["text"] == "written here"
    assert second["level"] == "warning"
    assert second["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "file:///tmp/%C3%A4%20b.yaml"
    assert "locations" not in third  # the catalog is not a file of the user


@pytest.mark.parametrize(
    ("errors", "warnings", "text"),
    [
        (0, 0, "no problems"),
        (1, 0, "1 error"),
        (2, 0, "2 errors"),
        (0, 1, "1 warning"),
        (2, 3, "2 errors and 3 warnings"),
    ],
)
def test_summary(errors: int, warnings: int, text: str) -> None:
    assert summary([Diagnostic("r", "m")] * errors + [Diagnostic("r", "m", severity="warning")] * warnings) == text


def test_no_diagnostics_are_no_text() -> None:
    assert render([]) == render([], "concise") == render([], "github") == ""


def test_errors_of_a_real_graph() -> None:
    with pytest.raises(GraphError) as caught:
        compose(Source("graph.yaml", "nodes:\n  llm: {use: decoder/vicunna_7b}\n"))
    assert render(caught.value.diagnostics) == dedent(
        """\
        error[unknown-part]: the catalog has no part `decoder/vicunna_7b`
         --> graph.yaml:2:14
          |
        2 |   llm: {use: decoder/vicunna_7b}
          |              ^^^^^^^^^^^^^^^^^^
          |
        help: did you mean `decoder/vicuna_7b`?
        see: graphvlm explain unknown-part

        1 error
        """
    )


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet="ab\t日\u0301\u200b\n\r\x1b", max_size=80),
    st.lists(st.tuples(*[st.integers(1, 90)] * 4), min_size=1, max_size=5),
)
def test_any_spans_in_any_text_can_be_rendered(text: str, places: list[tuple[int, int, int, int]]) -> None:
    source = Source("graph.yaml", text)
    spans = [Span(source, line % 6 + 1, column, line % 6 + 1 + more % 2, end) for line, column, more, end in places]
    labels = tuple(Label(each, "label") for each in spans[1:])
    for form in FORMATS:
        assert render([Diagnostic("rule", "message", spans[0], "note", labels)], form)
