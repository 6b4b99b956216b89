"""The lines of `model.py` that freeze parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..ir import Freeze, Graph


def lines(graph: Graph) -> Iterator[str]:
    """The statements of `Model.freeze`: what stays frozen longest comes last, and so has the last word."""
    for freeze in sorted(graph.freeze, key=lambda each: math.inf if each.until is None else each.until):
        flag = "False" if freeze.until is None else f"step >= {freeze.until}"
        whole = [name for name in freeze.nodes if graph.nodes[name].parameter_count]
        for path in (*whole, *_frozen_modules(graph, freeze)):
            yield f"self.{_reached(graph, path)}.requires_grad_({flag})"


def _frozen_modules(graph: Graph, freeze: Freeze) -> list[str]:
    """What a pattern over parameter paths freezes: the outermost modules that are frozen whole, else parameters."""
    chosen = set(freeze.parameters)
    frozen: dict[str, bool] = {}
    for name, node in graph.nodes.items():
        for parameter in node.spec.parameters():
            is_frozen = all(f"{name}.{piece.path}" in chosen for piece in parameter.pieces)
            path = f"{name}.{parameter.path}"
            frozen[path] = is_frozen
            while "." in path:
                path = path.rpartition(".")[0]
                frozen[path] = frozen.get(path, True) and is_frozen
    return [
        path for path, is_frozen in frozen.items() if is_frozen and not any(frozen.get(outer) for outer in _outer(path))
    ]


def _outer(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _reached(graph: Graph, path: str) -> str:
    """The expression for a module or parameter. What lies inside a layer is looked up by name: a list is not typed."""
    node, *rest = path.split(".")
    place = next((index for index, part in enumerate(rest) if part.isdigit()), len(rest))
    if place == len(rest):
        return path
    if place == len(rest) - 1:
        return f"{node}.{'.'.join(rest[:-1])}[{rest[-1]}]"
    parameter = any(f"{node}.{found.path}" == path for found in graph.nodes[node].spec.parameters())
    return f'get_{"parameter" if parameter else "submodule"}("{path}")'
