"""Who learns in a random graph: all that is not frozen and that an output depends on."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from graphvlm.blocks.parameters import Parameter
from graphvlm.ir import Graph
from graphvlm.passes import apply_all, dead_layers


def check_gradients(graph: Graph, model: Any, output: Mapping[str, Tensor | None]) -> None:
    """Backward through all outputs, and who has a gradient then."""
    alive = {
        f"{name}.{path}"
        for name, node in dead_layers.apply(graph).nodes.items()
        for parameter in node.spec.parameters()
        for path in _names(parameter)
    }
    pieces = {
        f"{name}.{parameter.path}": [f"{name}.{path}" for path in _names(parameter)]
        for name, node in apply_all(graph).nodes.items()
        for parameter in node.spec.parameters()
    }
    total = sum(value.float().square().sum() for value in output.values() if value is not None and value.requires_grad)
    if isinstance(total, Tensor):
        torch.autograd.backward(total)
    imported = {node.name for node in graph.imported}
    for path, parameter in model.named_parameters():
        if path.split(".")[0] in imported:
            pieces[path] = [path]
            alive |= {path}  # a node that no output depends on is an error
        is_frozen = all(_frozen(graph, piece) for piece in pieces[path])
        assert parameter.requires_grad is not is_frozen, path
        learns = not is_frozen and any(piece in alive for piece in pieces[path])
        assert (parameter.grad is not None) is learns, path


def _names(parameter: Parameter) -> list[str]:
    """The paths by which `freeze` knows a parameter: merged matrices by their parts, experts only together."""
    return [parameter.path] if parameter.stacked else [piece.path for piece in parameter.pieces]


def _frozen(graph: Graph, path: str) -> bool:
    """Whether a parameter learns nothing before the first step."""
    node = path.split(".", maxsplit=1)[0]
    return (
        path.endswith(".router_bias")
        or ".attn.index." in path
        or any(  # which no gradient reaches
            fnmatchcase(node, found.pattern)
            or fnmatchcase(path, found.pattern)
            or fnmatchcase(path, f"{found.pattern}.*")
            for found in graph.freeze
        )
    )
