"""The third stage: a composed tree is checked against the schemas. What it returns is safe to read without asking.

The sub-schema of a node is picked by its `kind` and `type` here, not by the schema: that is 30 times faster than
trying all of them, and the errors are about the one component that was meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import cache
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import names
from .diagnostics import Diagnostic, GraphError, Label, Span, did_you_mean
from .resources import part_files
from .schema_errors import diagnostics
from .schema_files import Schema, components, composed, flat, joined, load
from .schema_hints import Path, Subject
from .schema_words import ABSENT, clipped, dotted, either, found
from .tree import Tree, mapping

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

VERSION = 1
# As many as somebody will read; a file can hold a hundred thousand.
MAX_PROBLEMS = 100

# No integer of a graph comes near it; longer ones cannot even be printed.
_HUGE = 2**63
# More than any text may have.
_LONG = 20_000


def validate(tree: Tree) -> Tree:
    """The tree without keys that are null. Raises GraphError with every problem of its form, in the order of the file.

    Nulls inside lists stay, where the schema allows them: there they override something (`layers.where`).
    """
    problems = list(islice(_graph(tree), MAX_PROBLEMS))
    if problems:
        raise GraphError(sorted(problems, key=_place))
    return _without_nulls(tree)


def validate_part(tree: Tree, kind: str, name: str) -> Tree:
    """The same for a part of the catalog, of this kind; `name` is what to call it."""
    if kind == "checkpoint":
        found_problems = _check(tree, (name,), "checkpoint", tree.span)
    else:
        found_problems = _node(tree, (name,), tree.span, called=False)
    problems = list(islice(found_problems, MAX_PROBLEMS))
    if problems:
        raise GraphError(sorted(problems, key=_place))
    return _without_nulls(tree)


def _graph(tree: Tree) -> Iterator[Diagnostic]:
    version = tree.get("version")
    if version and type(version.value) is int and version.value != VERSION:
        message = f"version {plain(version)} of the language is not known; this compiler reads version {VERSION}"
        edit = f"write `version: {VERSION}`, or use a newer graphvlm"
        yield Diagnostic("unsupported-version", message, version.span, help=edit)
        return
    yield from _check(tree, (), "graph", next(iter(tree.keys.values()), tree.span))
    nodes = tree.get("nodes") or Tree(None, tree.span)
    for name, node in nodes.items():
        if node.is_mapping and _is_call(node):
            yield from _call(node, ("nodes", name), nodes)
        elif node.is_mapping:
            yield from _node(node, ("nodes", name), nodes.key_span(name), called=True)
    yield from _clashes(tree)


def _node(tree: Tree, path: Path, span: Span, *, called: bool) -> Iterator[Diagnostic]:
    """What is wrong in a node. `span` is the place of its name."""
    name = f"`{clipped(str(path[-1]))}`"
    kinds = components()
    kind, type_ = tree.get("kind"), tree.get("type")
    if kind is None or kind.value is None:
        owner = next((owner for owner, types in kinds.items() if type_ and type_.value in types), None)
        edit = f"add `kind: {owner}`" if owner else "add `kind` and `type`, or `use` a part of the catalog"
        yield Diagnostic("missing-key", f"{name} needs `kind`", span, help=edit)
    elif not isinstance(kind.value, str):
        yield _not_text(path, "kind", kind, kinds)
    elif kind.value not in kinds:
        message = f"there is no kind `{clipped(kind.value)}`; the kinds are {_list(kinds)}"
        owner = next((owner for owner, types in kinds.items() if kind.value in types), None)
        edit = f"write `kind: {owner}` and `type: {kind.value}`" if owner else did_you_mean(kind.value[:100], kinds)
        yield Diagnostic("unknown-kind", message, kind.span, help=edit)
    elif type_ is None or type_.value is None:
        types = kinds[kind.value]
        edit = f"add `type: {types[0]}`" if len(types) == 1 else f"add `type`: {either(f'`{each}`' for each in types)}"
        yield Diagnostic("missing-key", f"{name} needs `type`", span, help=edit)
    elif not isinstance(type_.value, str):
        yield _not_text(path, "type", type_, kinds[kind.value])
    elif type_.value not in kinds[kind.value]:
        yield _unknown_type(kind.value, type_)
    else:
        yield from _check(tree, path, f"{kind.value}/{type_.value}", span, called=called)


def _is_call(node: Tree) -> bool:
    module = node.get("module")
    return module is not None and module.value is not None


def _call(tree: Tree, path: Path, nodes: Tree) -> Iterator[Diagnostic]:
    """What is wrong in another call of a node: it has inputs, and nothing of what the weights are."""
    module = tree.get("module", "ema") or tree.get("module")
    owner = module.value if module else None
    known = nodes.get(owner) if isinstance(owner, str) else None
    label = (Label(nodes.key_span(owner), "owns the weights"),) if isinstance(owner, str) and known else ()
    allowed, of_nodes = load("call")["properties"], _keys_of(known)
    for key, value in tree.items():
        if key not in allowed and key in of_nodes and value.value is not None:
            message = f"`{clipped(key)}` belongs to `{clipped(str(owner))}`, which owns the weights that this calls"
            edit = f"remove `{clipped(key)}` here, and write it in `{clipped(str(owner))}`, for every call of it"
            yield Diagnostic("structure-in-call", message, tree.key_span(key), labels=label, help=edit)
    kept = {key: value for key, value in tree.items() if key in allowed or key not in of_nodes}
    rest = mapping(kept, tree.span, {key: tree.key_span(key) for key in kept})
    yield from _check(rest, path, "call", nodes.key_span(str(path[-1])), called=True)


def _keys_of(node: Tree | None) -> frozenset[str]:
    """The keys that such a node has; of one without a known component, those that all nodes have."""
    kind, type_ = (tree.value if tree else None for tree in (node and node.get("kind"), node and node.get("type")))
    common = frozenset(load("node")["$defs"]["written"]["properties"])
    known = isinstance(kind, str) and isinstance(type_, str) and type_ in components().get(kind, ())
    return common | frozenset(load(f"{kind}/{type_}")["properties"]) if known else common


def _not_text(path: Path, key: str, tree: Tree, known: Iterable[str]) -> Diagnostic:
    message = f"`{dotted((*path, key))}` takes {either(f'`{each}`' for each in known)}, not {found(plain(tree))}"
    return Diagnostic("wrong-type", message, tree.span)


def _unknown_type(kind: str, type_: Tree) -> Diagnostic:
    written = str(type_.value)
    types = components()[kind]
    message = f"{kind} has no type `{clipped(written)}`; its types are {_list(types)}"
    owner = next((owner for owner, others in components().items() if written in others), None)
    parts = [f"`use: {name}`" for name, _ in part_files() if name.startswith(f"{kind}/") and written in name]
    if owner:
        edit = f"`{written}` is a type of {owner}: write `kind: {owner}`"
    elif close := did_you_mean(written[:100], types):
        edit = close
    else:
        edit = f"the catalog has {', '.join(parts[:3])}" if parts else "`graphvlm list` shows the parts there are"
    return Diagnostic("unknown-type", message, type_.span, help=edit)


def _clashes(tree: Tree) -> Iterator[Diagnostic]:
    """Nodes whose classes would have one name."""
    nodes = tree.get("nodes") or Tree(None, tree.span)
    classes: dict[str, str] = {}
    for name, node in nodes.items():
        if _is_call(node):
            continue
        other = classes.setdefault(names.class_name(name), name)
        if other != name:
            message = f"`{name}` and `{other}` would be the same class in the generated code, {names.class_name(name)}"
            label = Label(nodes.key_span(other), "the other node")
            yield Diagnostic("bad-name", message, nodes.key_span(name), labels=(label,), help="rename one of them")


def _check(tree: Tree, path: Path, stem: str, span: Span, *, called: bool = False) -> Iterable[Diagnostic]:
    errors = list(islice(_validator(stem, called).iter_errors(plain(tree)), 2 * MAX_PROBLEMS))
    return diagnostics(Subject(tree, path, span, stem, _schema(stem, called)), errors) if errors else ()


@cache
def _schema(stem: str, called: bool) -> Schema:
    """What is checked against one file; a node that is called also has inputs."""
    if stem == "graph":
        # Each node is checked by itself.
        graph = deepcopy(load(stem))
        graph["properties"]["nodes"]["additionalProperties"] = {"type": "object"}
        del graph["$defs"]["complete"]["properties"]["nodes"]
        graph["then"] = graph["$defs"]["complete"]
        return dict(flat(graph, stem))
    if stem == "checkpoint":
        return dict(flat(load(stem), stem))
    schema: Schema = joined(composed(stem), {"required": ["inputs"]} if called else {})
    return schema


@cache
def _validator(stem: str, called: bool) -> Validator:
    validator: Validator = _dialect()(_schema(stem, called))
    return validator


@cache
def _dialect() -> Any:
    """JSON Schema 2020-12, where null is the same as no key, 1.0 is no integer, and names can be reserved."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    # `validator.descend` would make a validator for every value; schemas live as long as their validators.
    evolved: dict[int, Any] = {}

    def properties(validator: Any, known: Schema, instance: Any, _: Schema) -> Iterator[Any]:
        if isinstance(instance, dict):
            for key, value in instance.items():
                schema = known.get(key)
                if value is ABSENT or not isinstance(schema, dict):
                    continue
                inner = evolved.get(id(schema)) or evolved.setdefault(id(schema), validator.evolve(schema=schema))
                for error in inner.iter_errors(value):
                    error.path.appendleft(key)
                    error.schema_path.appendleft(key)
                    yield error

    def required(_: Any, keys: list[str], instance: Any, __: Schema) -> Iterator[Any]:
        if isinstance(instance, dict):
            yield from (ValidationError(key) for key in keys if instance.get(key, ABSENT) is ABSENT)

    def identifier(_: Any, use: names.Use, instance: Any, __: Schema) -> Iterator[Any]:
        if isinstance(instance, str) and (reason := names.reserved(instance, use)):
            yield ValidationError(reason)

    types = Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number})
    checks = {"properties": properties, "required": required, "x-identifier": identifier}
    return extend(Draft202012Validator, checks, type_checker=types)  # type: ignore[no-untyped-call]


