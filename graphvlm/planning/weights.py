"""The weights of each node as they lie on one rank: split by tensor parallelism, sharded by FSDP, trained or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from ..blocks.parameters import Parameter
from ..blocks.settings import Mlp, Sublayer
from ..ir import Graph, Node
from ..keys import starred
from ..sharding import fsdp_unit
from ..splits import Way, by_width, splits, spread_experts


@dataclass(frozen=True, slots=True)
class Weight:
    """One parameter: its numbers in the whole model, on a tensor-parallel rank, and on one rank after sharding.

    `unit` is the module that FSDP gathers it with, over the `ranks` of `axis` (or of several: `dp ep`). `per_token`
    says whether each token meets all of it in a product; `share` is the part that it does meet, of experts.
    """

    node: str
    path: str
    count: int
    held: int
    stored: int
    trained: bool
    unit: str
    axis: str
    ranks: int
    per_token: bool
    share: float = 1.0


def weights(graph: Graph) -> tuple[Weight, ...]:
    """All parameters of the model. A rank's shard is that of the first rank, which is as large as any."""
    lasting = [freeze for freeze in graph.freeze if freeze.until is None]
    whole = frozenset(name for freeze in lasting for name in freeze.nodes)
    frozen = frozenset(path for freeze in lasting for path in freeze.parameters)
    mesh = graph.parallelism.mesh
    found = []
    for node in graph.owners:
        ways = splits(node)
        spread = spread_experts(node)
        for parameter in node.spec.parameters():
            own = f"{node.name}.{parameter.path}"
            pieces = [f"{node.name}.{piece.path}" for piece in parameter.pieces]
            kept = node.name in whole or own in frozen or all(piece in frozen for piece in pieces)
            shape = _local(parameter, ways, node.tensor_parallel)
            module = parameter.path.rpartition(".")[0]
            expert = starred(module)[0].removeprefix("layers.*.") in spread
            if expert:
                shape = (shape[0] // mesh["ep"], *shape[1:])
            axis = "tp" if node.spread else "dp" if expert else samples(mesh)
            cut = (
                0
                if not (expert and by_width(node, mesh))
                else 1
                if parameter.path.endswith(".down")
                else len(shape) - 1
            )
            ranks = node.groups if node.spread else ranks_of(mesh, axis)
            stored = tuple(-(-size // ranks) if place == cut else size for place, size in enumerate(shape))
            own_weight = node.tie is None or node.tie.keeps(parameter.path)  # what is tied is counted where it is
            found.append(
                Weight(
                    node=node.name,
                    path=parameter.path,
                    count=parameter.count if own_weight else 0,
                    held=prod(shape),
                    stored=prod(stored) if own_weight else 0,
                    trained=not (kept or parameter.fixed),
                    unit=f"{node.name}.{module}" if expert else fsdp_unit(node, parameter.path),
                    axis=axis,
                    ranks=ranks,
                    per_token=_is_matrix(node, parameter),
                    share=_share(node, parameter) * (mesh["ep"] if expert else 1),
                )
            )
    return tuple(found)


def samples(mesh: Mapping[str, int]) -> str:
    """The axes that weights are in parts over together."""
    return " ".join(("dp", *(axis for axis in ("ep", "cp") if mesh.get(axis, 1) > 1)))


def ranks_of(mesh: Mapping[str, int], axes: str) -> int:
    """How many ranks axes have together: `dp`, or `dp ep`; those that a mesh lacks have one."""
    return prod(mesh.get(axis, 1) for axis in axes.split())


def _local(parameter: Parameter, ways: dict[str, Way], tp: int) -> tuple[int, ...]:
    """The shape on a tensor-parallel rank."""
    module, _, leaf = parameter.path.rpartition(".")
    way = ways.get(starred(module)[0])
    axis: int | None = None
    if way and way.style in ("column", "vocabulary"):
        axis = 0
    elif way and way.style in ("row", "scattered") and leaf == "weight":
        axis = 1
    elif way and way.axes:
        axis = dict(way.axes).get(leaf)
    if module.endswith("relative.table") and axis is not None:  # a number for each head
        axis = 1
    return tuple(-(-size // tp) if place == axis else size for place, size in enumerate(parameter.made))


# Tables that are looked up, and convolutions of each channel by itself, are no products of tokens with a matrix.
_TABLES = ("position.weight", "rel_rows", "rel_columns")


def _is_matrix(node: Node, parameter: Parameter) -> bool:
    if node.type == "token_embedding" or len(parameter.shape) < 2 or parameter.path.endswith(_TABLES):
        return False
    return parameter.path.endswith(".weight") or parameter.stacked


def _share(node: Node, parameter: Parameter) -> float:
    """How much of a weight one token meets: all of it, but of experts those that it chooses, or that choose it."""
    sublayer = sublayer_of(node, parameter.path)
    moe = sublayer.op.moe if parameter.stacked and sublayer and isinstance(sublayer.op, Mlp) else None
    if moe is None:
        return 1.0
    return moe.top / moe.experts if moe.router.capacity is None else moe.router.capacity


def sublayer_of(node: Node, path: str) -> Sublayer | None:
    """The sublayer that a module or parameter of a node is in, if it is in one."""
    words = path.split(".")
    if node.spec.stack is None or words[0] != "layers":
        return None
    kind = node.spec.stack.kinds[node.spec.stack.order[int(words[1])]]
    return next((sublayer for sublayer in kind.sublayers if sublayer.name == words[2]), None)
