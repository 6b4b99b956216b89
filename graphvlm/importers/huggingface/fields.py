"""Reads the fields of one config object by name and type, and notes everything that is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ...diagnostics import Span, did_you_mean
from ...tree import Tree
from ..findings import LARGEST, Findings, shown
from .tables import ACTIVATIONS, HARMLESS, NEUTRAL, ConfigTable

__all__ = ["LARGEST", "Fields", "shown"]


class Fields:
    """One object of a config file, read against the table of its class.

    Each reader returns a usable value even after a problem, so that one run finds all problems; the caller stops before
    it uses them.
    """

    def __init__(self, tree: Tree, table: ConfigTable, problems: Findings, path: str = "") -> None:
        self.tree = tree
        self.table = table
        self.problems = problems
        self._path = path

    def name(self, key: str) -> str:
        """The field as a message names it, with the object that it stands in."""
        return shown(f"{self._path}{self.table.name(key)}")

    def knows(self, key: str) -> bool:
        """Whether the class has such a field."""
        return self.table.name(key) in self.table.understood

    def get(self, key: str) -> Tree | None:
        """What the file says of the field, whatever it is."""
        return self.tree.get(self.table.name(key))

    def has(self, key: str) -> bool:
        """Whether the file gives the field a value other than null."""
        tree = self.get(key)
        return tree is not None and tree.value is not None

    def span(self, key: str) -> Span:
        """Where the value of the field stands; the whole object where it is absent."""
        tree = self.get(key)
        return tree.span if tree is not None else self.tree.span

    def integer(self, key: str, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value = self._value(key)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST:
            return value
        self._wrong(key, f"a whole number of at least {least}", value)
        return max(least, 1)

    def integer_or_none(self, key: str) -> int | None:
        """A positive whole number, or null where the class takes it."""
        return None if self._is_null(key) else self.integer(key)

    def number_or_none(self, key: str) -> float | None:
        """A positive finite number, or null where the class takes it."""
        return None if self._is_null(key) else self.number(key)

    def number(self, key: str) -> float:
        """A positive finite number."""
        value = self._value(key)
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and 0 < value < math.inf
            and value <= LARGEST
        ):
            return float(value)
        self._wrong(key, "a positive number", value)
        return 1.0

    def numbers(self, key: str) -> list[float]:
        """A list of positive numbers."""
        value = self._value(key)
        if isinstance(value, list) and all(type(item) in (int, float) and 0 < item <= LARGEST for item in value):
            return [float(item) for item in value]
        self._wrong(key, "a list of positive numbers", value)
        return []

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers from 0; empty where it is null and the class takes that."""
        value = self._value(key)
        if value is None and self._is_null(key):
            return []
        if isinstance(value, list) and all(type(item) is int and 0 <= item <= LARGEST for item in value):
            return value
        self._wrong(key, "a list of whole numbers", value)
        return []

    def boolean(self, key: str) -> bool:
        """True or false; null is false where the class takes it."""
        value = self._value(key)
        if isinstance(value, bool):
            return value
        if value is None and self._is_null(key):
            return False
        self._wrong(key, "true or false", value)
        return False

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of a few words."""
        value = self._value(key)
        if isinstance(value, str) and value in choices:
            return value
        self._wrong(key, "one of " + ", ".join(f"`{choice}`" for choice in choices), value)
        return choices[0]

    def activation(self, key: str) -> str:
        """An activation, by the name that the language has for it."""
        value = self._value(key)
        if not isinstance(value, str):
            self._wrong(key, "the name of an activation", value)
        elif value not in ACTIVATIONS:
            self.unsupported(
                key,
                f"the activation `{shown(value)}` of `{self.name(key)}` is not in the language",
                did_you_mean(value[:60], ACTIVATIONS)
                or f"the language has {', '.join(sorted(set(ACTIVATIONS.values())))}",
            )
        else:
            return ACTIVATIONS[value]
        return "gelu"

    def unsupported(self, key: str, message: str, help: str) -> None:
        """Note a value that the language cannot say."""
        self.problems.error("unsupported-config", message, self.span(key), help=help)

    def check_names(self, also: Iterable[str] = ()) -> None:
        """Note every field that is in none of the tables, and every neutral field that is not neutral."""
        neutral = {**NEUTRAL, **self.table.neutral}
        known = {*self.table.understood, *self.table.harmless, *also}
        for key, tree in self.tree.items():
            value = tree.plain()
            if key in known or value is None:
                continue
            if key in neutral:
                if value != neutral[key]:
                    self._not_neutral(key, value, neutral[key])
            elif key not in HARMLESS:
                self._unknown(key, known)

    def _not_neutral(self, key: str, value: object, neutral: object) -> None:
        self.unsupported(
            key,
            f"`{self.name(key)}` is {shown(value)}: that is another model than the one imported here",
            _NEUTRAL_HELP.get(key, f"only {shown(neutral)} (or leaving it out) can be imported"),
        )

    def _unknown(self, key: str, known: Iterable[str]) -> None:
        self.problems.error(
            "unknown-config-field",
            f"`{shown(self._path + key)}` is not a field of a `{self.table.model_type}` config that graphvlm knows",
            self.tree.key_span(key),
            help=did_you_mean(key[:60], known)
            or "remove the field if the model does not depend on it; transformers keeps such fields in silence",
        )

    def _value(self, key: str) -> Any:
        tree = self.get(key)
        return self.table.understood.get(self.table.name(key)) if tree is None else tree.plain()

    def _is_null(self, key: str) -> bool:
        return self._value(key) is None and self.table.name(key) in self.table.nullable

    def _wrong(self, key: str, expected: str, value: object) -> None:
        self.problems.error(
            "invalid-config",
            f"`{self.name(key)}` must be {expected}, not {shown(value)}",
            self.span(key),
            help=f"write {expected}",
        )


_NEUTRAL_HELP = {
    "quantization_config": "import the config of the model that was quantised: quantised weights are not read",
    "auto_map": "the repository brings its own code; remove `auto_map` if the weights are those of the ordinary class",
    "layer_types": "transformers reads such a file as a `ministral`; remove the field if all layers are alike",
}