def _is_integer(_: Any, value: Any) -> bool:
    return type(value) is int


def _is_number(_: Any, value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def plain(tree: Tree, in_list: bool = False) -> Any:
    """The value without places; numbers and texts are cut to a size that can be compared and printed quickly.

    A key that is null counts as absent, but not in a list: there it may override something (`layers.where`).
    """
    value = tree.value
    if isinstance(value, MappingProxyType):
        empty = None if in_list else ABSENT
        return {key: empty if below.value is None else plain(below, in_list) for key, below in value.items()}
    if isinstance(value, tuple):
        return [plain(below, True) for below in value]
    if isinstance(value, str):
        return value[:_LONG]
    return max(-_HUGE, min(value, _HUGE)) if type(value) is int else value


def _without_nulls(tree: Tree) -> Tree:
    if not tree.is_mapping:
        return tree
    kept = {key: _without_nulls(below) for key, below in tree.items() if below.value is not None}
    if all(kept.get(key) is below for key, below in tree.items()):
        return tree
    return mapping(kept, tree.span, {key: tree.key_span(key) for key in kept})


def _list(names_: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names_)


def _place(problem: Diagnostic) -> tuple[str, int, int]:
    span = problem.span
    return (span.source.name, span.line, span.column) if span else ("", 0, 0)
