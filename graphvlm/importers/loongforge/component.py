"""One component of a LoongForge model: its fields, completed by what others say, with a note of who said what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...tree import Tree, mapping
from ..findings import Findings
from ..section import Section
from .unsaid import Unsaid

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of LoongForge: its name, and the fields that are understood with their defaults."""

    name: str
    defaults: Mapping[str, Any]


class Component(Section):
    """A section that remembers which of its values are not the file's own. `stem` is the name of its class."""

    def __init__(self, tree: Tree, path: str, kind: Kind, problems: Findings, unsaid: Iterable[Unsaid]) -> None:
        self.stem = kind.name
        self.origins: dict[str, str] = {}
        super().__init__(self._completed(tree, kind.defaults, unsaid), path, kind.defaults, problems)

    def _completed(self, tree: Tree, defaults: Mapping[str, Any], unsaid: Iterable[Unsaid]) -> Tree:
        entries = dict(tree.items())
        own = Unsaid(
            (), f"the default of {self.stem}", {key: value for key, value in defaults.items() if value is not None}
        )
        *others, last = unsaid
        for source in (*others, own, last):
            for key, value in source.values.items():
                if key in defaults and (key not in entries or entries[key].value is None):
                    entries[key] = _tree(value, tree)
                    self.origins[key] = source.origin
        return mapping(entries, tree.span, {key: tree.key_span(key) for key, _ in tree.items()})

    def notes(self, about: Mapping[Path, tuple[str, ...]], node: str, settings: Mapping[str, Any]) -> dict[Path, str]:
        """Comments for those settings of a node that stand for a field which the file does not have."""
        found = {}
        for path, keys in about.items():
            said = [key for key in keys if key in self.origins]
            if said and len(said) == len([key for key in keys if self.has(key)]) and _holds(settings, path):
                found[("nodes", node, *path)] = f"{path[-1]}: not in the source file; from {self.origins[said[0]]}"
        return found


def _tree(value: Any, beside: Tree) -> Tree:
    if isinstance(value, tuple):
        return Tree(tuple(Tree(each, beside.span) for each in value), beside.span)
    return Tree(value, beside.span)


def _holds(settings: Mapping[str, Any], path: Path) -> bool:
    here: Any = settings
    for part in path:
        if not isinstance(here, Mapping) or part not in here:
            return False
        here = here[part]
    return True
