"""What a block is, once decided: immutable values without defaults that depend on anything else.

A stack is a list of layers; a layer is an ordered list of residual sublayers; a sublayer is an operation with a norm
before it. Layers that differ only by position in the stack share one `LayerKind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from .experts import Moe
from .segments import Segment
from .settings_grid import GridMask, Windows
from .settings_index import Index
from .settings_linear import Delta, Fading, Linear
from .settings_norm import Norm
from .settings_position import Rope

# Where the norm of a sublayer stands: before the operation; after the residual sum; before and after the operation;
# after the operation alone; before the operation and the sum, so that tokens go through it; or nowhere, as the
# operation reads what the one beside it reads.
NormPlace = Literal["pre", "post", "sandwich", "branch", "through", "shared", "none"]


@dataclass(frozen=True, slots=True)
class Bias:
    """Which projections of an attention carry a bias."""

    q: bool
    k: bool
    v: bool
    o: bool


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention: `heads` queries share `kv_heads` keys and values of `head_dim` each, of the same tokens or of `cross`.

    `qk_norm` normalises each head's query and key before the rotary positions (behind them with `norm_turned`), all
    heads together if `norm_heads` is false. `window` is how many keys a query sees, itself included. `scale` multiplies
    the scores in place of head_dim ** -0.5; `softcap` bounds them: `cap * tanh(score / cap)`. `sinks` adds a learned
    score to each row of a head that no value belongs to. `gated` multiplies what the heads give with a sigmoid of the
    input. `rope` is which rotary positions of the stack turn queries and keys. `merged` keeps the three input
    projections in one matrix. With `latent`, keys and values come from a narrow vector (multi-head latent attention).
    `grid` says which patches see each other, where tokens are the patches of many images. Where they are the rows and
    columns `square` of one, they may do so in `windows`, and `relative` adds to scores what a query has for how many
    rows and columns, of at most so many, lie between it and a key. With `chunk`, tokens are counted off in runs of so
    many, and a query sees the keys of its own run alone. `temperature` scales the scores of later queries. Each segment
    of `by` has projections of its own. There are `maps` linear maps behind the heads. With `context`, ranks have some
    tokens each, and all tokens of some heads inside. Of the keys it could see, a query sees those that `index` chooses,
    or (`follows`) that the last indexer before it has chosen.
    """

    heads: int
    kv_heads: int
    head_dim: int
    bias: Bias
    qk_norm: Norm | None
    window: int | None
    norm_heads: bool = True
    norm_turned: bool = False
    scale: float | None = None
    softcap: float | None = None
    sinks: bool = False
    gated: bool = False
    rope: int | None = None
    latent: Latent | None = None
    cross: Cross | None = None
    merged: bool = False
    grid: GridMask | None = None
    square: tuple[int, int] | None = None
    windows: Windows | None = None
    relative: tuple[int, int] | None = None
    chunk: int | None = None
    temperature: Temperature | None = None
    by: tuple[str, ...] = ()
    maps: int = 1
    index: Index | None = None
    follows: bool = False
    context: bool = False

    @property
    def value_dim(self) -> int:
        """Width of a head's values."""
        return self.latent.value_dim if self.latent else self.head_dim

    @property
    def rotary_dim(self) -> int:
        """How much of a head rotary positions may turn."""
        return self.latent.rope_dim if self.latent else self.head_dim


@dataclass(frozen=True, slots=True)
class Temperature:
    """The scores of a query at place p, counted from `first`, times `1 + scale * log(1 + floor(p / floor))`."""

    floor: int
    scale: float
    first: int


@dataclass(frozen=True, slots=True)
class Cross:
    """Keys and values of an attention that come from an input port, `dim` wide, and not from its own tokens.

    `visible` is the port that says which runs each token sees, `present` which stand for all, key by key if `each`.
    `norm` is before their projections; with `own`, those of its tokens follow; what is `placed` has fixed positions.
    """

    port: str
    dim: int
    visible: str = ""
    present: str = ""
    norm: Norm | None = None
    own: bool = False
    each: bool = False
    placed: Literal["", "keys", "both"] = ""


@dataclass(frozen=True, slots=True)
class Latent:
    """Widths of latent attention: queries through `q_rank` (or directly), keys and values through `kv_rank`.

    A head's query and key are `nope_dim` numbers without positions and `rope_dim` with them, the latter shared by all
    heads of the key.
    """

    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    norm: Norm


