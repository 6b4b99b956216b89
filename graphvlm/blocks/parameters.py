"""Every weight of a block: its path in the generated code, its shape, and the reference pieces it is joined from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from .settings import Attention, LayerKind, Mlp, Norm, Stack

# Every module of a stack, whatever its settings, with the index of its layer as `*`.
MODULES = frozenset(
    f"layers.*.{path}"
    for path in (
        *("attn_norm", "attn.wq", "attn.wk", "attn.wv", "attn.wo", "attn.q_norm", "attn.k_norm"),
        *("mlp_norm", "mlp.gate", "mlp.up", "mlp.down"),
    )
)


@dataclass(frozen=True, slots=True)
class Piece:
    """`rows` rows of a parameter that have a name of their own, `path`, when nothing is merged."""

    path: str
    rows: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the generated module. `pieces` are joined along the first axis."""

    path: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]

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


def linear(path: str, inside: int, out: int, bias: bool) -> Iterator[Parameter]:
    """Weight and bias of an `nn.Linear`."""
    yield plain(f"{path}.weight", out, inside)
    if bias:
        yield plain(f"{path}.bias", out)


def norm(path: str, settings: Norm, dim: int) -> Iterator[Parameter]:
    """Weight and bias of a norm."""
    yield plain(f"{path}.weight", dim)
    if settings.bias:
        yield plain(f"{path}.bias", dim)


def joined(path: str, inside: int, parts: dict[str, int], bias: bool) -> Iterator[Parameter]:
    """Weight and bias of an `nn.Linear` that holds several, one below the other."""
    rows = sum(parts.values())
    yield Parameter(
        f"{path}.weight", (rows, inside), tuple(Piece(f"{name}.weight", size) for name, size in parts.items())
    )
    if bias:
        yield Parameter(f"{path}.bias", (rows,), tuple(Piece(f"{name}.bias", size) for name, size in parts.items()))


def attention(settings: Attention, dim: int) -> Iterator[Parameter]:
    """Weights of an attention, named as in the generated `Attention`."""
    inner, kv = settings.heads * settings.head_dim, settings.kv_heads * settings.head_dim
    bias = settings.bias
    if settings.merged:
        yield from joined("wqkv", dim, {"wq": inner, "wk": kv, "wv": kv}, bias.q)
    else:
        yield from linear("wq", dim, inner, bias.q)
        yield from linear("wk", dim, kv, bias.k)
        yield from linear("wv", dim, kv, bias.v)
    yield from linear("wo", inner, dim, bias.o)
    if settings.qk_norm:
        yield from norm("q_norm", settings.qk_norm, settings.head_dim)
        yield from norm("k_norm", settings.qk_norm, settings.head_dim)


def mlp(settings: Mlp, dim: int) -> Iterator[Parameter]:
    """Weights of a feed-forward, named as in the generated `MLP`."""
    if settings.gated and settings.merged:
        yield from joined("gate_up", dim, {"gate": settings.hidden, "up": settings.hidden}, settings.bias)
    else:
        if settings.gated:
            yield from linear("gate", dim, settings.hidden, settings.bias)
        yield from linear("up", dim, settings.hidden, settings.bias)
    yield from linear("down", settings.hidden, dim, settings.bias)


def layer(kind: LayerKind, dim: int) -> Iterator[Parameter]:
    """Weights of one layer."""
    for sublayer in kind.sublayers:
        yield from norm(f"{sublayer.name}_norm", sublayer.norm, dim)
        weights = attention(sublayer.op, dim) if isinstance(sublayer.op, Attention) else mlp(sublayer.op, dim)
        for parameter in weights:
            yield parameter.under(sublayer.name)


@cache
def stack(settings: Stack) -> tuple[Parameter, ...]:
    """Weights of all layers, in order."""
    of_kind = [tuple(layer(kind, settings.dim)) for kind in settings.kinds]
    return tuple(
        parameter.under(f"layers.{index}") for index, kind in enumerate(settings.order) for parameter in of_kind[kind]
    )


def _join(prefix: str, path: str) -> str:
    return f"{prefix}.{path}" if prefix else path
