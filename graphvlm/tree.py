"""YAML values with their places: what every stage before the typed graph works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from .diagnostics import Span

Scalar: TypeAlias = str | int | float | bool | None

NO_KEYS: MappingProxyType[str, Span] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tree:
    """One YAML value and its span.

    `value` is a scalar, a tuple of trees, or a read-only mapping from key to tree. `keys` holds, for a mapping, the
    span of each key.
    """

    value: Scalar | tuple[Tree, ...] | MappingProxyType[str, Tree]
    span: Span
    keys: MappingProxyType[str, Span] = field(default_factory=lambda: NO_KEYS)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, MappingProxyType)

    @property
    def is_sequence(self) -> bool:
        return isinstance(self.value, tuple)

    def get(self, *path: str | int) -> Tree | None:
        """The tree at `path` (keys and indices), or None where there is none."""
        here: Tree = self
        for step in path:
            value = here.value
            if isinstance(value, MappingProxyType):
                found = value.get(step) if isinstance(step, str) else None
            elif isinstance(value, tuple) and isinstance(step, int) and 0 <= step < len(value):
                found = value[step]
            else:
                found = None
            if found is None:
                return None
            here = found
        return here

    def items(self) -> Iterator[tuple[str, Tree]]:
        """The entries of a mapping in the order written; nothing for any other value."""
        if isinstance(self.value, MappingProxyType):
            yield from self.value.items()

    def elements(self) -> tuple[Tree, ...]:
        """The elements of a sequence; empty for any other value."""
        return self.value if isinstance(self.value, tuple) else ()

    def key_span(self, key: str) -> Span:
        """Where `key` was written; the span of the mapping itself if it was not."""
        return self.keys.get(key, self.span)

    def plain(self) -> Any:
        """The value without places: dicts, lists and scalars."""
        if isinstance(self.value, MappingProxyType):
            return {key: tree.plain() for key, tree in self.value.items()}
        if isinstance(self.value, tuple):
            return [tree.plain() for tree in self.value]
        return self.value


def mapping(entries: dict[str, Tree], span: Span, keys: dict[str, Span]) -> Tree:
    """A mapping tree; the dicts are not to be changed afterwards."""
    return Tree(MappingProxyType(entries), span, MappingProxyType(keys))
