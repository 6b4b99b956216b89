"""The diagnostics that graphvlm knows: one page a rule, `NAME.md` beside this file.

A page is a summary line, an explanation, and a wrong and a right example. An example is a whole graph when it starts
with `version`, else an overlay on `graphs/tiny.yaml`; `overrides` examples are settings of the command line, and `text`
ones cannot be written down. The offending line of the wrong one carries `# error: NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from ..diagnostics import did_you_mean

_PAGE = re.compile(
    r"# (?P<summary>[^\n]+)\n+(?P<explanation>.+?)\n+"
    r"## Wrong\n+```(?P<language>yaml|overrides|text)\n(?P<wrong>.+?)\n```\n+"
    r"## Right\n+```(?:yaml|overrides|text)\n(?P<right>.+?)\n```\n*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One diagnostic: what it says in general, and an example of it. `language` is what the examples are written in."""

    name: str
    summary: str
    explanation: str
    wrong: str
    right: str
    language: str


class _Rules(Mapping[str, Rule]):
    """The pages by name; the folder is listed and a page read when somebody asks."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._pages: dict[str, Rule] = {}

    def __iter__(self) -> Iterator[str]:
        if not self._names:
            pages = (entry.name for entry in files(__name__).iterdir() if entry.name.endswith(".md"))
            self._names = tuple(sorted(page.removesuffix(".md") for page in pages))
        return iter(self._names)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, name: str) -> Rule:
        if name not in tuple(self):
            raise KeyError(name)
        if name not in self._pages:
            self._pages[name] = parse_page(name, files(__name__).joinpath(f"{name}.md").read_text("utf-8"))
        return self._pages[name]


def parse_page(name: str, text: str) -> Rule:
    """The rule that a page describes. Raises ValueError if the page is not laid out as it should be."""
    found = _PAGE.fullmatch(text)
    if found is None:
        raise ValueError(f"the page of the rule {name} is not: # summary, explanation, ## Wrong, ## Right")
    return Rule(name=name, **{key: value.strip("\n") for key, value in found.groupdict().items()})


def explain(name: str) -> str:
    """The page of a rule as plain text. Raises KeyError, with a suggestion, where there is no such rule."""
    if name not in RULES:
        raise KeyError(f"there is no rule `{name}`; {did_you_mean(name, RULES) or '`graphvlm explain` lists them'}")
    rule = RULES[name]
    return (
        f"{name}: {rule.summary}\n\n{rule.explanation}\n\n"
        f"Wrong:\n\n{_indented(rule.wrong)}\n\nRight:\n\n{_indented(rule.right)}\n"
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


RULES: Final[Mapping[str, Rule]] = _Rules()
