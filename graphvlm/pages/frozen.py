"""The lines of `model.py` that freeze parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..code import display
from ..ir import Freeze, Graph


def lines(graph: Graph) -> Iterator[str]:
    """The statements of `Model.freeze`: what stays frozen longest comes last, and so has the last word."""
    for freeze in sorted(graph.freeze, key=lambda each: math.inf if each.until is None else each.until):
        call = f"requires_grad_({'False' if freeze.until is None else f'step >= {freeze.until}'})"
        whole = [name for name in freeze.nodes if graph.nodes[name].parameter_count or graph.nodes[name].imported]
        inside: dict[tuple[str, str], list[int]] = {}
        for path in (*whole, *_frozen_modules(graph, freeze)):
            stack, index, rest = _split(path)
            if rest:
                inside.setdefault((stack, rest), []).append(index)
            else:
                yield f"self.{stack}[{index}].{call}" if stack else f"self.{path}.{call}"
        for (stack, layers), rests in _loops(inside).items():
            yield from _loop(graph, stack, layers)
            for rest in rests:
                yield f"    layer.{_lookup(graph, f'{stack}.{layers[0]}.{rest}', rest)}.{call}"


def _loops(inside: dict[tuple[str, str], list[int]]) -> dict[tuple[str, tuple[int, ...]], list[str]]:
    """(stack, layers) -> what is frozen in each of them."""
    found: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (stack, rest), layers in inside.items():
        found.setdefault((stack, tuple(layers)), []).append(rest)
    return found


def _split(path: str) -> tuple[str, int, str]:
    """(stack, layer, path in the layer): `llm.layers.3.attn.wo` -> (`llm.layers`, 3, `attn.wo`)."""
    parts = path.split(".")
    place = next((index for index, part in enumerate(parts) if part.isdigit()), 0)
    return (".".join(parts[:place]), int(parts[place]), ".".join(parts[place + 1 :])) if place else ("", 0, "")


def _lookup(graph: Graph, path: str, rest: str) -> str:
    """By name: what is in a layer is not typed."""
    node, _, inside = path.partition(".")
    parameter = any(found.path == inside for found in graph.nodes[node].parameters)
    return f'get_{"parameter" if parameter else "submodule"}("{rest}")'


def _loop(graph: Graph, stack: str, layers: tuple[int, ...]) -> tuple[str, ...]:
    """The head of a loop over the layers with these numbers."""
    found = graph.nodes[stack.partition(".")[0]].spec.stack
    if found and layers == tuple(range(len(found.order))):
        return (f"for layer in self.{stack}:",)
    if layers == tuple(range(layers[0], layers[-1] + 1)):
        return (f"for layer in self.{stack}[{layers[0] or ''}:{layers[-1] + 1}]:",)
    head = display("for i in ", tuple(map(str, layers)), "[]", 8, ":").lstrip()
    return head, f"    layer = self.{stack}[i]"


def _frozen_modules(graph: Graph, freeze: Freeze) -> list[str]:
    """What a pattern over parameter paths freezes: the outermost modules that are frozen whole, else parameters."""
    chosen = set(freeze.parameters)
    frozen: dict[str, bool] = {}
    for node in graph.owners:
        for parameter in node.parameters:
            path = f"{node.name}.{parameter.path}"
            is_frozen = path in chosen or all(f"{node.name}.{piece.path}" in chosen for piece in parameter.pieces)
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
