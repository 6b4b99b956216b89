"""Schemas and values in words: what a key takes, what was found there, and the edit that would help."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from .diagnostics import did_you_mean
from .schema_files import Schema


class Absent:
    """Stands for the value of a key that is null, which is the same as no key."""

    def __repr__(self) -> str:
        return "null"


ABSENT: Final = Absent()

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_YES_NO = {
    **dict.fromkeys(("yes", "on", "y", "true", "1"), True),
    **dict.fromkeys(("no", "off", "n", "false", "0"), False),
}
_WORDS = {"array": "a list", "object": "a mapping", "null": "null"}
_TYPES = {int: "integer", str: "string", bool: "boolean", float: "number", list: "array", dict: "object"}
_LONGEST = 60


def either(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} or {last}" if most else last


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it: `llm.layers.where[0].at`; nodes by their names alone."""
    steps = tuple(path)
    steps = steps[1:] if len(steps) > 1 and steps[0] == "nodes" else steps
    return "".join(f"[{step}]" if isinstance(step, int) else f".{clipped(step)}" for step in steps).removeprefix(".")


def options(schema: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, one for each concise or long form."""
    for form in schema.get("anyOf", [schema]):
        yield from options(form) if "anyOf" in form else [form]


def takes(schema: Schema, *, bounds: bool = False) -> str:
    """What a value may be: `none or a mapping`, `an integer from 1 to 100`."""
    return either(word for option in options(schema) for word in _takes(option, bounds))


def _takes(schema: Schema, bounds: bool) -> Iterator[str]:
    if "enum" in schema:
        yield from (f"`{value}`" for value in schema["enum"])
        return
    for name in types(schema) or ["object"]:
        if name in ("integer", "number"):
            yield ("an integer" if name == "integer" else "a number") + (_bounds(schema) if bounds else "")
        elif name == "string":
            yield f"a {schema['title']}" if "title" in schema else "text"
        elif name == "boolean":
            yield from ("true", "false")
        else:
            yield _WORDS[name]


def _bounds(schema: Schema) -> str:
    low, above, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high:.15g}"
    lower = f" above {above}" if above is not None else f" of at least {low}" if low is not None else ""
    return lower + (f", at most {high:.15g}" if high is not None else "")


def found(value: Any) -> str:
    """A value as a noun, short whatever it is."""
    if is_empty(value):
        return "nothing"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return clipped(flow(value))


def is_empty(value: Any) -> bool:
    """Whether a value is null, of a key or of an element of a list."""
    return value is None or value is ABSENT


def quoted(text: str) -> str:
    """A text between quotes."""
    return f"'{clipped(text)}'"


def clipped(text: str) -> str:
    """`text` as it can stand in a message: not too long, and nothing in it that a terminal would obey."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return short if short.isprintable() else short.encode("unicode_escape").decode("ascii")


def edits(*parts: str) -> str:
    """The parts of a help text, those that are empty left out."""
    return "; ".join(filter(None, parts)).replace("?; ", "? ")


def flow(value: Any) -> str:
    """A plain value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in ("true", "false", "null"):
        return value
    return json.dumps(value)


def example(key: str, schema: Schema) -> str:
    """`for example ...`, if the schema has an example of this key."""
    if "enum" in schema:
        return f"it takes {takes(schema)}"
    examples = [*schema.get("examples", ()), *(each for form in options(schema) for each in form.get("examples", ()))]
    return f"for example `{flow(key)}: {flow(examples[0])}`" if examples else ""


def cast(value: Any, schema: Schema) -> str:
    """The edit that makes a value of the wrong type right; empty if there is none that is plain."""
    for option in options(schema):
        for kind in types(option):
            if written := _cast(value, kind, option):
                return f"write {written}"
    return ""


def _cast(value: Any, kind: str, schema: Schema) -> str:
    if kind in ("integer", "number") and isinstance(value, str | float):
        number = _number(value)
        if number is not None and (kind == "number" or number == int(number)):
            return f"{int(number) if kind == 'integer' else number}{', without quotes' * isinstance(value, str)}"
    if kind == "boolean" and str(value).lower() in _YES_NO:
        return f"`{flow(_YES_NO[str(value).lower()])}`"
    if kind == "string" and value is False and "none" in schema.get("enum", ()):
        return "`none`"
    alone = kind == "array" and schema.get("minItems", 0) <= 1
    if alone and not is_empty(value) and is_of_type(value, schema.get("items", {})):
        return f"`[{flow(value)}]`"
    if kind == "object" and isinstance(value, str):
        known = schema.get("properties", {}).get("type", {}).get("enum", ())
        return f"`{{type: {value}}}`" if value in known else ""
    return ""


def _number(value: str | float) -> float | None:
    with suppress(ValueError, OverflowError):
        number = float(value)
        return number if abs(number) < 1e15 else None
    return None


def is_of_type(value: Any, schema: Schema) -> bool:
    """Whether a value has one of the types that a schema takes."""
    name = _TYPES.get(type(value), "null")
    wanted = [name_ for option in options(schema) for name_ in types(option)]
    return name in wanted or (name == "integer" and "number" in wanted)


def types(schema: Schema) -> list[str]:
    """The types that one form of a value may have."""
    given = schema.get("type", [])
    return [given] if isinstance(given, str) else given


def nearest(value: Any, schema: Schema) -> str:
    """`did you mean ...?` for a word or a number that is none of those a schema lists."""
    words = [word for option in options(schema) for word in option.get("enum", ())]
    if not isinstance(value, str):
        numbers = sorted((word for word in words if isinstance(word, int)), key=lambda word: abs(word - value))
        return f"write {either(map(str, sorted(numbers[:2])))}" if numbers and isinstance(value, int) else ""
    called = {name: word for option in options(schema) for name, word in option.get("x-other-values", {}).items()}
    name = value[:_LONGEST].lower().replace("-", "_")
    if name in called or name in words:
        return f"here it is called `{called.get(name, name)}`"
    return did_you_mean(name, [word for word in words if isinstance(word, str)])