@dataclass(frozen=True, slots=True)
class Mlp:
    """`down(act(up(x)))`, or gated: `down(act(gate(x)) * up(x))`. `merged` keeps gate and up in one matrix.

    `clamp` bounds gate from above and up from both sides, then `up_offset` is added to up. With `moe` there are several
    of them, and each token goes through some. Each segment of `by` has weights of its own.
    """

    hidden: int
    activation: str
    gated: bool
    bias: bool
    moe: Moe | None = None
    merged: bool = False
    clamp: float | None = None
    up_offset: float = 0.0
    by: tuple[str, ...] = ()


Op: TypeAlias = Attention | Linear | Mlp
Gate = Literal["tanh", "alpha", "layer_scale"]


@dataclass(frozen=True, slots=True)
class Residual:
    """What an operation's result is multiplied with before it is added: `scale`, and a learned `gate`; and what the
    tokens are that it is added to: `skip`.

    `tanh` and `alpha` are one number (`tanh` goes through tanh), `layer_scale` is one a feature; `init` is its start.
    With a `skip` of 0, it takes the place of the tokens. With `join`, a linear map makes one of the results of all
    sublayers in the same brackets, in place of their sum. With `tokens`, a rank has some of these, and all of the gate.
    """

    scale: float = 1.0
    gate: Gate | None = None
    init: float = 0.0
    skip: float = 1.0
    join: bool = False
    tokens: bool = False


@dataclass(frozen=True, slots=True)
class Sublayer:
    """`x + op(norm(x))`, or with the norm at another `place`; `name` is the attribute in the generated block.

    With `rows`, tokens that see nothing of this port stay as they are; with a `scope`, those of other segments do.
    If `optional`, it is left out where nothing comes in at the port that it reads.
    """

    name: str
    op: Op
    norm: Norm
    place: NormPlace = "pre"
    residual: Residual = Residual()
    rows: str = ""
    scope: str = ""
    optional: bool = False

    @property
    def normed(self) -> bool:
        """Whether it has a norm of its own."""
        return self.place not in ("shared", "none")


@dataclass(frozen=True, slots=True)
class LayerKind:
    """One distinct layer of a stack; `name` is empty for the usual one.

    The sublayers of a group read the same, and their results are added together; usually a group is one sublayer.
    """

    name: str
    groups: tuple[tuple[Sublayer, ...], ...]

    @property
    def sublayers(self) -> tuple[Sublayer, ...]:
        return tuple(sublayer for group in self.groups for sublayer in group)


