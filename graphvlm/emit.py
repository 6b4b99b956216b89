"""The resolved graph as YAML: everything that was inferred is written out, and building it gives the same package."""

from __future__ import annotations

from typing import Any

from .ir import Graph
from .yaml_text import write_yaml

# The order in which a person reads a graph; anything else follows as written.
_ORDER = ("version", "name", "description", "source", "inputs", "nodes", "outputs")


def emit(graph: Graph) -> str:
    """YAML text of a resolved graph, before its passes."""
    plain = graph.tree.plain()
    plain["inputs"] = {**plain.get("inputs", {}), **{n: i.port.what for n, i in graph.inputs.items() if i.inferred}}
    for name, node in graph.nodes.items():
        written: dict[str, Any] = plain["nodes"][name]
        ports = {port: _reference(graph, ref.name, ref.port) for port, ref in node.inputs.items()}
        given = _over(_without_none(written), {} if node.source != name else node.spec.resolved())
        given["inputs"] = ports if len(ports) > 1 else next(iter(ports.values()))
        plain["nodes"][name] = given
    plain["outputs"] = {name: str(ref) for name, ref in graph.outputs.items()}
    ordered = {key: plain.pop(key) for key in _ORDER if key in plain}
    return "# Written by graphvlm: the graph with everything that was inferred.\n" + write_yaml({**ordered, **plain})


def _reference(graph: Graph, name: str, port: str) -> str:
    """`node` for its default output, `node.port` otherwise."""
    if not port or port == next(iter(graph.nodes[name].signature.outputs)):
        return name
    return f"{name}.{port}"


def _over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """`top` over `base`, mappings key by key."""
    both = {key: _over(base[key], top[key]) for key in base.keys() & top.keys() if isinstance(base[key], dict)}
    return {**base, **top, **both}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
