"""Sizes that are numbers, names or sums, and the solver that makes the two ends of every edge agree.

A size is an int, a `Var` (something to be found, or a name such as `batch` that stays open) or a `Sum` of those. The
solver is a union-find over variables: linear in the number of edges, no algebra library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias, TypeGuard

from .diagnostics import Span


@dataclass(frozen=True, slots=True)
class Var:
    """An open size. `key` makes it unique in the graph; `name` is what people call it.

    A hole is a setting that was left out and must come from elsewhere; an open size that is no hole may stay symbolic.
    One that is `free` is for the caller to choose, and never becomes a number: the length of a prompt.
    """

    key: str
    name: str
    hole: bool = False
    free: bool = False


@dataclass(frozen=True, slots=True)
class Many:
    """`count * var`, in a sum."""

    count: int
    var: Var


@dataclass(frozen=True, slots=True)
class Sum:
    """`a + b + ...`: tokens that stand one behind the other."""

    terms: tuple[int | Var | Many, ...]


Dim: TypeAlias = int | Var | Sum

NO_EDITS: Mapping[int, str] = MappingProxyType({})
# Open terms of a sum; no model comes near it.
MAX_TERMS = 100
_LARGE = 10**15


@dataclass(frozen=True, slots=True)
class Written:
    """A size that is known before anything is inferred: where it comes from, and what can be done about it there.

    `owner` is the node or input it belongs to. `setting` is what may be left out, for then the size is inferred; empty
    where it has to stand. `edits` are other values that a change at this place would give.
    """

    value: int
    span: Span
    owner: str
    setting: str = ""
    text: str = "written here"
    edits: Mapping[int, str] = field(default_factory=lambda: NO_EDITS)


class Mismatch(Exception):
    """Two sizes that cannot be equal; holds both, solved, and where each was written."""

    def __init__(self, left: Dim, right: Dim, left_origin: Written | None, right_origin: Written | None) -> None:
        self.left, self.right = left, right
        self.left_origin, self.right_origin = left_origin, right_origin
        super().__init__(f"{show(left)} is not {show(right)}")


class TooManyTerms(Exception):
    """A sum of more than `MAX_TERMS` open sizes: an absurd graph, which would take for ever."""


class Solver:
    """Union-find over `Var`s, each class with at most one value and the place that value came from."""

    def __init__(self) -> None:
        self._parent: dict[Var, Var] = {}
        self._value: dict[Var, int | Sum] = {}
        self._origin: dict[Var, Written] = {}

    def bind(self, var: Var, written: Written) -> None:
        """Give an open variable the number that was written for it."""
        root = self._root(var)
        self._value[root] = written.value
        self._origin[root] = written

    def solve(self, dim: Dim) -> Dim:
        """The size with everything known put in."""
        if isinstance(dim, int):
            return dim
        number, counts = 0, dict[Var, int]()
        waiting: list[tuple[int | Var | Many | Sum, int]] = [(dim, 1)]
        while waiting:
            part, times = waiting.pop()
            if isinstance(part, int):
                number += part * times
            elif isinstance(part, Sum):
                waiting.extend((term, times) for term in reversed(part.terms))
            elif isinstance(part, Many):
                waiting.append((part.var, part.count * times))
            else:
                root = self._root(part)
                if root in self._value:
                    waiting.append((self._value[root], times))
                else:
                    counts[root] = counts.get(root, 0) + times
                    if len(counts) > MAX_TERMS:
                        raise TooManyTerms
        return _sum(number, counts)

    def origin(self, dim: Dim) -> Written | None:
        """Where the value of a variable was written, if it was."""
        return self._origin.get(self._root(dim)) if isinstance(dim, Var) else None

    def unify(self, left: Dim, right: Dim) -> None:
        """Make both equal, or raise `Mismatch`."""
        a, b = self.solve(left), self.solve(right)
        if a == b or (isinstance(a, Sum) and isinstance(b, Sum) and set(a.terms) == set(b.terms)):
            if isinstance(left, Var) and isinstance(right, Var):
                self._join(left, right)
        elif (pair := _same_multiple(a, b)) is not None:
            self._join(*pair)
        elif _may_be(a, b):
            self._set(a, b, self.origin(right))
        elif _may_be(b, a):
            self._set(b, a, self.origin(left))
        elif (found := _factor(a, b)) is not None:
            self._set(*found, self.origin(left) or self.origin(right))
        else:
            raise Mismatch(a, b, self.origin(left), self.origin(right))

    def _set(self, var: Var, value: Dim, origin: Written | None) -> None:
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
        # The name that people see is the earlier one in _NAMES; a hole gives way to a name. What is free stays so.
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


_NAMES = ("batch", "seq", "clips", "tiles", "all_frames", "videos", "images", "height", "width", "tokens")


def _rank(var: Var) -> tuple[bool, bool, int, str]:
    return not var.free, var.hole, _NAMES.index(var.name) if var.name in _NAMES else len(_NAMES), var.key


def _same_multiple(left: Dim, right: Dim) -> tuple[Var, Var] | None:
    """The open sizes of two sums that are the same multiple of one each: 4 * a and 4 * b."""
    if not isinstance(left, Sum) or not isinstance(right, Sum) or len(left.terms) != 1 or len(right.terms) != 1:
        return None
    a, b = left.terms[0], right.terms[0]
    if isinstance(a, Many) and isinstance(b, Many) and a.count == b.count:
        return a.var, b.var
    return None


def _may_be(var: Dim, value: Dim) -> TypeGuard[Var]:
    """Whether `var` is open, and `value` something that it can become; both are solved."""
    if not isinstance(var, Var) or isinstance(value, Var):
        return isinstance(var, Var)
    inside = value.terms if isinstance(value, Sum) else ()
    return not var.free and not any(var == (term.var if isinstance(term, Many) else term) for term in inside)


def _factor(a: Dim, b: Dim) -> tuple[Var, int] | None:
    """What makes a number and a sum with one open size equal: 4096 and 4 * dim."""
    number, whole = (a, b) if isinstance(a, int) else (b, a)
    if not isinstance(number, int) or not isinstance(whole, Sum):
        return None
    rest = number - sum(term for term in whole.terms if isinstance(term, int))
    terms = [Many(1, term) if isinstance(term, Var) else term for term in whole.terms if not isinstance(term, int)]
    if len(terms) != 1 or terms[0].var.free or rest <= 0 or rest % terms[0].count:
        return None
    return terms[0].var, rest // terms[0].count


def _sum(number: int, counts: Mapping[Var, int]) -> Dim:
    if not counts:
        return number
    rest = tuple(var if count == 1 else Many(count, var) for var, count in counts.items())
    if not number and len(rest) == 1 and isinstance(rest[0], Var):
        return rest[0]
    return Sum((*((number,) if number else ()), *rest))


def show(dim: Dim | Many) -> str:
    """As in shape comments: `576`, `seq`, `576 + seq`."""
    if isinstance(dim, Var):
        return dim.name
    if isinstance(dim, Sum):
        return " + ".join(show(term) for term in dim.terms)
    if isinstance(dim, Many):
        return f"{show(dim.count)} * {dim.var.name}"
    return str(dim) if dim < _LARGE else "more than 10**15"


def show_shape(shape: Iterable[Dim]) -> str:
    """As in shape comments: `[batch, seq, 4096]`."""
    return f"[{', '.join(map(show, shape))}]"
