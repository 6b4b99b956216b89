"""Sizes: what the solver finds, what it refuses, and that no graph makes it slow."""

from __future__ import annotations

import pytest

from graphvlm.diagnostics import Source, Span
from graphvlm.dims import MAX_TERMS, Dim, Many, Mismatch, Solver, Sum, TooManyTerms, Var, Written, show, show_shape

A, B, C = (Var(name, name) for name in "abc")
SEQ = Var("ids.seq", "seq", free=True)
BATCH, TOKENS = Var("x.batch", "batch"), Var("x.tokens", "tokens")
HERE, THERE = (Span(Source("graph.yaml", ""), line, 1, line, 2) for line in (1, 2))


def solver(*equal: tuple[Dim, Dim], **values: int) -> Solver:
    made = Solver()
    for name, value in values.items():
        made.bind(Var(name, name), Written(value, HERE, name))
    for left, right in equal:
        made.unify(left, right)
    return made


def test_values_go_both_ways_along_a_chain() -> None:
    assert [solver((A, B), (B, C), a=4).solve(var) for var in (A, B, C)] == [4, 4, 4]
    assert [solver((A, B), (B, C), c=4).solve(var) for var in (A, B, C)] == [4, 4, 4]


def test_a_value_comes_from_where_it_was_written() -> None:
    found = solver((A, B), (C, B), a=4).origin(C)
    assert found is not None
    assert (found.owner, found.span) == ("a", HERE)
    assert solver((A, B)).origin(A) is None


def test_two_values_do_not_meet() -> None:
    with pytest.raises(Mismatch) as caught:
        solver((A, B), (B, C), a=4, c=5)
    conflict = caught.value
    assert {conflict.left, conflict.right} == {4, 5}
    assert {origin.owner for origin in (conflict.left_origin, conflict.right_origin) if origin} == {"a", "c"}


def test_equal_values_meet() -> None:
    assert solver((A, B), a=4, b=4).solve(B) == 4


def test_the_name_that_people_say_stays() -> None:
    assert show(solver((TOKENS, SEQ)).solve(TOKENS)) == "seq"
    assert show(solver((A, BATCH)).solve(A)) == "batch"
    assert show(solver((Var("n.dim", "dim", hole=True), TOKENS)).solve(TOKENS)) == "tokens"


def test_what_is_free_is_no_number_and_no_sum() -> None:
    for value in (4, Sum((TOKENS, A))):
        with pytest.raises(Mismatch):
            solver((SEQ, value))
        with pytest.raises(Mismatch):
            solver((SEQ, B), (B, value))


def test_sums() -> None:
    both = Sum((A, B))
    assert solver(a=3, b=4).solve(both) == 7
    assert show(solver(a=3).solve(both)) == "3 + b"
    assert show(solver((C, both), a=3).solve(Sum((C, SEQ)))) == "3 + b + seq"
    assert solver((Sum((A, B)), Sum((B, A)))).solve(A) == A
    with pytest.raises(Mismatch):
        solver((A, both))
    with pytest.raises(Mismatch):
        solver((C, both), (both, 9))


def test_a_sum_of_the_same_twice() -> None:
    found = solver().solve(Sum((A, 2, A)))
    assert found == Sum((2, Many(2, A)))
    assert show(found) == "2 + 2 * a"
    assert solver(a=5).solve(found) == 12


def test_doubling_does_not_explode() -> None:
    made = Solver()
    size: Dim = A
    for index in range(200):
        bigger = Var(f"x{index}", "x")
        made.unify(bigger, Sum((size, size)))  # type: ignore[arg-type]
        size = bigger
    assert made.solve(size) == Sum((Many(2**200, A),))
    assert show(made.solve(size)) == "more than 10**15 * a"


def test_too_many_open_terms_are_refused() -> None:
    with pytest.raises(TooManyTerms):
        solver().solve(Sum(tuple(Var(f"x{index}", "x") for index in range(MAX_TERMS + 1))))


def test_shapes_as_in_comments() -> None:
    assert show_shape((BATCH, Sum((576, SEQ)), 4096)) == "[batch, 576 + seq, 4096]"
