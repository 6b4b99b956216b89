"""From the settings of an indexer to an `Index`, and what cannot stand beside one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from .layer import Layer
from .parse_norm import make_norm, norm_settings
from .settings import Attention, Stack
from .settings_index import Index
from .settings_position import Rope

_AT = ("attention", "indexer")
_SHARED = "shared"


def with_index(attention: Attention, rope: Rope | None, layer: Layer) -> Attention | None:
    """The attention with its indexer, if the layer has one; None where that cannot be (and is noted)."""
    settings = layer.settings
    if not settings.has(*_AT):
        return attention
    if not _check_place(attention, layer):
        return None
    if settings.get(*_AT) == _SHARED:
        return replace(attention, follows=True)
    own = settings.child(*_AT)
    index = Index(
        heads=int(own.get("heads")),
        head_dim=int(own.get("head_dim")),
        top=int(own.get("top")),
        norm=make_norm(norm_settings({"type": "layer", "eps": _EPS}, own.get("norm"))),
        style=own.get("style", default=rope.style if rope else "half"),
    )
    if rope is not None and rope.dim > index.head_dim:
        layer.problems.clash(
            "bad-indexer",
            f"rotary positions of `{layer.inferred.node}` turn {rope.dim} numbers, and a head of its indexer is "
            f"{index.head_dim} wide",
            Label(settings.span(*_AT, "head_dim"), f"less than {rope.dim}"),
            *settings.labels("position", text="rotary positions"),
            help=f"write a `head_dim` of at least {rope.dim}",
        )
        return None
    if rope is None and own.has("style"):
        message = f"`style` of the indexer of `{layer.inferred.node}` is about rotary positions, and the layer has none"
        layer.problems.error("unread-setting", message, settings.span(*_AT, "style"), help="remove `style`")
        return None
    return replace(attention, index=index)


_EPS = 1e-6


def _check_place(attention: Attention, layer: Layer) -> bool:
    """Whether keys can be chosen in this stack: those of one sequence, one after another."""
    node, settings = layer.inferred.node, layer.settings
    if not layer.causal:
        message = f"`indexer` of `{node}` chooses among the tokens before a query, and here they all see each other"
        layer.problems.error("bad-indexer", message, settings.span(*_AT), help="remove `indexer`")
        return False
    if attention.by:
        layer.problems.clash(
            "bad-indexer",
            f"`indexer` of `{node}` has one set of weights, and each segment has weights of its own",
            Label(settings.span(*_AT), "the indexer"),
            Label(settings.span("attention", "weights_by"), "weights by segment"),
            help="remove `indexer` or `weights_by`",
        )
        return False
    return True


def check_choices(stack: Stack, layers: Sequence[Settings], node: str, problems: Problems) -> None:
    """Note the first of the `layers` that shares the choice of one before it where none has made one."""
    for number, (kind, settings) in enumerate(zip(stack.order, layers, strict=True)):
        attention = stack.attention(kind)
        if attention is not None and attention.index:
            return
        if attention is not None and attention.follows:
            message = f"layer {number} of `{node}` shares the choice of an indexer before it, and there is none"
            edit = "give an earlier layer an `indexer` of its own, under `layers.where`"
            problems.error("bad-indexer", message, settings.span(*_AT), help=edit)
            return
