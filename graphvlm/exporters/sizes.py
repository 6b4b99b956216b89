"""Numbers for open sizes: ranges that a program is meant for, and those of one call. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..components.sampler.candidates import Candidates
from ..dims import Dim, Many, Sum, Var
from ..ir import Graph
from .plan import Plan

# The least, the usual and the largest number, by the name of an open size.
_RANGES: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "batch": (1, 1, 8),
        "images": (1, 1, 8),
        "tiles": (1, 4, 32),
        "clips": (1, 1, 8),
        "height": (28, 448, 1792),
        "width": (28, 448, 1792),
        "tokens": (1, 256, 4096),
        "patches": (1, 1024, 16384),
        "depth": (1, 4, 16),
    }
)
_OTHERS = (1, 4, 64)
MOST_TOKENS = 4096
CACHE = "cache"


@dataclass(frozen=True, slots=True)
class Range:
    """From `least` to `most`; what is fast is `usual`."""

    least: int
    usual: int
    most: int


def ranges(plan: Plan, wanted: Mapping[str, Range] = MappingProxyType({})) -> dict[str, Range]:
    """A range for each open size of a plan, by its name. Sequences are as long as the graph says that they may be."""
    longest = _longest(plan.graph, plan.view.decoder)
    found = {}
    for name in (*plan.names.values(), *((CACHE,) if plan.generates else ())):
        word = name.rstrip("_0123456789")
        if word in ("seq", CACHE):
            found[name] = Range(2, min(512, longest), longest)
        else:
            found[name] = Range(*_RANGES.get(word, _OTHERS))
    for key, top in candidates(plan.graph).items():
        made = found[plan.names[key]]
        found[plan.names[key]] = Range(max(made.least, top), max(made.usual, top), max(made.most, 4 * top))
    return {name: wanted.get(name, made) for name, made in found.items()}


def candidates(graph: Graph) -> dict[str, int]:
    """How long lists are at least that so many are chosen from, by the keys of variables."""
    found: dict[str, int] = {}
    for node in graph.nodes.values():
        if isinstance(node.spec, Candidates):
            size = node.signature.inputs["tokens" if node.spec.texts else "features"].shape[0]
            if isinstance(size, Var):
                found[size.key] = max(found.get(size.key, 1), node.spec.top)
    return found


def _longest(graph: Graph, decoder: str) -> int:
    """Positions of the decoder; without `limits.tokens` not more than what a machine is likely to bear."""
    if graph.max_tokens is not None:
        return max(2, graph.max_tokens)
    positions = getattr(graph.nodes[decoder].spec, "max_tokens", None) if decoder else None
    return max(2, min(positions or MOST_TOKENS, MOST_TOKENS))


def evaluate(dim: Dim | Many, numbers: Mapping[str, int]) -> int:
    """The number that a size comes to; `numbers` by the keys of variables."""
    if isinstance(dim, Var):
        return numbers[dim.key]
    if isinstance(dim, Many):
        return dim.count * numbers[dim.var.key]
    return sum(evaluate(term, numbers) for term in dim.terms) if isinstance(dim, Sum) else dim
