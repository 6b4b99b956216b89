"""A reader over the tree of one node: values with defaults, and the place of each for messages."""

from __future__ import annotations

from typing import Any

from .diagnostics import Label, Span
from .tree import Tree


class Settings:
    """The schema-valid mapping of one node (or of one block in it)."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def get(self, *path: str, default: Any = None) -> Any:
        """The plain value at `path`; `default` where it was left out or is null."""
        found = self.tree.get(*path)
        value = None if found is None else found.plain()
        return default if value is None else value

    def has(self, *path: str) -> bool:
        """Whether a value other than null stands at `path`."""
        return self.get(*path) is not None

    def span(self, *path: str) -> Span:
        """Where the value at `path` was written; else where the nearest mapping around it was."""
        here = self.tree
        for step in path:
            found = here.get(step)
            if found is None:
                break
            here = found
        return here.span

    def labels(self, *path: str, text: str) -> tuple[Label, ...]:
        """A label at the value of `path`; nothing where it was left out."""
        return (Label(self.span(*path), text),) if self.tree.get(*path) is not None else ()

    def child(self, *path: str) -> Settings:
        """A reader over the mapping at `path`; over nothing, at the same place, where there is none."""
        found = self.tree.get(*path)
        return Settings(found if found is not None else Tree(None, self.span(*path)))
