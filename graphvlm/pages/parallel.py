"""The view of `parallel.py`: which module is sharded how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..code import quoted
from ..ir import Graph, Node
from ..sharding import fsdp_unit, tied_tables
from ..splits import Style
from ..staging import degree
from . import blanks
from .blanks import Blanks
from .model import ModelView
from .node_plan import NodePlan, Told, is_narrow, plan_of


@dataclass(frozen=True, slots=True)
class Spread:
    """A node that has different images on each rank of a mesh: its module, and what is gathered at once, the inner
    first."""

    module: str
    units: tuple[str, ...]
    mesh: str


@dataclass(frozen=True, slots=True)
class ParallelView:
    """Everything on the page of `parallel.py`.

    FSDP gathers each layer of the `stacks` by itself, then each of the `units`, modules without those inside them; what
    is in none of these goes with the model. The weights of `kept` stay gathered until the backward pass, for a head
    reads them too. Nodes of `spread` encode other images on each rank of a tensor-parallel group.
    Experts lie on different ranks of the axes `mixtures`. Layers of `again` run a second time in the backward pass.
    Some nodes are split over the `narrow` degrees, less than the mesh has. The loss sums over the vocabulary of the
    node `summed`, of which ranks have parts, at the tokens that are `counted` or at all.
    With `staged`, ranks of `pp` have different layers.
    """

    mesh: tuple[tuple[str, int], ...]
    plans: tuple[NodePlan, ...]
    stacks: tuple[str, ...]
    units: tuple[str, ...]
    kept: tuple[str, ...]
    spread: tuple[Spread, ...]
    freeze: bool
    mixtures: str
    again: tuple[str, ...]
    methods: tuple[str, ...]
    inner: tuple[tuple[str, str], ...]
    blanks: Blanks | None
    narrow: tuple[int, ...]
    summed: str
    counted: bool
    staged: bool

    @property
    def styled(self) -> bool:
        """Whether modules of a stage get styles, over `tp` or `cp`."""
        return self.split or any(plan.context for plan in self.plans)

    @property
    def of_stages(self) -> tuple[str, ...]:
        """What is imported from `stages.py`."""
        return (*(("Elsewhere",) * bool(self.summed)), "keep_stage", *(("lay_out",) * self.styled))

    @property
    def layers_again(self) -> tuple[str, ...]:
        """The layers that run again."""
        return tuple(f"model.{name}.layers" for name in self.again)

    @property
    def called(self) -> bool:
        """Whether there are functions that are given others."""
        some = bool(self.styles & {"some", "at_least_one"})
        return bool(self.spread or self.mixtures or self.blanks or self.summed or self.parts or some)

    @property
    def torch(self) -> tuple[str, ...]:
        """What is imported from `torch`."""
        modules = bool(self.spread or self.own_styles or self.summed or self.blanks)
        return (*(("Tensor",) if self.called or self.hooked else ()), *(("nn",) if modules else ()))

    @property
    def _attended(self) -> bool:
        """Whether some layers attend to what a batch may not have."""
        return self.blanks is not None and bool(self.blanks.attending)

    @property
    def styles(self) -> frozenset[Style]:
        """All kinds of styles in use."""
        return frozenset().union(*(plan.styles for plan in self.plans))

    @property
    def split(self) -> bool:
        """Whether something is split over `tp`."""
        return any(plan.block or plan.own for plan in self.plans)

    @property
    def sequence(self) -> bool:
        """Whether ranks share the tokens between sublayers of some node."""
        return any(plan.sequence for plan in self.plans)

    @property
    def by_width(self) -> bool:
        """Whether ranks of `dp` share each expert of some mixture."""
        return any(plan.by_width for plan in self.plans)

    @property
    def joined(self) -> tuple[str, ...]:
        """The axes that weights are in parts over together."""
        return tuple(axis for axis, _ in self.mesh if axis in ("dp", "ep", "cp"))

    @property
    def replicate(self) -> bool:
        """Whether there are groups of ranks that have the same parts."""
        return "replicate" in dict(self.mesh)

    @property
    def data(self) -> str:
        """The mesh that weights are sharded over."""
        return "data" if self.replicate or len(self.joined) > 1 else 'mesh["dp"]'

    @property
    def data_lines(self) -> tuple[str, ...]:
        """The lines that make it, if it is not an axis of the mesh."""
        if len(self.joined) > 1:
            joined = f'data = mesh[{", ".join(map(quoted, self.joined))}]._flatten("data")'
            return (joined, 'data = mesh["replicate", "data"]') if self.replicate else (joined,)
        return ('data = mesh["replicate", "dp"]',) if self.replicate else ()

    @property
    def axes(self) -> str:
        """The axes that a mesh must have, or may have, in words."""
        wanted = {"replicate", "dp", "ep", "cp"}
        needed = [quoted(axis) for axis, _ in self.mesh if axis in wanted or (axis == "tp" and self.divided)]
        if needed and (self.replicate or len(self.joined) > 1):
            *most, last = needed
            return f"axes {', '.join(most)} and {last}"
        return 'axes "dp" and "tp", or one of them' if self.divided else 'axis "dp"'

    @property
    def divided(self) -> bool:
        """Whether something is split or shared out over `tp`."""
        return self.split or bool(self.spread)

    @property
    def nested(self) -> bool:
        """Whether a mesh has several axes beside `tp`."""
        return self.replicate or len(self.joined) > 1

    @property
    def parts(self) -> frozenset[str]:
        """The styles by which tokens are shared out over `cp`."""
        found = frozenset(style for plan in self.plans for _, style in plan.context)
        return found | {"OwnHeads()" for plan in self.plans if plan.relative}

    @property
    def told(self) -> Told | None:
        """What layers are told of their tokens, where ranks have some of these each; None if nothing."""
        return next((plan.told for plan in self.plans if plan.told), None)

    @property
    def added(self) -> str:
        """Whether tokens to which something is added between layers are shared out, by `sequence` or by `context`."""
        return next(("sequence" if plan.sequence else "context" for plan in self.plans if plan.added), "")

    @property
    def source(self) -> str:
        """The module that knows what tokens see of a port, if that is part of it."""
        return next((plan.told.source for plan in self.plans if plan.told), "")

    @property
    def in_turn(self) -> bool:
        """Whether modules have several styles."""
        return any(style.startswith("InTurn(") for plan in self.plans for _, style in plan.block)

    @property
    def own_styles(self) -> bool:
        """Whether there are styles that torch does not have."""
        return self.hooked or "parts" in self.styles or bool(self.parts)

    @property
    def hooked(self) -> bool:
        """Whether some of these see what goes through a module."""
        return bool(
            self.mixtures
            or self.parts
            or self.styles
            & {"repeated", "shared", "experts", "gathered", "between", "some", "at_least_one", "own_inputs", "tied"}
        )

    @property
    def tensors(self) -> tuple[str, ...]:
        """What is imported from `torch.distributed.tensor`."""
        found = {"DTensor", "Replicate", "Shard"} if self.spread else set[str]()
        if any("Replicate()" in style for plan in self.plans for _, style in plan.own):
            found |= {"Replicate"}
        if self.styles & {"parts", "experts"}:
            found |= {"Replicate", "Shard", "distribute_tensor"}
        if self.styles & {"shared", "experts", "repeated"}:
            found |= {"DTensor", "Partial", "Replicate"}
        if "repeated" in self.styles:
            found |= {"distribute_tensor"}
        if self.summed:
            found |= {"DTensor", "Partial"}
        found |= {"DTensor"} if self.split and self._attended else set()
        if "tied" in self.styles:
            found |= {"DTensor", "Replicate"}
        if self.styles & {"gathered", "between", "some"}:
            found |= {"DTensor", "Replicate", "Shard"}
        if self.styles & {"all_heads", "own_heads"}:
            found |= {"Replicate", "Shard"}
        if self.parts:
            found |= {"DTensor", "Replicate", "Shard"}
        if self.parts & {"AllKeys()", "AllOfSome()"}:
            found |= {"Partial"}
        if self.mixtures:
            found |= {"Shard", "distribute_tensor"}
        if "tp" in self.mixtures:
            found |= {"DTensor", "Partial", "Replicate"}
        return tuple(sorted(found, key=lambda name: (name.islower(), name)))

    @property
    def parallels(self) -> tuple[str, ...]:
        """What is imported from `torch.distributed.tensor.parallel`."""
        found = {"ParallelStyle"} if self.plans else set[str]()
        if self.plans and (self.mixtures or not self.staged):
            found |= {"parallelize_module"}
        names: tuple[tuple[Style, str], ...] = (
            ("column", "ColwiseParallel"),
            ("row", "RowwiseParallel"),
            ("scattered", "RowwiseParallel"),
            ("vocabulary", "RowwiseParallel"),
            ("heads", "SequenceParallel"),
            ("tokens", "SequenceParallel"),
            ("all_heads", "PrepareModuleInputOutput"),
            ("own_heads", "PrepareModuleOutput"),
        )
        found |= {name for style, name in names if style in self.styles}
        return tuple(sorted(found, key=lambda name: (name.islower(), name)))


def make(graph: Graph, view: ModelView, inner: tuple[tuple[str, str], ...]) -> ParallelView:
    """The view for a graph after its passes; `inner` methods of its nodes are called besides `forward`."""
    tied, together = tied_tables(graph), _together(graph)
    sharded = [node for node in graph.owners if not node.spread]
    mesh = graph.parallelism.mesh
    plans = tuple(plan for node in graph.owners if (plan := plan_of(node, mesh, view.in_parts)))
    return ParallelView(
        mesh=tuple(mesh.items()),
        plans=plans,
        stacks=tuple(node.name for node in sharded if _has_layers(node) and node.name not in together),
        units=tuple(f"model.{unit}" for node in sharded if node.name not in tied | together for unit in _units(node)),
        kept=tuple(f"model.{node.name}" for node in graph.owners if node.name in tied),
        spread=tuple(_spread(node, mesh) for node in graph.owners if node.spread),
        methods=view.methods,
        inner=inner,
        freeze=bool(graph.freeze) and any({"heads", "tokens"} & plan.styles for plan in plans),
        mixtures=_mixtures(graph),
        again=tuple(node.name for node in graph.owners if node.recompute and node.spec.stack and node.spec.stack.order),
        blanks=blanks.make(graph, view.encoders),
        narrow=tuple(sorted({node.tensor_parallel for node in graph.owners if is_narrow(node, mesh)})),
        summed=view.decoder if view.in_parts else "",
        counted=not view.keep,
        staged=degree(graph) > 1,
    )


def _mixtures(graph: Graph) -> str:
    """The axes of the mesh that experts lie on; empty if all ranks of a group have all."""
    spread = [node for node in graph.owners if node.expert_parallel > 1]
    return "" if not spread else '"ep", "tp"' if any(node.tensor_parallel > 1 for node in spread) else '"ep"'


def _has_layers(node: Node) -> bool:
    return bool(node.fsdp and node.spec.stack and node.spec.stack.order)


def _spread(node: Node, mesh: Mapping[str, int]) -> Spread:
    module = f"model.{node.name}"
    over = f"groups_of_{node.tensor_parallel}[axes]" if is_narrow(node, mesh) else "mesh"
    return Spread(module, (*((f"*{module}.layers",) if _has_layers(node) else ()), module), over)


def _together(graph: Graph) -> frozenset[str]:
    """The nodes whose modules have weights together with others: these are gathered with the model as a whole."""
    tied = {name for node in graph.owners if node.tie for name in (node.name, node.tie.to)}
    own = {node.name for node in graph.owners if node.spec.stack and node.spec.stack.shared}
    # A teacher is laid out as what it follows.
    return frozenset(tied | own | {node.name for node in graph.owners if node.follows in own})


def _units(node: Node) -> tuple[str, ...]:
    """The modules of a node that are gathered by themselves, the inner one first."""
    found = {fsdp_unit(node, parameter.path) for parameter in node.spec.parameters()}
    return tuple(sorted((unit for unit in found if ".layers." not in unit), reverse=True))
