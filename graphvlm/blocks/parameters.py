"""Every weight of a block: its path in the generated code, its shape, and the reference pieces it is joined from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby

from .experts import Moe
from .settings import Attention, Latent, LayerKind, Mlp, Op, Stack
from .settings_index import Index
from .settings_linear import Delta, Fading
from .settings_norm import Norm

# Every module of a stack, whatever its settings, with the index of its layer as `*`.
MODULES = frozenset(
    f"layers.*.{path}"
    for path in (
        *("attn_norm", "attn_post_norm", "attn_gate", "attn.wq", "attn.wk", "attn.wv", "attn.wo", "attn.wo_2"),
        *("attn.kv_norm", "attn.q_norm", "attn.k_norm", "attn.sinks", "attn.rel_rows", "attn.rel_columns", "attn.wg"),
        *("attn.in_q", "attn.in_k", "attn.in_v", "attn.in_z", "attn.in_b", "attn.in_a", "attn.conv"),
        *("attn.a_log", "attn.dt_bias", "attn.norm", "attn.out"),
        *("attn.wq_a", "attn.q_a_norm", "attn.wq_b", "attn.wkv_a", "attn.kv_a_norm", "attn.wkv_b"),
        *("attn.index.wq", "attn.index.wk", "attn.index.k_norm", "attn.index.weigh"),
        *("mlp_norm", "mlp_post_norm", "mlp_gate", "mlp.gate", "mlp.up", "mlp.down", "attn_join", "mlp_join"),
        *("mlp.router", "mlp.router_bias", "mlp.experts.*.gate", "mlp.experts.*.up", "mlp.experts.*.down"),
        *("mlp.experts.gate_up", "mlp.experts.up", "mlp.experts.down"),
        *("mlp.experts.gate_up_bias", "mlp.experts.up_bias", "mlp.experts.down_bias"),
        *("mlp.shared.gate", "mlp.shared.up", "mlp.shared.down", "mlp.shared_gate"),
    )
)


def sublayer_modules(names: Iterable[str]) -> frozenset[str]:
    """The same for sublayers of other names."""
    return frozenset(
        path.replace(f"layers.*.{usual}", f"layers.*.{name}", 1)
        for name in names
        for usual in ("attn", "mlp")
        for path in MODULES
        if path.startswith(f"layers.*.{usual}")
    )


def segment_modules(modules: Iterable[str], segments: Iterable[str]) -> frozenset[str]:
    """Those of the weights that each segment has of its own: named last, or for a feed-forward right behind it."""
    parts = [path.split(".") for path in modules]
    found = [[*path[:place], name, *path[place:]] for path in parts for name in segments for place in (3, len(path))]
    return frozenset(".".join(path) for path in found)


def with_counts(names: Mapping[str, str], stack: Stack | None) -> dict[str, str]:
    """The names, with one more for each layer where the reference counts the layers that have a sublayer: `#`."""
    found = dict(names)
    for pattern, name in names.items():
        if "#" not in name or stack is None:
            continue
        sublayer = pattern.split(".")[2].removesuffix("_norm").removesuffix("_post").removesuffix("_gate")
        having = [
            layer
            for layer, kind in enumerate(stack.order)
            if any(each.name == sublayer for each in stack.kinds[kind].sublayers)
        ]
        for number, layer in enumerate(having):
            found[pattern.replace("*", str(layer), 1)] = name.replace("#", str(number))
    return found


@dataclass(frozen=True, slots=True)
class Piece:
    """`rows` rows of a parameter that have a name of their own, `path`, when nothing is merged.

    They are those of `heads` heads (or groups of heads), or of none.
    """

    path: str
    rows: int
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the generated module. `pieces` are joined along the first axis.

    A `stacked` parameter has an axis more, over experts, each of which has pieces of its own. One made as `halves` has
    the rows of both its pieces on two axes, where `shape` has one. No gradient reaches one that is `fixed`.
    """

    path: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]
    stacked: bool = False
    halves: bool = False
    fixed: bool = False

    @property
    def made(self) -> tuple[int, ...]:
        """The shape in the generated module."""
        return (self.shape[0], 2, self.shape[1] // 2, *self.shape[2:]) if self.halves else self.shape

    @property
    def row(self) -> tuple[int, ...]:
        """Shape of one row of a piece."""
        return self.shape[2:] if self.stacked else self.shape[1:]

    @property
    def count(self) -> int:
        number = 1
        for size in self.shape:
            number *= size
        return number

    def under(self, prefix: str) -> Parameter:
        """The same parameter one module further out."""
        return replace(
            self,
            path=_join(prefix, self.path),
            pieces=tuple(replace(piece, path=_join(prefix, piece.path)) for piece in self.pieces),
        )


def plain(path: str, *shape: int) -> Parameter:
    """A parameter that is one piece."""
    return Parameter(path, shape, (Piece(path, shape[0]),))


def linear(path: str, inside: int, out: int, bias: bool, heads: int = 0) -> Iterator[Parameter]:
    """Weight and bias of an `nn.Linear`, which may be of heads."""
    yield from joined(path, inside, {path: (out, heads)}, bias)


def norm(path: str, settings: Norm, dim: int) -> Iterator[Parameter]:
    """Weight and bias of a norm."""
    for place in [f"{path}.{name}" for name in settings.by] or [path]:
        if settings.weight:
            yield plain(f"{place}.weight", dim)
        if settings.bias:
            yield plain(f"{place}.bias", dim)


def _parted(parameters: Iterable[Parameter], names: tuple[str, ...]) -> Iterator[Parameter]:
    """The weights of modules of which each segment has one, named as it is."""
    for module, group in groupby(parameters, key=lambda parameter: parameter.path.rpartition(".")[0]):
        own = tuple(group)
        for name in names:
            for each in own:
                pieces = tuple(replace(piece, path=_named(piece.path, name)) for piece in each.pieces)
                yield replace(each, path=f"{module}.{name}{each.path.removeprefix(module)}", pieces=pieces)


def _named(path: str, name: str) -> str:
    module, _, leaf = path.rpartition(".")
    return f"{module}.{name}.{leaf}"


def joined(path: str, inside: int, parts: dict[str, tuple[int, int]], bias: bool) -> Iterator[Parameter]:
    """Weight and bias of an `nn.Linear` that holds several, one below the other: name -> (rows, heads)."""
    rows = sum(size for size, _ in parts.values())
    for leaf, row in (("weight", (inside,)), ("bias", ())) if bias else (("weight", (inside,)),):
        pieces = tuple(Piece(f"{name}.{leaf}", size, heads) for name, (size, heads) in parts.items())
        yield Parameter(f"{path}.{leaf}", (rows, *row), pieces)


def attention(settings: Attention, dim: int) -> Iterator[Parameter]:
    """Weights of an attention, named as in the generated `Attention`."""
    inner, kv = settings.heads * settings.head_dim, settings.kv_heads * settings.head_dim
    bias = settings.bias
    inside = settings.cross.dim if settings.cross else dim
    if settings.latent:
        yield from _latent(settings, settings.latent, dim)
    elif settings.merged:
        parts = {"wq": (inner, settings.heads), "wk": (kv, settings.kv_heads), "wv": (kv, settings.kv_heads)}
        yield from joined("wqkv", dim, parts, bias.q)
    else:
        if settings.cross and settings.cross.norm:
            yield from norm("kv_norm", settings.cross.norm, inside)
        yield from linear("wq", dim, inner, bias.q, settings.heads)
        yield from linear("wk", inside, kv, bias.k, settings.kv_heads)
        yield from linear("wv", inside, kv, bias.v, settings.kv_heads)
    outer = settings.heads * settings.value_dim
    if settings.gated:
        yield from linear("wg", dim, outer, bias.q, settings.heads)
    yield from linear("wo", outer, dim, bias.o)
    for number in range(2, settings.maps + 1):
        yield from linear(f"wo_{number}", dim, dim, bias.o)
    if settings.qk_norm:
        each = settings.norm_heads
        yield from norm("q_norm", settings.qk_norm, settings.head_dim if each else inner)
        yield from norm("k_norm", settings.qk_norm, settings.head_dim if each else kv)
    if settings.sinks:
        yield plain("sinks", settings.heads)
    if settings.index:
        narrow = settings.latent.q_rank if settings.latent else None
        own = _index(settings.index, dim, narrow or dim)
        yield from (replace(parameter.under("index"), fixed=True) for parameter in own)
    if settings.relative:
        for name, size in zip(("rel_rows", "rel_columns"), settings.relative, strict=True):
            yield plain(name, 2 * size - 1, settings.head_dim)


def _index(settings: Index, dim: int, inside: int) -> Iterator[Parameter]:
    """Weights of an indexer, whose queries come from vectors `inside` wide."""
    yield from linear("wq", inside, settings.heads * settings.head_dim, bias=False)
    yield from linear("wk", dim, settings.head_dim, bias=False)
    yield from norm("k_norm", settings.norm, settings.head_dim)
    yield from linear("weigh", dim, settings.heads, bias=False)


def _latent(settings: Attention, latent: Latent, dim: int) -> Iterator[Parameter]:
    inner = settings.heads * settings.head_dim
    if latent.q_rank is None:
        yield from linear("wq", dim, inner, bias=False)
    else:
        yield from linear("wq_a", dim, latent.q_rank, settings.bias.q)
        yield from norm("q_a_norm", latent.norm, latent.q_rank)
        yield from linear("wq_b", latent.q_rank, inner, bias=False)
    yield from linear("wkv_a", dim, latent.kv_rank + latent.rope_dim, settings.bias.k)
    yield from norm("kv_a_norm", latent.norm, latent.kv_rank)
    yield from linear("wkv_b", latent.kv_rank, settings.heads * (latent.nope_dim + latent.value_dim), bias=False)


def delta(settings: Delta, dim: int) -> Iterator[Parameter]:
    """Weights of a linear attention, named as in the generated `GatedDeltaNet`."""
    keys, values = settings.key_heads * settings.key_dim, settings.value_heads * settings.value_dim
    share, own = (keys, settings.key_heads), (values, settings.value_heads)
    each = (settings.value_heads, settings.key_heads)
    yield plain("a_log", settings.value_heads)
    yield plain("dt_bias", settings.value_heads)
    if settings.apart:
        for name, rows in (("conv_q", keys), ("conv_k", keys), ("conv_v", values)):
            yield Parameter(name, (rows, 1, settings.conv), (Piece("conv.weight", rows),))
        for name, (rows, heads) in (("in_q", share), ("in_k", share), ("in_v", own)):
            yield from linear(name, dim, rows, bias=False, heads=heads)
    else:
        yield from joined("in_qkv", dim, {"in_q": share, "in_k": share, "in_v": own}, bias=False)
    yield from linear("in_z", dim, values, bias=False, heads=settings.value_heads)
    if settings.apart:
        yield from linear("in_b", dim, each[0], bias=False, heads=each[1])
        yield from linear("in_a", dim, each[0], bias=False, heads=each[1])
    else:
        yield from joined("in_ba", dim, {"in_b": each, "in_a": each}, bias=False)
        yield plain("conv.weight", 2 * keys + values, 1, settings.conv)
    yield from norm("norm", settings.norm, settings.value_dim)
    yield from linear("out", values, dim, bias=False)


def _fading(settings: Fading, dim: int) -> Iterator[Parameter]:
    """Weights of a linear attention whose states fade, named as in the generated `FadingAttention`."""
    heads = settings.heads
    keys, values = (heads * settings.key_dim, heads), (heads * settings.value_dim, heads)
    own = {"in_q": keys, "in_k": keys, "in_v": values}
    if settings.apart:
        for name, (rows, _) in own.items():
            yield from linear(name, dim, rows, bias=False, heads=heads)
    else:
        yield from joined("in_qkv", dim, own, bias=False)
    yield from linear("in_z", dim, values[0], bias=False, heads=heads)
    yield from norm("norm", settings.norm, values[0])
    yield from linear("out", values[0], dim, bias=False)


def mlp(settings: Mlp, dim: int) -> Iterator[Parameter]:
    """Weights of a feed-forward, named as in the generated `MLP`."""
    if settings.moe:
        yield from _moe(settings, settings.moe, dim)
        return
    if settings.gated and settings.merged:
        yield from joined("gate_up", dim, {"gate": (settings.hidden, 0), "up": (settings.hidden, 0)}, settings.bias)
    else:
        if settings.gated:
            yield from linear("gate", dim, settings.hidden, settings.bias)
        yield from linear("up", dim, settings.hidden, settings.bias)
    yield from linear("down", settings.hidden, dim, settings.bias)


def _moe(settings: Mlp, moe: Moe, dim: int) -> Iterator[Parameter]:
    yield from linear("router", dim, moe.experts, moe.router.projection_bias)
    if moe.router.bias:
        yield replace(plain("router_bias", moe.experts), fixed=True)
    inner = ("gate", "up") if settings.gated else ("up",)
    first = "experts.gate_up" if settings.gated else "experts.up"
    yield replace(_stacked(first, moe.experts, inner, settings.hidden, dim), halves=moe.halves)
    if settings.bias:
        yield replace(_stacked(f"{first}_bias", moe.experts, inner, settings.hidden), halves=moe.halves)
    yield _stacked("experts.down", moe.experts, ("down",), dim, settings.hidden)
    if settings.bias:
        yield _stacked("experts.down_bias", moe.experts, ("down",), dim)
    if moe.shared:
        dense = replace(settings, hidden=moe.shared, moe=None)
        yield from (parameter.under("shared") for parameter in mlp(dense, dim))
    if moe.shared_gate:
        yield from linear("shared_gate", dim, 1, bias=False)


def _stacked(path: str, experts: int, names: tuple[str, ...], rows: int, *inside: int) -> Parameter:
    """The matrices (or biases) of all experts, one above the other; each has those of `names` one above the other."""
    leaf = "weight" if inside else "bias"
    pieces = tuple(Piece(f"experts.{expert}.{name}.{leaf}", rows) for expert in range(experts) for name in names)
    return Parameter(path, (experts, len(names) * rows, *inside), pieces, stacked=True)


def _weights(op: Op, dim: int) -> Iterator[Parameter]:
    """Weights of an operation."""
    if isinstance(op, Attention):
        return _parted(attention(op, dim), op.by) if op.by else attention(op, dim)
    if isinstance(op, Mlp) and op.by:
        return (parameter.under(name) for name in op.by for parameter in mlp(op, dim))
    if isinstance(op, Fading):
        return _fading(op, dim)
    return delta(op, dim) if isinstance(op, Delta) else mlp(op, dim)


def layer(kind: LayerKind, dim: int) -> Iterator[Parameter]:
    """Weights of one layer."""
    width = {group[0].name: len(group) * dim for group in kind.groups if group[0].residual.join}
    for sublayer in kind.sublayers:
        if sublayer.normed:
            yield from norm(f"{sublayer.name}_norm", sublayer.norm, dim)
        for parameter in _weights(sublayer.op, dim):
            yield parameter.under(sublayer.name)
        if sublayer.place == "sandwich":
            yield from norm(f"{sublayer.name}_post_norm", sublayer.norm, dim)
        if sublayer.residual.gate:
            yield plain(f"{sublayer.name}_gate", dim if sublayer.residual.gate == "layer_scale" else 1)
        if sublayer.name in width:
            yield from linear(f"{sublayer.name}_join", width[sublayer.name], dim, bias=True)


@cache
def stack(settings: Stack) -> tuple[Parameter, ...]:
    """Weights of all layers, in order; those that several have together once, with the first of these."""
    return tuple(_parameters(settings, copied=False))


def copies(settings: Stack) -> tuple[Parameter, ...]:
    """Weights that a layer has together with one before it, as if they were its own."""
    return tuple(_parameters(settings, copied=True))


def shared_layers(settings: Stack) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Module of a layer -> the runs of layers that have its weights together."""
    paths = [[parameter.path for parameter in layer(kind, settings.dim)] for kind in settings.kinds]
    found = {}
    for module, count in settings.shared:
        have = [
            index
            for index, kind in enumerate(settings.order)
            if any(path.startswith(f"{module}.") for path in paths[kind])
        ]
        found[module] = tuple(tuple(have[start : start + count]) for start in range(0, len(have), count))
    return found


def _parameters(settings: Stack, *, copied: bool) -> Iterator[Parameter]:
    of_kind = [tuple(layer(kind, settings.dim)) for kind in settings.kinds]
    later = [
        (index, f"{module}.") for module, runs in shared_layers(settings).items() for run in runs for index in run[1:]
    ]
    for index, kind in enumerate(settings.order):
        modules = tuple(module for layer_, module in later if layer_ == index)
        for parameter in of_kind[kind]:
            if (bool(modules) and parameter.path.startswith(modules)) == copied:
                yield parameter.under(f"layers.{index}")


def _join(prefix: str, path: str) -> str:
    return f"{prefix}.{path}" if prefix else path
