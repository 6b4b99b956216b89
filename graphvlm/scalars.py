"""Plain YAML scalars to values, by the core schema of YAML 1.2: `no` and `2024-01-01` are text, `1e-5` is a number."""

from __future__ import annotations

import math
import re

from .tree import Scalar

_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o([0-7]+)|0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_STARTS = frozenset("+-.0123456789")

# Every integer up to here is exact in JSON and in a double; no width, id or count of a model comes near it.
MAX_INT = 2**53
_MAX_DIGITS = 20


class NumberOutOfRange(ValueError):
    """A number that no later stage could compute with: not finite, or larger than any size of a model."""


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar. Raises NumberOutOfRange; never anything else."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INT.fullmatch(text):
        return _checked(text, 10)
    if radix := _RADIX.fullmatch(text):
        return _checked(radix[1] or radix[2], 8 if radix[1] else 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
        raise NumberOutOfRange
    if _NOT_FINITE.fullmatch(text):
        raise NumberOutOfRange
    return text


def _checked(digits: str, base: int) -> int:
    # The length is looked at first: int() of a long text is quadratic, and an error past 4,300 digits.
    body = digits.lstrip("+-").lstrip("0") or "0"
    if len(body) > _MAX_DIGITS or (number := int(body, base)) > MAX_INT:
        raise NumberOutOfRange
    return -number if digits[0] == "-" else number
