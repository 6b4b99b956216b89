"""Small pieces of Python source as values, and how they are laid out: what pages are made of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

# Lines are laid out for ruff's default width. What does not fit is broken, with a trailing comma: every width keeps it.
WIDTH = 88


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a config dataclass."""

    name: str
    type: str
    value: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """`target = function(arguments)  # comment`, or just an expression where `function` is empty.

    It stands in a block where `indent` says by how many spaces more.
    """

    target: str
    function: str
    arguments: tuple[str, ...] = ()
    comment: str = ""
    indent: int = 0


def literal(value: object) -> str:
    """A Python literal as ruff writes it: double quotes, no needless exponent."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return repr(int(value)) + ".0" if value.is_integer() and abs(value) < 1e16 else repr(value)
    if isinstance(value, tuple):
        inner = ", ".join(literal(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def quoted(text: str) -> str:
    """A string literal with the quotes the formatter prefers."""
    plain = json.dumps(text)
    return plain if '"' not in text or "'" in text else "'" + plain[1:-1].replace('\\"', '"') + "'"


def comment_text(text: str) -> str:
    """Any text as one line that can stand in a comment or docstring."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return re.sub(r"\s+", " ", printable).strip().replace("\\", "/").replace('"""', "'''")


def laid_out(statement: Statement, indent: int) -> str:
    """The statement at `indent` spaces, in the one layout the formatter keeps."""
    indent += statement.indent
    head = f"{statement.target} = " if statement.target else ""
    tail = f"  # {statement.comment}" if statement.comment else ""
    if not statement.function:
        return " " * indent + head + ", ".join(statement.arguments) + tail
    line = f"{head}{statement.function}({', '.join(statement.arguments)})"
    pad = " " * indent
    if indent + len(line) + len(tail) <= WIDTH or not statement.arguments:
        return pad + line + tail
    inner = "".join(_argument(argument, indent + 4) for argument in statement.arguments)
    if indent + len(head) + len(statement.function) + 1 > WIDTH and ", " in statement.target:
        names = "".join(f"{pad}    {name},\n" for name in statement.target.split(", "))
        head = f"(\n{names}{pad}) = "
    return f"{pad}{head}{statement.function}(\n{inner}{pad}){tail}"


def _argument(text: str, indent: int) -> str:
    """One argument on a line of its own; a tuple over several where it is too long."""
    if indent + len(text) + 1 > WIDTH and text.startswith("("):
        return display("", tuple(text[1:-1].removesuffix(",").split(", ")), "()", indent, ",") + "\n"
    return f"{' ' * indent}{text},\n"


def built(target: str, expression: str, indent: int, comment: str = "") -> str:
    """`target = expression`, where the expression is a call whose arguments hold no commas of their own."""
    function, _, arguments = expression.removesuffix(")").partition("(")
    return laid_out(Statement(target, function, tuple(arguments.split(", ")) if arguments else (), comment), indent)


def display(head: str, items: tuple[str, ...], brackets: str, indent: int, tail: str = "") -> str:
    """`head`, a tuple or list of expressions, one a line where they do not fit on one, and `tail`."""
    opening, closing = brackets[0], brackets[1]
    pad = " " * indent
    comma = "," if opening == "(" and len(items) == 1 else ""
    line = f"{pad}{head}{opening}{', '.join(items)}{comma}{closing}{tail}"
    if len(line) <= WIDTH or not items:
        return line
    inner = "".join(f"{pad}    {item},\n" for item in items)
    return f"{pad}{head}{opening}\n{inner}{pad}{closing}{tail}"


def imported(module: str, names: tuple[str, ...]) -> str:
    """`from module import names`, on one line if it fits."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return display(f"from {module} import ", names, "()", 0)


def signature(name: str, parameters: tuple[str, ...], returns: str, indent: int, comment: str = "") -> str:
    """`def name(parameters) -> returns:  # comment`, on one line if it fits."""
    pad, tail = " " * indent, f"  # {comment}" if comment else ""
    line = f"{pad}def {name}({', '.join(parameters)}) -> {returns}:{tail}"
    if len(line) <= WIDTH:
        return line
    inner = "".join(f"{pad}    {parameter},\n" for parameter in parameters)
    return f"{pad}def {name}(\n{inner}{pad}) -> {returns}:{tail}"
