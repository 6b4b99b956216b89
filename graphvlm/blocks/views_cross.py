"""Finished view models of attention over an input port: its class, and how what it reads is prepared once for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .expressions import Fields, bias_argument, norm_expression
from .settings import Attention, Cross, LayerKind, Stack
from .views_ops import Given


@dataclass(frozen=True, slots=True)
class CrossView:
    """One `CrossAttention` class. Sizes are expressions over `config`. `masked` if not every key is always seen.

    `own` if the tokens themselves are read too. If that is given directly, `reads` is what the class is given besides
    its tokens, and `seen` the mask among it.
    """

    name: str
    port: str
    source_dim: str
    heads: str
    kv_heads: str
    head_dim: str
    grouped: bool
    masked: bool
    q_bias: str
    k_bias: str
    v_bias: str
    o_bias: str
    q_norm: str
    k_norm: str
    norm_heads: bool
    scale: str
    kv_norm: str
    own: bool
    reads: tuple[tuple[str, str], ...]
    given: Given
    tp: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward` where what is read is given directly."""
        return ("self", "x: Tensor", *(f"{name}: {type_}" for name, type_ in self.reads))

    @property
    def seen(self) -> str:
        """The mask among what is read; empty if every key is always seen."""
        return self.reads[1][0] if self.masked else ""

    @property
    def placed(self) -> frozenset[str]:
        """The fixed positions among what is read."""
        return frozenset(name for name, _ in self.reads) & {"query_places", "key_places"}


@dataclass(frozen=True, slots=True)
class SourceView:
    """What is read at one port: the ports of its masks, and whether there may be nothing."""

    port: str
    visible: str
    present: str
    each: bool
    optional: bool
    rows: bool

    @property
    def masked(self) -> bool:
        """Whether not every key is always seen."""
        return bool(self.visible or self.present)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Everything that comes in for it."""
        return tuple(filter(None, (self.port, self.visible, self.present)))


def cross_view(op: Attention, cross: Cross, kind: LayerKind, fields: Fields, given: Given, *, tp: int) -> CrossView:
    """The view of one attention over a port; its name is set by the caller."""
    heads = fields.add("heads", op.heads, "cross")
    grouped = op.kv_heads != op.heads
    kv_heads = fields.add("kv_heads", op.kv_heads, "cross") if grouped else heads
    head_dim = fields.add("head_dim", op.head_dim, "cross")
    q_norm = k_norm = ""
    if op.qk_norm:
        eps = fields.eps(op.qk_norm, kind, "cross_qk_norm_eps")
        widths = (head_dim, head_dim) if op.norm_heads else (f"{heads} * {head_dim}", f"{kv_heads} * {head_dim}")
        q_norm, k_norm = (norm_expression(op.qk_norm, width, eps) for width in widths)
    source_dim = "config.dim" if cross.own else fields.add(f"{cross.port}_dim", cross.dim, kind.name)
    kv_norm = ""
    if cross.norm:
        kv_norm = norm_expression(cross.norm, source_dim, fields.eps(cross.norm, kind, "kv_norm_eps"))
    return CrossView(
        name="",
        port=cross.port,
        source_dim=source_dim,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        grouped=grouped,
        masked=is_masked(cross),
        q_bias=bias_argument(op.bias.q),
        k_bias=bias_argument(op.bias.k),
        v_bias=bias_argument(op.bias.v),
        o_bias=bias_argument(op.bias.o),
        q_norm=q_norm,
        k_norm=k_norm,
        norm_heads=op.norm_heads,
        scale="" if op.scale is None else fields.add("cross_scale", op.scale, kind.name),
        kv_norm=kv_norm,
        own=cross.own,
        reads=reads(cross) if given.direct else (),
        given=given,
        tp=tp > 1,
    )


def is_masked(cross: Cross) -> bool:
    """Whether not every key is always seen."""
    return bool(cross.visible or cross.present)


def reads(cross: Cross) -> tuple[tuple[str, str], ...]:
    """What an attention is given directly besides its tokens, with the types: what is at the port, a mask over it."""
    return (
        (cross.port, "Tensor"),
        *(((seen_name(cross), "Tensor"),) if is_masked(cross) else ()),
        *((name, "Tensor") for name in places_of(cross)),
    )


def places_of(cross: Cross) -> tuple[str, ...]:
    """The fixed positions of queries and of keys, as far as there are some."""
    return {"": (), "keys": ("key_places",), "both": ("query_places", "key_places")}[cross.placed]


def seen_name(cross: Cross) -> str:
    """The variable with the mask over a port, or over the port and the tokens."""
    return f"{cross.port}_own_seen" if cross.own else f"{cross.port}_seen"


def source_views(stack: Stack) -> tuple[SourceView, ...]:
    """What a stack reads besides its tokens."""
    rows = {sublayer.rows for kind in stack.kinds for sublayer in kind.sublayers}
    return tuple(
        SourceView(cross.port, cross.visible, cross.present, cross.each, stack.skipped(cross.port), cross.port in rows)
        for cross in stack.crossed
    )


def read_by(kind: LayerKind) -> frozenset[str]:
    """The ports that a kind of layer reads besides its tokens."""
    ops = (sublayer.op for sublayer in kind.sublayers)
    return frozenset(op.cross.port for op in ops if isinstance(op, Attention) and op.cross)


def source_types(stack: Stack, *, direct: bool) -> tuple[tuple[str, str], ...]:
    """The parameters through which blocks are given what they read besides their tokens, with their types."""
    return tuple(dict.fromkeys(_direct_types(stack)) if direct else _types(stack))


def _types(stack: Stack) -> Iterator[tuple[str, str]]:
    for view in source_views(stack):
        yield view.port, "Source | None" if view.optional else "Source"


def _direct_types(stack: Stack) -> Iterator[tuple[str, str]]:
    sublayers = [sublayer for kind in stack.kinds for sublayer in kind.sublayers]
    for sublayer in sublayers:
        if isinstance(sublayer.op, Attention) and sublayer.op.cross:
            yield from reads(sublayer.op.cross)
    yield from ((f"{sublayer.rows}_rows", "Tensor") for sublayer in sublayers if sublayer.rows)
