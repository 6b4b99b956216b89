"""One mapping of a foreign description, read by name and type against the values that its class takes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..diagnostics import Span, did_you_mean
from ..tree import Tree
from .findings import LARGEST, Findings, shown


class Section:
    """The fields of one mapping.

    `defaults` holds every field that is understood, with the value that is taken when it is absent. Each reader returns
    a usable value even after a problem, so that one run finds all problems; the caller stops before it uses them.
    """

    def __init__(self, tree: Tree, path: str, defaults: Mapping[str, Any], problems: Findings) -> None:
        self.tree = tree
        self.problems = problems
        self.defaults = defaults
        self._path = path

    def name(self, key: str) -> str:
        """The field as a message names it, with the section that it stands in."""
        return shown(f"{self._path}{key}")

    def has(self, key: str) -> bool:
        """Whether the file gives the field a value other than null."""
        tree = self.tree.get(key)
        return tree is not None and tree.value is not None

    def span(self, key: str) -> Span:
        """Where the value of the field stands; the whole section where it is absent."""
        tree = self.tree.get(key)
        return tree.span if tree is not None else self.tree.span

    def value(self, key: str) -> Any:
        """What the file says, else what the class takes."""
        tree = self.tree.get(key)
        return self.defaults.get(key) if tree is None or tree.value is None else tree.plain()

    def integer(self, key: str, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value = self.value(key)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST:
            return value
        self.wrong(key, f"a whole number of at least {least}")
        return max(least, 1)

    def integer_or_none(self, key: str) -> int | None:
        """A positive whole number, or none where neither the file nor the class has one."""
        return None if self.value(key) is None else self.integer(key)

    def number(self, key: str) -> float:
        """A positive finite number."""
        value = self.value(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        self.wrong(key, "a positive number")
        return 1.0

    def boolean(self, key: str) -> bool:
        """True or false."""
        value = self.value(key)
        if isinstance(value, bool):
            return value
        self.wrong(key, "true or false")
        return False

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of a few words."""
        value = self.value(key)
        if isinstance(value, str) and value in choices:
            return value
        self.wrong(key, "one of " + ", ".join(f"`{choice}`" for choice in choices))
        return choices[0]

    def text(self, key: str) -> str:
        """A text."""
        value = self.value(key)
        if isinstance(value, str):
            return value
        self.wrong(key, "text")
        return ""

    def listed(self, key: str) -> list[Any]:
        """A list of anything."""
        value = self.value(key)
        if isinstance(value, (list, tuple)):
            return list(value)
        self.wrong(key, "a list")
        return []

    def unsupported(self, key: str, message: str, help: str) -> None:
        """Note a value that the language cannot say."""
        self.problems.error("unsupported-config", message, self.span(key), help=help)

    def neutral(self, values: Mapping[str, Collection[Any]]) -> None:
        """Note every field that would change the model at any other than these values, and does."""
        for key, good in values.items():
            if self.has(key) and self.value(key) not in good:
                self.unsupported(
                    key,
                    f"`{self.name(key)}` is {shown(self.value(key))}: that is another model than can be imported",
                    "only " + " or ".join(shown(value) for value in good) + " (or leaving it out) can be imported",
                )

    def check_names(self, also: Collection[str], of: str) -> None:
        """Note every field that is neither understood nor in `also`; `of` says what it would be a field of."""
        known = {*self.defaults, *also}
        for key, _ in self.tree.items():
            if key not in known:
                self.problems.error(
                    "unknown-config-field",
                    f"`{self.name(key)}` is not a field of {of} that graphvlm knows",
                    self.tree.key_span(key),
                    help=did_you_mean(key[:60], known) or "remove the field if the model does not depend on it",
                )

    def wrong(self, key: str, expected: str) -> None:
        """Note that a value is not what it must be; a missing one is named as missing."""
        if self.value(key) is None:
            message = f"`{self.name(key)}` is missing: it must be {expected}"
        else:
            message = f"`{self.name(key)}` must be {expected}, not {shown(self.value(key))}"
        self.problems.error("invalid-config", message, self.span(key), help=f"write {expected}")
