"""Shape comments of generated code against the tensors that really stand there: `x = f(y)  # [batch, 16 + seq, 40]`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor

from graphvlm.dims import Var
from graphvlm.ir import Graph

from .open_sizes import Sizes

_COMMENT = re.compile(r"#\s*\[([^\]]*)\]")


@dataclass(frozen=True)
class Commented:
    """An assignment with a shape comment: the lines it spans, what it assigns first, and the comment."""

    first: int
    last: int
    target: str
    shape: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What one run of such an assignment made."""

    file: str
    statement: Commented
    shape: tuple[int, ...]


@cache
def commented(path: Path) -> Mapping[int, Commented]:
    """Line -> the assignment on it, for those that end in a shape comment."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found: dict[int, Commented] = {}
    for node in ast.walk(ast.parse(text)):
        comment = (
            _COMMENT.search(lines[node.end_lineno - 1]) if isinstance(node, ast.stmt) and node.end_lineno else None
        )
        if comment and isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = target.elts[0] if isinstance(target, ast.Tuple) else target
            if isinstance(name, ast.Name):
                dims = tuple(part.strip() for part in comment[1].split(","))
                statement = Commented(node.lineno, node.end_lineno or node.lineno, name.id, dims)
                found |= dict.fromkeys(range(statement.first, statement.last + 1), statement)
    return found


def watch(folder: Path, call: Callable[[], Any]) -> tuple[Any, list[Seen]]:
    """The result of `call`, and the shapes of everything that was assigned under a shape comment meanwhile."""
    seen: list[Seen] = []

    def enter(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or path.parent != folder:
            return None
        statements, before = commented(path), frame.f_lineno

        def step(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
            nonlocal before
            statement = statements.get(before)
            if (statement and not statement.first <= frame.f_lineno <= statement.last) or (
                statement and event == "return"
            ):
                value = frame.f_locals.get(statement.target)
                if isinstance(value, Tensor):
                    seen.append(Seen(path.name, statement, tuple(value.shape)))
            before = frame.f_lineno
            return step

        return step

    previous = sys.gettrace()
    sys.settrace(enter)
    try:
        return call(), seen
    finally:
        sys.settrace(previous)


def contradictions(graph: Graph, known: Sizes, seen: list[Seen]) -> Iterator[str]:
    """Every comment that is not what was there."""
    names: dict[str, set[int]] = {}
    ports = [given.port for given in graph.inputs.values()]
    for node in graph.nodes.values():
        ports += [*node.signature.inputs.values(), *node.signature.outputs.values()]
    for dim in (dim for port in ports for dim in port.shape):
        if isinstance(dim, Var) and dim.key in known.of:
            names.setdefault(dim.name, set()).add(known.evaluate(dim))
    for each in seen:
        if not _agrees(each, names if each.file == "model.py" else {}):
            yield (
                f"{each.file}:{each.statement.first}: `{each.statement.target}` is {list(each.shape)}, "
                f"the comment says [{', '.join(each.statement.shape)}]"
            )


def _agrees(seen: Seen, names: Mapping[str, set[int]]) -> bool:
    if len(seen.shape) != len(seen.statement.shape):
        return False
    return all(_could_be(text, size, names) for text, size in zip(seen.statement.shape, seen.shape, strict=True))


def _could_be(text: str, size: int, names: Mapping[str, set[int]]) -> bool:
    """Whether `16 + seq` comes to `size` for some value of each name; a name that is not known comes to anything."""
    terms = [term.strip() for term in text.split("+")]
    if any(not term.isdigit() and term not in names for term in terms):
        return True
    values = [{int(term)} if term.isdigit() else names[term] for term in terms]
    return any(sum(choice) == size for choice in product(*values))
