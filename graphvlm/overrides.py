"""`dotted.key=value` on the command line: one setting merged over a graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from .building import MAX_DEPTH, clip
from .diagnostics import Diagnostic, GraphError, Label, Source, Span, did_you_mean
from .merging import merge, replaced
from .source import parse_value
from .tree import Tree, mapping

COMMAND_LINE = "<command line>"

# A key; in quotes where it holds a dot or an equals sign, as the key names of checkpoints do.
_STEP = re.compile(r'"(?P<quoted>[^"\n]+)"|(?P<bare>[^".=\s][^.=\n]*)')


@dataclass(frozen=True, slots=True)
class _Step:
    key: str
    span: Span


def apply(tree: Tree, text: str, with_part: Callable[[Tree], Tree]) -> Tree:
    """`tree` with the override `text` merged over it.

    `with_part` puts in the part that a mapping names, for an override that goes into a list or a value of the part.
    Raises GraphError.
    """
    source = Source(COMMAND_LINE, text)
    path, value_at = _path(source)
    value = parse_value(source, re.sub(r"[^\n]", " ", text[:value_at]) + text[value_at:])
    if text[value_at:].strip()[:1] in ("", "#"):
        edit = "`=null` deletes the key; an empty text, or one that starts with #, goes in quotes"
        _refuse("the override has no value", path[-1].span, help=edit)
    _check_start(tree, path)
    return _set(tree, path, 0, value, with_part)


def _path(source: Source) -> tuple[list[_Step], int]:
    """The steps before the equals sign, and where the value starts."""
    text, at, steps = source.text, 0, list[_Step]()
    while len(steps) < MAX_DEPTH and (found := _STEP.match(text, at)):
        key = found["quoted"] or found["bare"].rstrip()
        steps.append(_Step(key, Span(source, 1, at + 1, 1, found.end() + 1)))
        at = found.end()
        if text[at : at + 1] == "=":
            return steps, at + 1
        if text[at : at + 1] != ".":
            break
        at += 1
    _refuse(
        f"`{clip(text)}` is not of the form `dotted.key=value`",
        Span(source, 1, at + 1, 1, at + 2),
        help="write for example `nodes.llm.layers=2`; a key that holds a dot goes in double quotes",
    )


def _check_start(tree: Tree, path: list[_Step]) -> None:
    """Refuse what can only be a slip: a node without `nodes.`, or a setting of a node that does not exist."""
    first = path[0]
    nodes = tree.get("nodes")
    names = [name for name, _ in nodes.items()] if nodes else []
    if first.key == "extends":
        _refuse("`extends` cannot be set by an override", first.span, help="put it in a file, or give the other graph")
    if first.key in names and tree.get(first.key) is None:
        _refuse(f"`{first.key}` is a node, not a key of the graph", first.span, help=f"write `nodes.{first.key}`")
    if first.key == "nodes" and len(path) > 2 and path[1].key not in names:
        edit = did_you_mean(path[1].key, names) or "a new node is written whole: `nodes.NAME={kind: ..., type: ...}`"
        _refuse(f"there is no node `{clip(path[1].key)}`", path[1].span, help=edit)


def _set(tree: Tree, path: list[_Step], at: int, value: Tree, with_part: Callable[[Tree], Tree]) -> Tree:
    step, is_last = path[at], at + 1 == len(path)
    if tree.is_sequence:
        index = _index(tree, path, at)
        if is_last and value.value is None:
            _refuse("an element of a list cannot be deleted", step.span, help="write the whole list")
        old = tree.elements()[index]
        new = merge(old, value) if is_last else _set(old, path, at + 1, value, with_part)
        return replaced(tree, {index: new})
    if not tree.is_mapping:
        _refuse_into(tree, path, at)
    if is_last:
        return merge(tree, mapping({step.key: value}, tree.span, {step.key: step.span}))
    child = tree.get(step.key)
    if child is None and tree.get("use") is not None:
        whole = with_part(tree)
        if not _meets_only_mappings(whole, (step.key for step in path[at:])):
            return _set(whole, path, at, value, with_part)
    if child is None or child.value is None:
        return replaced(tree, {step.key: _nested(path, at + 1, value)}, {step.key: step.span})
    return replaced(tree, {step.key: _set(child, path, at + 1, value, with_part)})


def _nested(path: list[_Step], at: int, value: Tree) -> Tree:
    """The mappings of the steps from `at`, one inside the other, around `value`."""
    for step in reversed(path[at:]):
        value = mapping({step.key: value}, step.span, {step.key: step.span})
    return value


def _meets_only_mappings(tree: Tree | None, keys: Iterable[str]) -> bool:
    """Whether following `keys` passes through nothing but mappings, as far as there is anything."""
    for key in keys:
        if tree is None:
            return True
        if not tree.is_mapping:
            return False
        tree = tree.get(key)
    return True


def _index(tree: Tree, path: list[_Step], at: int) -> int:
    step, count = path[at], len(tree.elements())
    if step.key.isascii() and step.key.isdigit() and len(step.key) < 10 and int(step.key) < count:
        return int(step.key)
    allowed = f"0 to {count - 1}" if count else "none, the list is empty"
    message = f"`{_dotted(path[:at])}` is a list, and `{clip(step.key)}` is not one of its elements"
    _refuse(message, step.span, Label(tree.span, "the list"), help=f"its elements are {allowed}")


def _refuse_into(tree: Tree, path: list[_Step], at: int) -> NoReturn:
    whole = _dotted(path[:at])
    message = f"`{whole}` is one value, so `{clip(path[at].key)}` cannot be set inside it"
    _refuse(message, path[at].span, Label(tree.span, "written here"), help=f"set the whole of it: `{whole}={{...}}`")


def _dotted(path: Iterable[_Step]) -> str:
    return clip(".".join(step.key for step in path))


def _refuse(message: str, span: Span, *labels: Label, help: str = "") -> NoReturn:
    raise GraphError([Diagnostic("bad-override", message, span, labels=labels, help=help)])
