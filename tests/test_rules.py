"""The error index: every rule has a page, and the examples of every page are what they say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import graphvlm
from graphvlm.diagnostics import GraphError
from graphvlm.rules import RULES, Rule, explain, parse_page

ROOT = Path(__file__).parents[1]
TINY = ROOT / "graphs" / "tiny.yaml"
MARKER = re.compile(r" *# error: ([a-z0-9-]+)$")
# A rule is named where a diagnostic is made: the first argument of one of these calls, or a keyword.
CALLS = re.compile(r'(?:\bDiagnostic|\.error|\.clash|_report|_refuse)\(\s*"([a-z0-9-]+)",|\brule="([a-z0-9-]+)"')

WRITTEN = [rule for rule in RULES.values() if rule.language != "text"]


def used() -> dict[str, str]:
    """The rules that the sources name, and the file that does."""
    files = sorted((ROOT / "graphvlm").rglob("*.py"))
    return {
        found[1] or found[2]: str(file.relative_to(ROOT))
        for file in files
        for found in CALLS.finditer(file.read_text("utf-8"))
    }


def load(folder: Path, rule: Rule, example: str) -> None:
    """Load an example: a whole graph, an overlay on the tiny graph, or settings of it."""
    shutil.copy(TINY, folder / "tiny.yaml")
    if rule.language == "overrides":
        graphvlm.load(folder / "tiny.yaml", overrides=example.splitlines())
        return
    file = folder / "example.yaml"
    file.write_text(example + "\n", "utf-8")
    keys = [line for line in example.splitlines() if line.strip() and not line.startswith("#")]
    if keys and keys[0].startswith("version:"):
        graphvlm.load(file)
    else:
        graphvlm.load(folder / "tiny.yaml", file)


def found_in(folder: Path, rule: Rule, example: str) -> list[tuple[str, int]]:
    """The rules that an example breaks, with the lines."""
    with pytest.raises(GraphError) as caught:
        load(folder, rule, example)
    return [(each.rule, each.span.line if each.span else 0) for each in caught.value.diagnostics]


def marked(lines: Sequence[str]) -> list[tuple[str, int]]:
    """The rules that the comments of an example announce, with the lines."""
    return [(found[1], number) for number, line in enumerate(lines, 1) if (found := MARKER.search(line))]


@pytest.mark.parametrize("name", sorted(used()))
def test_every_rule_has_a_page(name: str) -> None:
    assert name in RULES, f"{used()[name]} reports {name}, which has no page"


def test_every_page_is_of_a_rule_that_is_reported() -> None:
    sources = "\n".join(file.read_text("utf-8") for file in (ROOT / "graphvlm").rglob("*.py"))
    assert [name for name in RULES if f'"{name}"' not in sources] == []


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_pages_are_short_and_plain(rule: Rule) -> None:
    assert len(rule.summary) < 90
    assert not rule.summary.endswith(".")
    assert rule.explanation.endswith((".", "`", ":"))
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert (rule.name, 1) in [(name, 1) for name, _ in marked(rule.wrong.splitlines())]
    assert marked(rule.right.splitlines()) == []


@pytest.mark.parametrize("rule", [rule for rule in WRITTEN if rule.language == "yaml"], ids=lambda rule: rule.name)
def test_wrong_examples_break_exactly_their_rule(rule: Rule, tmp_path: Path) -> None:
    assert found_in(tmp_path, rule, rule.wrong) == marked(rule.wrong.splitlines())
    assert {name for name, _ in marked(rule.wrong.splitlines())} == {rule.name}


@pytest.mark.parametrize("rule", [rule for rule in WRITTEN if rule.language == "overrides"], ids=lambda rule: rule.name)
def test_wrong_settings_break_exactly_their_rule(rule: Rule, tmp_path: Path) -> None:
    for line in rule.wrong.splitlines():
        assert found_in(tmp_path, rule, MARKER.sub("", line)) == [(rule.name, 1)], line


@pytest.mark.parametrize("rule", WRITTEN, ids=lambda rule: rule.name)
def test_right_examples_pass(rule: Rule, tmp_path: Path) -> None:
    load(tmp_path, rule, rule.right)


def test_a_page_is_parsed_and_explained() -> None:
    rule = parse_page(
        "a-rule", "# Short\n\nLonger.\n\nMore.\n\n## Wrong\n\n```yaml\na: 1\n```\n\n## Right\n\n```yaml\na: 2\n```\n"
    )
    assert rule == Rule("a-rule", "Short", "Longer.\n\nMore.", "a: 1", "a: 2", "yaml")
    with pytest.raises(ValueError, match="a-rule"):
        parse_page("a-rule", "# Short\n")
    page = explain("duplicate-key")
    assert page.startswith("duplicate-key: A key is written twice in one mapping\n\n")
    assert "Wrong:\n\n    nodes:\n      projector:\n" in page
    with pytest.raises(KeyError, match="did you mean `duplicate-key`"):
        explain("duplicated-key")
    assert "no-such-rule" not in RULES
