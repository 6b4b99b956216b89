"""How one node is laid out: the styles of its modules, and what its layers are told of their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..blocks.segments import marked_segment
from ..blocks.settings import Attention, Mlp
from ..ir import Node
from ..splits import Part, Style, Way, by_width, contexts, differing, splits, spread_experts
from .arguments import cached


@dataclass(frozen=True, slots=True)
class Told:
    """What layers are told of their tokens, where ranks have some of these each.

    `sizes` say how many there are of each segment, or it is `marked` which are of one, and `real` which stand; with
    `rows`, some see nothing of a port. What each sees of it the module `source` knows. Inside of some operations these
    are for the `whole` sequence, and `cut` in front of their maps.
    """

    sizes: bool
    marked: bool
    real: bool
    rows: bool
    queries: bool
    whole: bool
    cut: bool
    source: str

    @property
    def flags(self) -> bool:
        """Whether there is a flag for each token."""
        return self.marked or self.real or self.rows or self.queries

    @property
    def cuts(self) -> bool:
        """Whether a layer cuts something."""
        return self.sizes or self.marked or self.real or self.rows

    @property
    def named(self) -> str:
        """The condition for flags, by their names."""
        if self.marked and self.real:
            return 'in ("marked", "real")'
        return '== "marked"' if self.marked else '== "real"' if self.real else ""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node under tensor parallelism: styles for modules of a layer and for its own, and what kinds they are of.

    `experts` are those of a layer that lie on different ranks of `ep`, and `by_width` if those of `dp` share each. With
    `sequence`, ranks share the tokens between sublayers. With `mixed`, not every layer has all of these modules.
    It is split over the ranks of the mesh `ranks`; those of `cp` have some tokens each, with the styles `context`, and
    the `relative` positions of their heads. Layers may be `told` more of their tokens, and
    something may be `added` between them.
    """

    name: str
    block: tuple[tuple[str, str], ...]
    own: tuple[tuple[str, str], ...]
    mixed: bool
    styles: frozenset[Style]
    experts: tuple[tuple[str, str], ...] = ()
    by_width: bool = False
    sequence: bool = False
    ranks: str = 'mesh["tp"]'
    context: tuple[tuple[str, str], ...] = ()
    relative: bool = False
    told: Told | None = None
    added: bool = False


def is_narrow(node: Node, mesh: Mapping[str, int]) -> bool:
    """Whether a node is split over some of the ranks of `tp`."""
    return 1 < node.tensor_parallel < mesh.get("tp", 1)


def plan_of(node: Node, mesh: Mapping[str, int], in_parts: bool) -> NodePlan | None:
    ways = splits(node)
    spread = spread_experts(node)
    ways = {path: way for path, way in ways.items() if path.removeprefix("layers.*.") not in spread}
    found = {path: _style(way) for path, way in ways.items()}
    if ways.get("head", Way("tied")).style != "tied":
        found["head"] = f"ColwiseParallel({'use_local_output=False' if in_parts else 'output_layouts=Replicate()'})"
    inside = "layers.*."
    block = tuple((path.removeprefix(inside), style) for path, style in found.items() if path.startswith(inside))
    own = tuple((path, style) for path, style in found.items() if not path.startswith(inside))
    styles = frozenset(way.style for way in ways.values())
    if any(way.style in AROUND and way.axes for way in ways.values()):
        styles |= {"parts"}
    context = tuple((path, _PARTS[part]) for path, part in contexts(node).items())
    experts = tuple((path, _style(way, spread=True, split=node.tensor_parallel > 1)) for path, way in spread.items())
    if not (found or experts or context):
        return None
    return NodePlan(
        node.name,
        block,
        own,
        differing(node),
        styles,
        experts,
        by_width=bool(experts) and by_width(node, mesh),
        sequence=node.sequence,
        ranks=f'groups_of_{node.tensor_parallel}["part"]' if is_narrow(node, mesh) else 'mesh["tp"]',
        context=context,
        relative=bool(context) and getattr(node.spec, "relative", None) is not None,
        told=_told(node),
        added=any(port.startswith("inject_") for port in node.inputs) and (node.sequence or node.context > 1),
    )


def _told(node: Node) -> Told | None:
    stack = node.spec.stack
    if stack is None or not (node.sequence or node.context > 1):
        return None
    sublayers = [sublayer for kind in stack.kinds for sublayer in kind.sublayers]
    by = [type(s.op) for s in sublayers if isinstance(s.op, Attention | Mlp) and s.op.by]
    rows, marked = any(s.rows for s in sublayers), marked_segment(stack.segments) is not None
    queries = node.context > 1 and any(cross.visible for cross in stack.crossed)
    found = Told(
        sizes=stack.parted and not marked,
        marked=stack.parted and marked,
        real=stack.choosing and stack.parted,
        rows=rows,
        queries=queries,
        whole=Attention in by or (node.sequence and bool(by)),
        cut=Attention in by and node.context > 1,
        source="" if not rows else "generate" if cached(node) else node.name,
    )
    return found if stack.parted or found.flags else None


# What stands around an operation or a layer, which may have parameters of its own.
AROUND = frozenset(("gathered", "between", "some", "own_inputs"))

_PARTS: dict[Part, str] = {
    "all_tokens": "AllTokens()",
    "own_tokens": "OwnTokens()",
    "to_heads": "ToHeads()",
    "to_tokens": "ToTokens()",
    "all_keys": "AllKeys()",
    "own_heads": "OwnHeads()",
    "own_rates": "OwnHeads(axis=1)",
    "own_queries": "OwnQueries()",
    "own_inputs": "OwnInputs()",
    "all_of_some": "AllOfSome()",
}


def _style(way: Way, *, spread: bool = False, split: bool = False) -> str:
    """The expression for the style of a module, of experts on different ranks, which may be split too."""
    if spread and not split:
        return "SpreadExperts()"
    if way.style in ("heads", "tokens") and way.axis != 1:
        return f"SequenceParallel(sequence_dim={way.axis}, use_local_output=True)"
    axes = ", ".join(f"{name}={axis}" for name, axis in way.axes)
    found = {
        "column": "ColwiseParallel()",
        "row": "RowwiseParallel()",
        "scattered": "RowwiseParallel(output_layouts=Shard(1))",
        "tokens": "SequenceParallel(use_local_output=True)",
        "gathered": "Gathered()",
        "between": "Between()",
        "some": "Some()",
        "at_least_one": "AtLeastOne()",
        "own_inputs": "OwnInputs()",
        "vocabulary": "RowwiseParallel(input_layouts=Replicate())",
        "tied": "TiedHead()",
        "heads": "SequenceParallel(use_local_output=True)",
        "all_heads": "ALL_HEADS",
        "own_heads": "OWN_HEADS",
        "repeated": f"Repeated({way.heads})",
        "shared": "Shared()",
        "experts": f"SpreadExperts({axes})" if spread else f"SplitExperts({axes})",
        "parts": f"Parts({axes})",
    }[way.style]
    return f"InTurn(Parts({axes}), {found})" if way.style in AROUND and way.axes else found
