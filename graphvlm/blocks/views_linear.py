"""Finished view models of linear attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .expressions import Fields, activated, norm_expression
from .settings import LayerKind
from .settings_linear import Delta, Fading, Linear
from .views_ops import Given


@dataclass(frozen=True, slots=True)
class DeltaView:
    """One `GatedDeltaNet` class; `repeated` if several values share a query and a key.

    Its matrices are `apart` where ranks have some of the heads: of `tp`, or, of its tokens too, of `cp` (`context`).
    """

    name: str
    given: Given
    dim: str
    key_heads: str
    value_heads: str
    key_dim: str
    value_dim: str
    conv: str
    activation: str
    beta_max: str
    norm: str
    repeated: bool
    apart: bool
    tp: bool
    context: bool

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return activated(self.activation, value)


@dataclass(frozen=True, slots=True)
class FadingView:
    """One `FadingAttention` class; its matrices are `apart` where ranks have some of the heads."""

    name: str
    given: Given
    dim: str
    heads: str
    key_dim: str
    value_dim: str
    activation: str
    norm: str
    apart: bool
    tp: bool

    @property
    def values(self) -> str:
        """The width of the values of all heads."""
        return "values" if self.value_dim != self.key_dim else "keys"

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return activated(self.activation, value)


LinearView: TypeAlias = DeltaView | FadingView


def linear_view(op: Linear, kind: LayerKind, fields: Fields, given: Given, tp: int) -> LinearView:
    """The view of one linear attention; its name is set by the caller."""
    return _delta(op, kind, fields, given, tp) if isinstance(op, Delta) else _fading(op, kind, fields, given, tp)


def _delta(op: Delta, kind: LayerKind, fields: Fields, given: Given, tp: int) -> DeltaView:
    key_heads = fields.add("linear_key_heads", op.key_heads, kind.name)
    key_dim = fields.add("linear_key_dim", op.key_dim, kind.name)
    repeated, wide = op.value_heads != op.key_heads, op.value_dim != op.key_dim
    value_dim = fields.add("linear_value_dim", op.value_dim, kind.name) if wide else key_dim
    return DeltaView(
        name="",
        given=given,
        dim="config.dim",
        key_heads=key_heads,
        value_heads=fields.add("linear_value_heads", op.value_heads, kind.name) if repeated else key_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        conv=fields.add("conv_size", op.conv, kind.name),
        activation=op.activation,
        beta_max=fields.add("beta_max", op.beta_max, kind.name) if op.beta_max != 1 else "",
        norm=norm_expression(op.norm, value_dim, fields.eps(op.norm, kind, "linear_norm_eps")),
        repeated=repeated,
        apart=op.apart,
        tp=tp > 1,
        context=op.context,
    )


def _fading(op: Fading, kind: LayerKind, fields: Fields, given: Given, tp: int) -> FadingView:
    key_dim = fields.add("linear_key_dim", op.key_dim, kind.name)
    wide = op.value_dim != op.key_dim
    eps = fields.eps(op.norm, kind, "linear_norm_eps")
    return FadingView(
        name="",
        given=given,
        dim="config.dim",
        heads=fields.add("linear_heads", op.heads, kind.name),
        key_dim=key_dim,
        value_dim=fields.add("linear_value_dim", op.value_dim, kind.name) if wide else key_dim,
        activation=op.activation,
        norm=norm_expression(op.norm, "values" if wide else "keys", eps),
        apart=op.apart,
        tp=tp > 1,
    )
