"""Which parameters are frozen: patterns over node names and parameter paths, checked against the graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase, translate

from .diagnostics import Span, did_you_mean
from .ir import Freeze, Node
from .linked import LinkedGraph
from .problems import Problems
from .settings import Settings
from .words import listed


def read_freeze(linked: LinkedGraph, nodes: Mapping[str, Node], problems: Problems) -> tuple[Freeze, ...]:
    """What `freeze` says. `nodes` are those that could be decided; nothing is said about the others."""
    undecided = linked.nodes.keys() - nodes.keys()
    paths = {name: [f"{name}.{each.path}" for each in node.parameters] for name, node in nodes.items()}
    found = []
    for pattern, (span, until) in _patterns(Settings(linked.tree)).items():
        whole = tuple(name for name in nodes if fnmatchcase(name, pattern))
        matches = _matcher(pattern)
        single = tuple(
            path
            for name in nodes
            if name not in whole and _may_match(name, pattern)
            for path in paths[name]
            if matches(path)
        )
        nothing = not single and not any(paths[name] or nodes[name].imported for name in whole)
        if nothing and not any(fnmatchcase(name, pattern) or _may_match(name, pattern) for name in undecided):
            unknown = next((node for node in nodes.values() if node.imported and _may_match(node.name, pattern)), None)
            if unknown:
                _report_imported(pattern, unknown, span, problems)
            else:
                _report(pattern, {name: nodes[name].owner for name in whole}, span, paths, problems)
        found.append(Freeze(pattern, whole, single, until))
    return tuple(found)


def _patterns(settings: Settings) -> dict[str, tuple[Span, int | None]]:
    """Pattern -> its place, and the step until which it stays frozen; a schedule wins over the plain pattern."""
    tree = settings.tree.get("freeze")
    if tree is None:
        return {}
    listed_ = tree.get("patterns") if tree.is_mapping else tree
    found: dict[str, tuple[Span, int | None]] = {
        str(item.value): (item.span, None) for item in (listed_.elements() if listed_ else ())
    }
    schedules = tree.get("schedules")
    for name, value in schedules.items() if schedules else ():
        found.pop(name, None)
        found[name] = (schedules.key_span(name) if schedules else value.span, value.plain()["until_step"])
    return found


def _may_match(name: str, pattern: str) -> bool:
    """Whether `pattern` may match a parameter of the node `name`: it begins with that name, or with a wildcard."""
    head = pattern.split(".", 1)[0]
    return any(sign in head for sign in "*?[") or pattern.startswith(f"{name}.")


def _matcher(pattern: str) -> Callable[[str], object]:
    """Whether a path is one that the pattern means, or lies below one."""
    return re.compile(f"{translate(pattern)}|{translate(f'{pattern}.*')}").match


def _report(
    pattern: str, whole: Mapping[str, str], span: Span, paths: Mapping[str, list[str]], problems: Problems
) -> None:
    """`whole` are the nodes that the pattern means, each with the one whose weights it calls."""
    called = sorted({*whole.values()} - {""})
    if whole:
        has = "has" if len(whole) == 1 else "have"
        what = f"{listed(whole)} {has} no parameters{' of its own' if called else ''}"
    else:
        what = "no node and no parameter is called so"
    with_weights = listed(name for name in paths if paths[name])
    edit = f"write {listed(called)}, whose weights that calls" if called else ""
    edit = edit if called or whole else did_you_mean(pattern, _meant(paths))
    edit = edit or f"parameters are in {with_weights}; a part is written `node.path`, with `*` for any text"
    problems.error("freeze-matches-nothing", f"`{pattern}` freezes nothing: {what}", span, help=edit)


def _report_imported(pattern: str, node: Node, span: Span, problems: Problems) -> None:
    what = f"the weights of `{node.name}` are known to `{node.spec.package}` alone, which it is imported from"
    edit = f"write `{node.name}`, or freeze them in the code that you train with"
    problems.error("freeze-matches-nothing", f"`{pattern}` freezes nothing: {what}", span, help=edit)


def _meant(paths: Mapping[str, list[str]]) -> Iterator[str]:
    """Everything that a pattern may mean: nodes, and their modules and parameters with layers as `*`."""
    for name, of_node in paths.items():
        yield name
        starred = dict.fromkeys(_INDEX.sub(".*", path) for path in of_node[:_MOST])
        yield from dict.fromkeys(path[: dot.start()] for path in starred for dot in _ENDS.finditer(path, len(name) + 1))


_INDEX = re.compile(r"\.\d+(?=\.)")
_ENDS = re.compile(r"\.|$")
_MOST = 100  # of the paths of a node: enough for every kind of layer