@dataclass(frozen=True, slots=True)
class Stack:
    """`len(order)` layers of width `dim`; layer i is `kinds[order[i]]`. `rotary` are the rotary positions in use.

    The tokens are those of all `segments`, or, without any, of one kind. So many layers in a row, of those that have a
    module of `shared`, have its weights together.
    """

    dim: int
    kinds: tuple[LayerKind, ...]
    order: tuple[int, ...]
    rotary: tuple[Rope, ...] = ()
    segments: tuple[Segment, ...] = ()
    shared: tuple[tuple[str, int], ...] = ()

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """The attentions of all kinds of layers that are not linear."""
        return tuple(filter(None, map(self.attention, range(len(self.kinds)))))

    @property
    def linear(self) -> tuple[bool, ...]:
        """Whether each layer has linear attention."""
        ops = [{type(sublayer.op) for sublayer in kind.sublayers} for kind in self.kinds]
        return tuple(bool(ops[index] & {Delta, Fading}) for index in self.order)

    @property
    def numbered(self) -> bool:
        """Whether some operation has to know which layer it is in."""
        return any(isinstance(sublayer.op, Fading) for kind in self.kinds for sublayer in kind.sublayers)

    @property
    def choosing(self) -> bool:
        """Whether experts of some layer choose their tokens."""
        return any(is_choosing(sublayer.op) for kind in self.kinds for sublayer in kind.sublayers)

    @property
    def one_by_one(self) -> bool:
        """Whether tokens can come one at a time: not where experts choose among all tokens of a call."""
        return not self.choosing

    @property
    def parted(self) -> bool:
        """Whether some sublayer treats segments in different ways."""
        return any(is_parted(sublayer) for kind in self.kinds for sublayer in kind.sublayers)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The attention window of each layer."""
        return self._by_layer(lambda attention: attention.window)

    @property
    def chunks(self) -> tuple[int | None, ...]:
        """How many tokens a run has in each layer."""
        return self._by_layer(lambda attention: attention.chunk)

    @property
    def indexed(self) -> bool:
        """Whether some attention chooses its keys."""
        return any(attention.index for attention in self.attentions)

    @property
    def handed(self) -> bool:
        """Whether the choice of one layer is that of others too, so that layers hand it on."""
        return any(attention.follows for attention in self.attentions)

    @property
    def tempered(self) -> bool:
        """Whether some attention has to know where its queries stand."""
        return any(attention.temperature for attention in self.attentions)

    @property
    def rope_of(self) -> tuple[int | None, ...]:
        """Which of `rotary` each layer uses."""
        return self._by_layer(lambda attention: attention.rope)

    def _by_layer(self, read: Callable[[Attention], int | None]) -> tuple[int | None, ...]:
        """What each layer's attention has; a linear one, which has none, is like the first that is not."""
        usual = read(self.attentions[0]) if self.attentions else None
        found = [self.attention(index) for index in self.order]
        return tuple(read(attention) if attention else usual for attention in found)

    @property
    def crossed(self) -> tuple[Cross, ...]:
        """What attentions read besides the tokens, each port once."""
        ops = (s.op for kind in self.kinds for s in kind.sublayers)
        found = {op.cross.port: op.cross for op in ops if isinstance(op, Attention) and op.cross}
        return tuple(found.values())

    @property
    def crossed_ports(self) -> tuple[str, ...]:
        """The ports that come in for that, each with those of its masks behind it."""
        ports = (name for cross in self.crossed for name in (cross.port, cross.visible, cross.present) if name)
        return tuple(dict.fromkeys(ports))

    def skipped(self, port: str) -> bool:
        """Whether the stack can do without what comes in at `port`."""
        readers = [s for kind in self.kinds for s in kind.sublayers if _reads(s, port)]
        return all(each.optional or (each.rows == port and each.place not in ("post", "through")) for each in readers)

    def resolved(self) -> dict[str, Any]:
        """The sizes that follow from others, as settings; nothing where layers differ and would inherit them."""
        ops = [(s.name, s.op) for kind in self.kinds for s in kind.sublayers]
        crosses = [(name, op.cross) for name, op in ops if isinstance(op, Attention) and op.cross]
        widths = {name: {"kv_dim": cross.dim} for name, cross in crosses if not cross.own}
        crossed = {"sublayers": widths} if widths else {}
        attention = next((op for name, op in ops if name == "attn"), None)
        if len(self.kinds) != 1 or not isinstance(attention, Attention) or attention.latent:
            return crossed
        return crossed | {"attention": {"kv_heads": attention.kv_heads, "head_dim": attention.head_dim}}

    def attention(self, kind: int = 0) -> Attention | None:
        """The self-attention of a kind of layer, if it has one that is not linear."""
        ops = (s.op for s in self.kinds[kind].sublayers)
        return next((op for op in ops if isinstance(op, Attention) and op.cross is None), None)

    def map_ops(self, change: Callable[[Op], Op]) -> Stack:
        """The same stack with every operation changed."""
        return replace(
            self,
            kinds=tuple(
                replace(kind, groups=tuple(tuple(replace(s, op=change(s.op)) for s in group) for group in kind.groups))
                for kind in self.kinds
            ),
        )

    def first(self, count: int) -> Stack:
        """The first `count` layers; kinds that no longer occur are dropped."""
        order = self.order[:count]
        used = sorted(set(order))
        return replace(
            self, kinds=tuple(self.kinds[index] for index in used), order=tuple(used.index(index) for index in order)
        )


def is_choosing(op: Op) -> bool:
    """Whether an operation is of experts that choose their tokens."""
    return isinstance(op, Mlp) and op.moe is not None and op.moe.router.capacity is not None


def is_parted(sublayer: Sublayer) -> bool:
    """Whether a sublayer treats segments in different ways."""
    by = sublayer.norm.by or (isinstance(sublayer.op, Attention | Mlp) and sublayer.op.by)
    return bool(sublayer.scope or by)


def _reads(sublayer: Sublayer, port: str) -> bool:
    cross = sublayer.op.cross if isinstance(sublayer.op, Attention) else None
    return sublayer.rows == port or (cross is not None and cross.port == port)


def norms_of(sublayer: Sublayer) -> Iterator[Norm | None]:
    """All norms of a sublayer, those inside its operation too."""
    if sublayer.normed:
        yield sublayer.norm
    if isinstance(sublayer.op, Attention):
        yield sublayer.op.qk_norm
        yield sublayer.op.cross.norm if sublayer.op.cross else None
        yield sublayer.op.latent.norm if sublayer.op.latent else None
        yield sublayer.op.index.norm if sublayer.op.index else None
    elif isinstance(sublayer.op, Linear):
        yield sublayer.op.norm
