"""Finished view models of feed-forwards, of one network or of many experts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from .experts import Moe
from .expressions import Fields, activated, bias_argument
from .settings import LayerKind, Mlp, Stack


@dataclass(frozen=True, slots=True)
class MlpView:
    """One `MLP` class. The constructor of one that is `sized` is given its width, which is not the same everywhere."""

    name: str
    dim: str
    hidden: str
    sized: bool
    gated: bool
    merged: bool
    bias: str
    activation: str
    tp: bool
    clamp: str
    up_offset: str

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return activated(self.activation, value)


@dataclass(frozen=True, slots=True)
class MoeView:
    """One `MoE` class and its experts; `shared` constructs the feed-forward that all tokens go through.

    `aligned` if the widths suit the kernel that multiplies all experts at once.
    """

    name: str
    experts_class: str
    dim: str
    hidden: str
    experts: str
    top: str
    gated: bool
    activation: str
    score: str
    choice_bias: bool
    groups: str
    top_groups: str
    group_score: str
    normalize: bool
    scale: str
    projection_bias: bool
    scaled_input: bool
    bias: bool
    clamp: str
    up_offset: str
    shared: str
    shared_gate: bool
    aligned: bool
    capacity: str
    noise: bool
    tp: bool
    ep: bool

    @property
    def local(self) -> bool:
        """Whether a rank holds a part of the weights of the experts."""
        return self.tp or self.ep

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return activated(self.activation, value)


def mlp_view(op: Mlp, kind: LayerKind, fields: Fields, tp: int, *, hidden: str, sized: bool) -> MlpView:
    """The view of one feed-forward; `hidden` is the expression for its width. Named by the caller."""
    return MlpView(
        name="",
        dim="config.dim",
        hidden=hidden,
        sized=sized,
        gated=op.gated,
        merged=op.merged and op.gated,
        bias=bias_argument(op.bias),
        activation=op.activation,
        tp=tp > 1,
        **_bounds(op, kind, fields),
    )


def _bounds(op: Mlp, kind: LayerKind, fields: Fields) -> dict[str, str]:
    """What bounds and shifts the factors of a gated product: config fields."""
    return {
        "clamp": "" if op.clamp is None else fields.add("mlp_clamp", op.clamp, kind.name),
        "up_offset": fields.add("mlp_up_offset", op.up_offset, kind.name) if op.up_offset else "",
    }


def moe_view(op: Mlp, moe: Moe, kind: LayerKind, fields: Fields, *, dim: int, shared: str, tp: int) -> MoeView:
    """The view of one mixture of experts, whose shared feed-forward `shared` constructs; named by the caller."""
    router, grouped = moe.router, moe.router.top_groups < moe.router.groups
    choosing = router.capacity is not None
    hidden = fields.add("expert_hidden", op.hidden, kind.name)
    experts = fields.add("experts", moe.experts, kind.name)
    capacity = ""
    if router.capacity is not None:
        usual = router.capacity == 1 / moe.experts
        capacity = f"1 / {experts}" if usual else fields.add("capacity", router.capacity, kind.name)
    return MoeView(
        name="",
        experts_class="",
        dim="config.dim",
        hidden=hidden,
        experts=experts,
        top="" if choosing else fields.add("top_experts", moe.top, kind.name),
        gated=op.gated,
        activation=op.activation,
        score=router.score,
        choice_bias=router.bias,
        groups=fields.add("groups", router.groups, kind.name) if grouped else "",
        top_groups=fields.add("top_groups", router.top_groups, kind.name) if grouped else "",
        group_score=router.group_score,
        normalize=router.normalize,
        scale=fields.add("router_scale", router.scale, kind.name) if router.scale != 1 else "",
        projection_bias=router.projection_bias,
        scaled_input=router.apply == "input",
        bias=op.bias,
        shared=shared,
        shared_gate=moe.shared_gate,
        **_bounds(op, kind, fields),
        aligned=dim % _ALIGNED == 0 and op.hidden // tp % _ALIGNED == 0,
        capacity=capacity,
        noise=router.noise,
        tp=tp > 1,
        ep=moe.spread,
    )


def shared_by_all(op: Mlp, hidden: int) -> Mlp:
    """The feed-forward of a mixture of experts that all tokens go through, `hidden` wide."""
    return replace(op, hidden=hidden, moe=None)


def of_several_widths(stack: Stack) -> frozenset[Mlp]:
    """Feed-forwards, their width left out, that the stack has in several widths: one class serves them all."""
    ops = [sublayer.op for kind in stack.kinds for sublayer in kind.sublayers]
    mlps = [op for op in ops if isinstance(op, Mlp) and not op.by]
    plain = {op for op in mlps if op.moe is None}
    shared = {shared_by_all(op, op.moe.shared) for op in mlps if op.moe is not None and op.moe.shared}
    widths = Counter(replace(op, hidden=0) for op in plain | shared)
    return frozenset(op for op, number in widths.items() if number > 1)


# Rows of bfloat16 that the grouped product takes begin at multiples of 16 bytes.
_ALIGNED = 8
