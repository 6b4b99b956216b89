"""The same graph under other names: everything that may be named, wherever it is referred to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Plain = dict[str, Any]
# From what is named (`node`, `input`, `output`, `port`, `layers`, `graph`) and its name to another.
NewName = Callable[[str, str], str]


def renamed(plain: Plain, anew: NewName) -> Plain:
    """A written graph (everything inferred is there) with new names."""

    def new(what: str, name: str) -> str:  # a prompt names the port that it is for
        return name if what == "port" and name in plain.get("prompt", {}) else anew(what, name)

    def value(name: str) -> str:
        return new("node" if name in plain["nodes"] else "input", name)

    def reference(text: str) -> str:
        name, dot, rest = text.partition(".")
        return value(name) + dot + rest

    whole = {
        **plain,
        "name": new("graph", plain["name"]),
        "inputs": {new("input", key): kind for key, kind in plain["inputs"].items()},
        "nodes": {new("node", name): _node(node, reference, new) for name, node in plain["nodes"].items()},
        "outputs": {new("output", key): reference(ref) for key, ref in plain["outputs"].items()},
    }
    if "freeze" in plain:
        whole["freeze"] = _freeze(plain["freeze"], reference)
    for section, key in (("checkpoint", "prefixes"), ("parallelism", "nodes")):
        if key in plain.get(section, {}):
            whole[section] = {**plain[section], key: {value(name): each for name, each in plain[section][key].items()}}
    return whole


def _node(node: Plain, reference: Callable[[str], str], new: NewName) -> Plain:
    ports, reads, changed = {**node.get("placeholder", {}), **_marks(node)}, node["inputs"], dict(node)

    def port(name: str) -> str:
        for suffix in ("_mask", "_seconds"):
            features = name.removesuffix(suffix)
            if name not in ports and features != name and features in ports:
                return new("port", features) + suffix
        stem, dash, number = name.rpartition("_")
        if name not in ports and stem in ports and number.isdigit():  # one of several that are for one placeholder
            return new("port", stem) + dash + number
        return new("port", name) if name in ports else name

    if isinstance(reads, dict):
        changed["inputs"] = {port(name): reference(ref) for name, ref in reads.items()}
    else:
        changed["inputs"] = reference(reads)
    if "module" in node:  # another call of that node
        changed["module"] = reference(node["module"])
    for key in ("placeholder", "between", "tokens", "frames", "interval"):
        if isinstance(node.get(key), dict):
            changed[key] = {port(name): value for name, value in node[key].items()}
    if _marks(node):
        changed["marks"] = {port(name): value for name, value in node["marks"].items()}
    if isinstance(node.get("layers"), dict):
        where = [
            {**each, **({"name": new("layers", each["name"])} if "name" in each else {})}
            for each in node["layers"].get("where", [])
        ]
        changed["layers"] = {**node["layers"], "where": where}
    return changed


def _marks(node: Plain) -> Plain:
    """The ports of a fusion that are for single tokens; in a projector, `marks` is a number."""
    found = node.get("marks", {})
    return found if isinstance(found, dict) else {}


def _freeze(freeze: Any, reference: Callable[[str], str]) -> Any:
    if isinstance(freeze, list):
        return [reference(pattern) for pattern in freeze]
    schedules = {reference(key): value for key, value in freeze.get("schedules", {}).items()}
    return {"patterns": list(map(reference, freeze.get("patterns", []))), "schedules": schedules}
