"""Finished view models of blocks for templates: class names, expressions and the config fields they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from ..code import WIDTH, Field, display, literal
from ..names import class_name
from .settings import Attention, LayerKind, Mlp, Norm, Rope, Stack

_ACTIVATIONS = {
    "gelu": "F.gelu({})",
    "gelu_tanh": 'F.gelu({}, approximate="tanh")',
    "quick_gelu": "quick_gelu({})",
    "silu": "F.silu({})",
    "relu": "F.relu({})",
}


@dataclass(frozen=True, slots=True)
class AttentionView:
    """One `Attention` class. Sizes are expressions over `config`."""

    name: str
    dim: str
    heads: str
    kv_heads: str
    head_dim: str
    merged: bool
    grouped: bool
    q_bias: str
    k_bias: str
    v_bias: str
    o_bias: str
    q_norm: str
    k_norm: str
    rope: bool
    cached: bool
    tp: bool

    @property
    def inner(self) -> str:
        return f"{self.heads} * {self.head_dim}"

    @property
    def kv_inner(self) -> str:
        return f"{self.kv_heads} * {self.head_dim}"

    @property
    def rows(self) -> str:
        """Rows of the merged projection."""
        return f"({self.heads} + 2 * {self.kv_heads}) * {self.head_dim}" if self.grouped else f"3 * {self.inner}"


@dataclass(frozen=True, slots=True)
class MlpView:
    """One `MLP` class."""

    name: str
    dim: str
    hidden: str
    gated: bool
    merged: bool
    bias: str
    activation: str
    tp: bool

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return _ACTIVATIONS[self.activation].format(value)


@dataclass(frozen=True, slots=True)
class SublayerView:
    """One line of a block: `x + attn(attn_norm(x))`."""

    name: str
    class_name: str
    norm: str
    extra: str


@dataclass(frozen=True, slots=True)
class BlockView:
    """One `Block` class."""

    name: str
    sublayers: tuple[SublayerView, ...]


@dataclass(frozen=True, slots=True)
class StackView:
    """All classes of a stack and how its `ModuleList` is filled."""

    config: str
    attentions: tuple[AttentionView, ...]
    mlps: tuple[MlpView, ...]
    blocks: tuple[BlockView, ...]
    pattern: str
    windows: str
    quick_gelu: bool
    fields: tuple[Field, ...]

    @property
    def split(self) -> bool:
        """Whether a merged projection is split into parts of different size."""
        return any(attention.merged and attention.grouped for attention in self.attentions)


class _Fields:
    """Config fields as they are met; a later kind of layer shares a field whose value is the same."""

    def __init__(self) -> None:
        self.found: dict[str, Field] = {}
        self._names: dict[tuple[str, str], str] = {}

    def add(self, name: str, value: int | float, prefix: str = "") -> str:
        """The expression that reads the field."""
        text = literal(value)
        known = self.found.get(name)
        own = name if known is None or known.value == text else f"{prefix}_{name}"
        own = self._names.setdefault((name, text), own)
        self.found[own] = Field(own, "float" if isinstance(value, float) else "int", text)
        return f"config.{own}"


def stack_view(stack: Stack, config: str, *, decoder: bool, rope: bool, tp: int) -> StackView:
    """The view of `stack` for a node whose config class is `config`."""
    fields = _Fields()
    fields.add("dim", stack.dim)
    fields.add("layers", len(stack.order))
    attentions: dict[AttentionView, AttentionView] = {}
    mlps: dict[MlpView, MlpView] = {}
    blocks: dict[BlockView, BlockView] = {}
    extra = ", ".join(name for name, on in (("rope", rope), ("mask", decoder), ("cache", decoder)) if on)
    of_kind, own = [], config.removesuffix("Config")
    for kind in stack.kinds:
        sublayers = []
        for sublayer in kind.sublayers:
            norm = norm_expression(sublayer.norm, "config.dim", _eps(fields, sublayer.norm, kind))
            if isinstance(sublayer.op, Attention):
                attention = attention_view(sublayer.op, kind, fields, rope=rope, decoder=decoder, tp=tp)
                name = _once(attentions, attention, "Attention", kind.name, own)
                sublayers.append(SublayerView(sublayer.name, name, norm, f", {extra}" if extra else ""))
            else:
                name = _once(mlps, mlp_view(sublayer.op, kind, fields, tp), "MLP", kind.name, own)
                sublayers.append(SublayerView(sublayer.name, name, norm, ""))
        of_kind.append(_once(blocks, BlockView("", tuple(sublayers)), "Block", kind.name, own))
    windows = stack.windows
    if decoder and len(set(windows)) > 1:
        head = "windows: tuple[int | None, ...] = "
        line = pattern(head, [literal(window) for window in windows], 4)
        fields.found["windows"] = Field("windows", "tuple[int | None, ...]", line.lstrip().removeprefix(head))
    elif decoder and windows[0]:
        fields.add("window", windows[0])
    return StackView(
        config=config,
        attentions=tuple(attentions.values()),
        mlps=tuple(mlps.values()),
        blocks=tuple(blocks.values()),
        pattern="" if len(blocks) <= 1 else pattern("kinds = ", [of_kind[index] for index in stack.order], 8),
        windows="mixed" if len(set(windows)) > 1 else "one" if any(windows) else "",
        quick_gelu=any(view.activation == "quick_gelu" for view in mlps),
        fields=tuple(fields.found.values()),
    )


def attention_view(
    op: Attention, kind: LayerKind, fields: _Fields, *, rope: bool, decoder: bool, tp: int
) -> AttentionView:
    """The view of one attention; its name is set by the caller."""
    heads = fields.add("heads", op.heads, kind.name)
    grouped = op.kv_heads != op.heads
    kv_heads = fields.add("kv_heads", op.kv_heads, kind.name) if grouped else heads
    head_dim = fields.add("head_dim", op.head_dim, kind.name)
    qk = ""
    if op.qk_norm:
        eps = _eps(fields, op.qk_norm, kind, "qk_norm_eps")
        qk = norm_expression(op.qk_norm, head_dim, eps)
    return AttentionView(
        name="",
        dim="config.dim",
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        merged=op.merged,
        grouped=grouped,
        q_bias=bias_argument(op.bias.q),
        k_bias=bias_argument(op.bias.k),
        v_bias=bias_argument(op.bias.v),
        o_bias=bias_argument(op.bias.o),
        q_norm=qk,
        k_norm=qk,
        rope=rope,
        cached=decoder,
        tp=tp > 1,
    )


def mlp_view(op: Mlp, kind: LayerKind, fields: _Fields, tp: int) -> MlpView:
    """The view of one feed-forward; its name is set by the caller."""
    return MlpView(
        name="",
        dim="config.dim",
        hidden=fields.add("mlp_hidden", op.hidden, kind.name),
        gated=op.gated,
        merged=op.merged and op.gated,
        bias=bias_argument(op.bias),
        activation=op.activation,
        tp=tp > 1,
    )


def activation(name: str) -> Callable[[str], str]:
    """A function from an expression to the expression with the activation around it."""
    return _ACTIVATIONS[name].format


def norm_expression(norm: Norm, dim: str, eps: str) -> str:
    """The constructor of a norm `dim` wide."""
    if norm.type == "rms":
        return f"nn.RMSNorm({dim}, eps={eps})"
    return f"nn.LayerNorm({dim}, eps={eps}{'' if norm.bias else ', bias=False'})"


def bias_argument(bias: bool) -> str:
    """The last argument of an `nn.Linear`; a bias is what it has by itself."""
    return "" if bias else ", bias=False"


def norm_field(stack_fields: tuple[Field, ...], norm: Norm, name: str) -> tuple[str, tuple[Field, ...]]:
    """The expression for the eps of a norm outside the blocks, and the fields with it in."""
    fields = _Fields()
    fields.found = {field.name: field for field in stack_fields}
    shared = fields.found.get("norm_eps")
    if shared is not None and shared.value == literal(norm.eps):
        return "config.norm_eps", stack_fields
    expression = fields.add(name, norm.eps)
    return expression, tuple(fields.found.values())


def rope_fields(rope: Rope) -> tuple[Field, ...]:
    """Config fields of rotary positions."""
    numbers = (("rope_theta", rope.theta), *((f"rope_{name}", value) for name, value in rope.scaling))
    return tuple(
        Field(name, "int" if _whole(name, value) else "float", literal(int(value) if _whole(name, value) else value))
        for name, value in numbers
    )


def pattern(head: str, items: list[str], indent: int) -> str:
    """`head` and a tuple display, short for a long list with runs or a period: `(*[Dense] * 3, *[Sparse] * 58)`."""
    runs = _runs(items)
    if len(runs) <= _FEW_RUNS:
        return display(head, _elements(runs), "()", indent)
    for period in range(2, len(items) // 2 + 1):
        if all(items[i] == items[i % period] for i in range(len(items))):
            whole, rest = divmod(len(items), period)
            once = ", ".join(items[:period])
            if rest:
                return display(head, (f"*[{once}] * {whole}", *_elements(_runs(items[:rest]))), "()", indent)
            line = f"{' ' * indent}{head}({once}) * {whole}"
            return line if len(line) <= WIDTH else display(head, tuple(items), "()", indent)
    return display(head, _elements(runs), "()", indent)


_FEW_RUNS = 4


def _elements(runs: list[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(item if count == 1 else f"*[{item}] * {count}" for item, count in runs)


def _runs(items: list[str]) -> list[tuple[str, int]]:
    return [(item, len(list(group))) for item, group in groupby(items)]


def _whole(name: str, value: float) -> bool:
    return name.endswith("_tokens") and value.is_integer()


def _eps(fields: _Fields, norm: Norm, kind: LayerKind, name: str = "norm_eps") -> str:
    shared = fields.found.get("norm_eps")
    if shared is not None and shared.value == literal(norm.eps):
        return "config.norm_eps"
    return fields.add(name, norm.eps, kind.name)


_View = TypeVar("_View", AttentionView, MlpView, BlockView)


def _once(known: dict[_View, _View], view: _View, base: str, kind: str, node: str) -> str:
    """The class name for `view`: that of an equal class met before, else `base`, told apart by the kind of layer.

    `node` is the class of the node itself, which stands in the same file.
    """
    found = known.get(view)
    if found is None:
        name = base if not known else f"{class_name(kind)}{base}"
        found = known[view] = replace(view, name=name if name != node else f"{name}Layer")
    return found.name
