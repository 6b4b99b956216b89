"""Profiles of programs: the least, the usual and the largest shape of each input, as TensorRT asks for them."""

from __future__ import annotations

from collections.abc import Mapping

import sympy

from .sizes import Range

Profile = dict[str, list[list[int]]]


def profile(
    shapes: Mapping[str, tuple[int | str, ...]], ranges: Mapping[str, Range], derived: Mapping[str, str]
) -> Profile:
    """Shapes by name of input; `derived` are names for sizes that follow from others, each as a formula."""
    return {
        name: [[_number(size, ranges, derived, which) for size in shape] for which in ("least", "usual", "most")]
        for name, shape in shapes.items()
    }


def _number(size: int | str, ranges: Mapping[str, Range], derived: Mapping[str, str], which: str) -> int:
    if isinstance(size, int):
        return size
    formula = sympy.sympify(derived.get(size, size), {name: sympy.Symbol(name, integer=True) for name in ranges})
    numbers = {symbol: getattr(ranges[str(symbol)], which) for symbol in formula.free_symbols}
    return int(formula.subs(numbers))
