"""What an export would hold, without weights and without writing: programs, shapes, operators, memory."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from ...cache import imported
from ...ir import Graph
from .. import plan as plans
from ..blame import blamed
from ..samples import drawn_samples
from ..sizes import CACHE, ranges
from ..tracing import trace
from .convert import convert, operators
from .export import Options, Say, described


def survey(graph: Graph, options: Options, say: Say) -> dict[str, Any]:
    """As in a manifest, of a model on meta: it takes no memory, whatever its size; and where each operator comes from.

    Raises GraphError for a module that cannot be traced.
    """
    plan = plans.make(graph)
    found = ranges(plan, options.ranges)
    package = imported(graph)
    with torch.device("meta"):
        model = package.Model().to(getattr(torch, options.dtype)).eval()
    programs = []
    with blamed(graph, model):
        for program in trace(plan, model, package, drawn_samples(plan, model, options.seed)):
            say(f"{program.name}: traced")
            made = convert(program, options.opset)
            programs.append(described(program, operators(made.model), ()) | {"sources": made.sources})
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    slot = sum(_slot(each) for program in programs if program["name"] == "decode" for each in program["inputs"])
    most = found["batch"].most * found[CACHE].most if slot else 0
    return {
        "graph": plan.graph.name,
        "dtype": options.dtype,
        "limits": {name: [each.least, each.usual, each.most] for name, each in found.items()},
        "programs": programs,
        "memory": {"weights": weights, "cache_per_token": slot, "cache_at_most": slot * most},
    }


def _slot(value: dict[str, Any]) -> int:
    """Bytes of one slot of a row in a part of the cache."""
    if CACHE not in value["shape"]:
        return 0
    size = torch.empty(0, dtype=getattr(torch, value["dtype"])).element_size()
    return size * prod(each for each in value["shape"] if isinstance(each, int))
