"""The view of `parallel.py`: which module is sharded how."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Graph, Node
from ..sharding import fsdp_unit, splits, tied_tables


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node under tensor parallelism: styles for its own modules and for those of each sublayer of a layer.

    With `mixed`, not every layer has all of these sublayers.
    """

    name: str
    block: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    own: tuple[tuple[str, str], ...]
    mixed: bool

    @property
    def normed(self) -> bool:
        """Whether a norm sees only the heads of its rank."""
        return any(style == _STYLES["heads"] for _, modules in self.block for _, style in modules)


@dataclass(frozen=True, slots=True)
class Spread:
    """A node that has different images on each rank: its module, and what is gathered at once, the inner first."""

    module: str
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParallelView:
    """Everything on the page of `parallel.py`.

    FSDP gathers each layer of the `stacks` by itself, then each of the `units`, modules without those inside them; what
    is in none of these goes with the model. The weights of `kept` stay gathered until the backward pass, for a head
    reads them too. Nodes of `spread` encode other images on each rank of a tensor-parallel group.
    """

    mesh: tuple[tuple[str, int], ...]
    plans: tuple[NodePlan, ...]
    stacks: tuple[str, ...]
    units: tuple[str, ...]
    kept: tuple[str, ...]
    spread: tuple[Spread, ...]
    gathered: bool
    methods: tuple[str, ...]


def make(graph: Graph, methods: tuple[str, ...]) -> ParallelView:
    """The view for a graph after its passes; `methods` of the model are called besides `forward`."""
    tied, lent = tied_tables(graph), _lent(graph)
    sharded = [node for node in graph.owners if not node.spread]
    plans = tuple(plan for node in graph.owners if (plan := _plan(node)))
    return ParallelView(
        mesh=tuple(graph.parallelism.mesh.items()),
        plans=plans,
        stacks=tuple(node.name for node in sharded if _has_layers(node)),
        units=tuple(f"model.{unit}" for node in sharded if node.name not in tied for unit in _units(node, lent)),
        kept=tuple(f"model.{node.name}" for node in graph.owners if node.name in tied),
        spread=tuple(_spread(node) for node in graph.owners if node.spread),
        methods=methods,
        gathered=any("Replicate()" in style for plan in plans for _, style in plan.own),
    )


def _has_layers(node: Node) -> bool:
    return bool(node.fsdp and node.spec.stack and node.spec.stack.order)


def _spread(node: Node) -> Spread:
    module = f"model.{node.name}"
    return Spread(module, (*((f"*{module}.layers",) if _has_layers(node) else ()), module))


def _lent(graph: Graph) -> frozenset[str]:
    """Nodes with a weight that others read too, while the module is not called: it is gathered with the whole model."""
    refs = (ref for node in graph.nodes.values() for ref in node.inputs.values() if graph.port(ref).weight)
    return frozenset(graph.nodes[ref.name].module for ref in refs)


def _units(node: Node, lent: frozenset[str]) -> tuple[str, ...]:
    """The modules of a node that are gathered by themselves, the inner one first."""
    found = {fsdp_unit(node, parameter.path) for parameter in node.spec.parameters()} - lent
    return tuple(sorted((unit for unit in found if ".layers." not in unit), reverse=True))


def _plan(node: Node) -> NodePlan | None:
    found = {path: _STYLES[way] for path, way in splits(node).items()}
    if "head" in found:  # everybody reads all logits
        found["head"] = "ColwiseParallel(output_layouts=Replicate())"
    layer: dict[str, dict[str, str]] = {}
    for path, style in found.items():
        if path.startswith("layers.*."):
            sublayer, _, module = path.removeprefix("layers.*.").partition(".")
            layer.setdefault(sublayer, {})[module] = style
    own = tuple((path, style) for path, style in found.items() if not path.startswith("layers."))
    stack = node.spec.stack
    names = {frozenset(each.name for each in kind.sublayers) for kind in stack.kinds} if stack else set()
    block = tuple((sublayer, tuple(modules.items())) for sublayer, modules in layer.items())
    return NodePlan(node.name, block, own, mixed=len(names) > 1) if found else None


_STYLES = {
    "column": "ColwiseParallel()",
    "row": "RowwiseParallel()",
    "heads": "SequenceParallel(use_local_output=True)",
}
