"""Sizes that are numbers, names or sums, and the solver that makes the two ends of every edge agree.

A size is an int, a `Var` (something to be found, or a name such as `batch` that stays open) or a `Sum` of those. The
solver is a union-find over variables: linear in the number of edges, no algebra library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .diagnostics import Span


@dataclass(frozen=True, slots=True)
class Var:
    """An open size. `key` makes it unique in the graph; `name` is what people call it.

    A hole is a setting that was left out and must come from elsewhere; an open size that is no hole may stay symbolic.
    """

    key: str
    name: str
    hole: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """`a + b + ...`: tokens that stand one behind the other."""

    terms: tuple[int | Var, ...]


Dim: TypeAlias = int | Var | Sum


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a size was written, for the label at the other end of a conflict."""

    span: Span
    text: str = "written here"


class Mismatch(Exception):
    """Two sizes that cannot be equal; holds both, solved, and where each was written."""

    def __init__(self, left: Dim, right: Dim, left_origin: Origin | None, right_origin: Origin | None) -> None:
        self.left, self.right = left, right
        self.left_origin, self.right_origin = left_origin, right_origin
        super().__init__(f"{show(left)} is not {show(right)}")


class Solver:
    """Union-find over `Var`s, each class with at most one value and the place that value came from."""

    def __init__(self) -> None:
        self._parent: dict[Var, Var] = {}
        self._value: dict[Var, int | Sum] = {}
        self._origin: dict[Var, Origin] = {}

    def bind(self, var: Var, value: int, origin: Origin) -> None:
        """Give an open variable the number that was written for it."""
        root = self._root(var)
        self._value[root] = value
        self._origin[root] = origin

    def solve(self, dim: Dim) -> Dim:
        """The size with everything known put in."""
        if isinstance(dim, Var):
            root = self._root(dim)
            value = self._value.get(root)
            return root if value is None else self.solve(value)
        if isinstance(dim, Sum):
            return _add(self.solve(term) for term in dim.terms)
        return dim

    def origin(self, dim: Dim) -> Origin | None:
        """Where the value of a variable was written, if it was."""
        return self._origin.get(self._root(dim)) if isinstance(dim, Var) else None

    def unify(self, left: Dim, right: Dim) -> None:
        """Make both equal, or raise `Mismatch`."""
        a, b = self.solve(left), self.solve(right)
        if a == b:
            if isinstance(left, Var) and isinstance(right, Var):
                self._join(left, right)
            return
        if isinstance(a, Var) and not _inside(a, b):
            self._set(a, b, self.origin(right))
        elif isinstance(b, Var) and not _inside(b, a):
            self._set(b, a, self.origin(left))
        else:
            raise Mismatch(a, b, self.origin(left), self.origin(right))

    def _set(self, var: Var, value: Dim, origin: Origin | None) -> None:
        root = self._root(var)
        if isinstance(value, Var):
            self._join(root, value)
            return
        self._value[root] = value
        if origin is not None:
            self._origin.setdefault(root, origin)

    def _join(self, left: Var, right: Var) -> None:
        a, b = self._root(left), self._root(right)
        if a == b:
            return
        # The name that people see is the earlier one in _NAMES; a hole gives way to a name.
        keep, drop = (a, b) if _rank(a) <= _rank(b) else (b, a)
        self._parent[drop] = keep
        if drop in self._value:
            self._value.setdefault(keep, self._value[drop])
        if drop in self._origin:
            self._origin.setdefault(keep, self._origin[drop])

    def _root(self, var: Var) -> Var:
        root = var
        while root in self._parent:
            root = self._parent[root]
        while var != root:
            self._parent[var], var = root, self._parent[var]
        return root


_NAMES = ("batch", "seq", "images", "height", "width", "tokens")


def _rank(var: Var) -> tuple[bool, int, str]:
    return var.hole, _NAMES.index(var.name) if var.name in _NAMES else len(_NAMES), var.key


def _inside(var: Var, dim: Dim) -> bool:
    return isinstance(dim, Sum) and var in dim.terms


def _add(terms: Iterable[Dim]) -> Dim:
    number = 0
    rest: list[Var] = []
    for term in terms:
        for part in term.terms if isinstance(term, Sum) else (term,):
            if isinstance(part, int):
                number += part
            else:
                rest.append(part)
    if not rest:
        return number
    if not number and len(rest) == 1:
        return rest[0]
    return Sum((*((number,) if number else ()), *rest))


def show(dim: Dim) -> str:
    """As in shape comments: `576`, `seq`, `576 + seq`."""
    if isinstance(dim, Var):
        return dim.name
    if isinstance(dim, Sum):
        return " + ".join(show(term) for term in dim.terms)
    return str(dim)


def show_shape(shape: tuple[Dim, ...]) -> str:
    """As in shape comments: `[batch, seq, 4096]`."""
    return f"[{', '.join(map(show, shape))}]"
