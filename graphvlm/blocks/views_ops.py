"""Finished view models of the operations in a block: one for each class in the generated code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..code import Field, literal
from .expressions import Fields, bias_argument, norm_expression
from .settings import Attention, Latent, LayerKind
from .views_index import IndexView


@dataclass(frozen=True, slots=True)
class Given:
    """What the layers of a stack are given besides their tokens, whose axes are called `axes`.

    `rope` is the type of the rotary positions, empty if there are none; None is one of its values if only some layers
    turn queries and keys. `mask` is the type of the mask, empty if every token sees every other; `causal` if no mask
    means that the order of the tokens is one. It may be groups instead, of tokens that see each other. With `cached`
    there is also the cache of the layer. `sources` are the ports that are read besides the tokens, with their types.
    `placed` if layers are told where their tokens stand. `parts` says which tokens are of which segment: (name, type),
    empty if no layer asks; `real` if layers ask which tokens stand at all. Sources are one value each, or (`direct`)
    tensors. The cache of a layer is a `memory`; `more` are parameters that are handed on unread.
    Blocks are told how many `frames` a video has, if some attention is within these. With `chosen`, they hand on which
    keys the last indexer has chosen.
    """

    axes: tuple[str, str]
    rope: str
    mask: str
    causal: bool
    cached: bool
    sources: tuple[tuple[str, str], ...] = ()
    placed: bool = False
    parts: tuple[str, str] | tuple[()] = ()
    real: bool = False
    direct: bool = False
    memory: str = "LayerCache"
    more: tuple[str, ...] = ()
    frames: bool = False
    chosen: bool = False

    @property
    def _own(self) -> tuple[str, ...]:
        types = (
            ("rope", self.rope),
            ("groups" if self.grouped else "mask", self.mask),
            ("positions", "Tensor" if self.placed else ""),
            ("cache", f"{self.memory} | None" if self.cached else ""),
        )
        return tuple(f"{name}: {type_}" for name, type_ in types if type_)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of an attention's `forward`."""
        return ("self", "x: Tensor", *self._own, *self.more)

    @property
    def block_parameters(self) -> tuple[str, ...]:
        """The parameters of a block's `forward`."""
        chosen = ("chosen: Tensor",) if self.chosen else ()
        parts = (": ".join(self.parts),) if self.parts else ()
        real = ("real: Tensor | None",) if self.real else ()
        frames = ("frames: int",) if self.frames else ()
        sources = (f"{port}: {type_}" for port, type_ in self.sources)
        return ("self", "x: Tensor", *self._own, *chosen, *parts, *real, *frames, *sources, *self.more)

    @property
    def result(self) -> str:
        """The type of what a block gives."""
        return "tuple[Tensor, Tensor]" if self.chosen else "Tensor"

    @property
    def grouped(self) -> bool:
        """Whether the mask is given as groups of tokens."""
        return self.mask == "Groups"

    @property
    def names(self) -> tuple[str, ...]:
        """What is passed on to an attention."""
        return tuple(parameter.partition(":")[0] for parameter in (*self._own, *self.more))

    @property
    def shape(self) -> str:
        """Shape comment of the tokens."""
        return f"[{', '.join(self.axes)}, dim]"

    @property
    def linear(self) -> Given:
        """What of it a linear attention takes: its mask is that of the tokens, not of keys that queries see."""
        return replace(self, rope="", mask="Tensor | None", placed=False, more=())

    def sparing(self, ports: frozenset[str]) -> Given:
        """The same for layers that do not read these ports, where nothing may come in."""
        some = ((port, f"{type_} | None" if port in ports else type_) for port, type_ in self.sources)
        return replace(self, sources=tuple(some)) if ports else self


@dataclass(frozen=True, slots=True)
class Scores:
    """How an attention makes its scores and how they count, and what it is given. `scale` and `softcap` are config
    fields, and so are the two of `temperature`; a `gated` one multiplies what its heads give. With an `index` it
    chooses keys, which are part of its result if others share the choice. With `context`, a rank has all tokens of some
    heads.
    """

    given: Given
    scale: str
    softcap: str
    sinks: bool
    gated: bool
    relative: bool
    tp: bool
    context: bool
    temperature: TemperatureView | None = None
    index: IndexView | None = None

    @property
    def handed(self) -> bool:
        """Whether the keys that it has chosen are part of its result."""
        return self.index is not None and self.given.chosen

    @property
    def result(self) -> str:
        """The type of its result."""
        return "tuple[Tensor, Tensor]" if self.handed else "Tensor"

    @property
    def turns(self) -> Literal["", "some", "always"]:
        """Whether queries and keys are turned."""
        return "" if not self.given.rope else "some" if self.given.rope.endswith("None") else "always"

    @property
    def rows(self) -> str:
        """The axes of the tokens, as in a shape."""
        return ", ".join(self.given.axes)

    @property
    def own(self) -> bool:
        """Whether `F.scaled_dot_product_attention` cannot do it."""
        return bool(self.softcap) or self.sinks

    @property
    def local(self) -> bool:
        """Whether there are parameters of which a rank holds a part."""
        return self.tp and (self.sinks or self.relative)


@dataclass(frozen=True, slots=True)
class TemperatureView:
    """How queries are scaled by their place: two config fields, and the expression for the place."""

    floor: str
    scale: str
    place: str


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
    norm_heads: bool
    norm_turned: bool
    scores: Scores
    tp: bool
    window: str
    padded: bool
    parted: bool
    maps: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of its `forward`."""
        given = self.scores.given
        known = replace(given, more=()).parameters
        return (*known, *((": ".join(given.parts),) if self.parted else ()), *given.more)

    @property
    def part(self) -> str:
        """What each of its projections is given besides the tokens."""
        return f", {self.scores.given.parts[0]}" if self.parted and self.scores.given.parts else ""

    @property
    def linear(self) -> tuple[str, ...]:
        """What its projections are: a function, and the first of its arguments."""
        return ("Parted", "nn.Linear") if self.parted else ("nn.Linear",)

    @property
    def inner(self) -> str:
        return f"{self.heads} * {self.head_dim}"

    @property
    def kv_inner(self) -> str:
        return f"{self.kv_heads} * {self.head_dim}"

    @property
    def rows(self) -> str:
        """Rows of the merged projection, by the attributes of the class where those of the config fill a line."""
        if not self.grouped:
            return f"3 * {self.inner}"
        whole = f"({self.heads} + 2 * {self.kv_heads}) * {self.head_dim}"
        return whole if len(whole) <= _LINE else "(self.heads + 2 * self.kv_heads) * self.head_dim"


_LINE = 75  # what an argument of a module may be long


@dataclass(frozen=True, slots=True)
class LatentView:
    """One `LatentAttention` class."""

    name: str
    dim: str
    heads: str
    q_rank: str
    kv_rank: str
    nope_dim: str
    rope_dim: str
    value_dim: str
    q_norm: str
    kv_norm: str
    q_bias: str
    kv_bias: str
    o_bias: str
    scores: Scores
    tp: bool
    shared: bool
    grouped: bool = False


def scores_view(op: Attention, kind: LayerKind, fields: Fields, given: Given, tp: int) -> Scores:
    """How an attention makes its scores."""
    scale = "" if op.scale is None else fields.add("attention_scale", op.scale, kind.name)
    softcap = "" if op.softcap is None else fields.add("attention_softcap", op.softcap, kind.name)
    temperature = None
    if op.temperature:
        temperature = TemperatureView(
            floor=fields.add("temperature_floor", op.temperature.floor, kind.name),
            scale=fields.add("temperature_scale", op.temperature.scale, kind.name),
            place="(positions + 1)" if op.temperature.first else "positions",
        )
    given = replace(given, placed=temperature is not None)
    relative = op.relative is not None
    return Scores(given, scale, softcap, op.sinks, op.gated, relative, tp > 1, op.context, temperature)


def attention_view(op: Attention, kind: LayerKind, fields: Fields, given: Given, tp: int) -> AttentionView:
    """The view of one attention; its name is set by the caller."""
    heads = fields.add("heads", op.heads, kind.name)
    grouped = op.kv_heads != op.heads
    kv_heads = fields.add("kv_heads", op.kv_heads, kind.name) if grouped else heads
    head_dim = fields.add("head_dim", op.head_dim, kind.name)
    q_norm = k_norm = ""
    if op.qk_norm:
        eps = fields.eps(op.qk_norm, kind, "qk_norm_eps")
        widths = (head_dim, head_dim) if op.norm_heads else (f"{heads} * {head_dim}", f"{kv_heads} * {head_dim}")
        own = replace(op.qk_norm, by=op.by)
        q_norm, k_norm = (norm_expression(own, width, eps) for width in widths)
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
        q_norm=q_norm,
        k_norm=k_norm,
        norm_heads=op.norm_heads,
        norm_turned=op.norm_turned,
        scores=scores_view(op, kind, fields, given, tp),
        tp=tp > 1,
        parted=bool(op.by),
        maps=tuple(f"wo_{number}" for number in range(2, op.maps + 1)),
        **_square(op, kind, fields),
    )


def _square(op: Attention, kind: LayerKind, fields: Fields) -> dict[str, Any]:
    """What an attention over rows and columns of patches has besides."""
    if op.square:
        fields.found["grid"] = Field("grid", "tuple[int, int]", literal(op.square), "rows and columns of patches")
    window = fields.add("grid_window", op.windows.side, kind.name) if op.windows else ""
    return {"window": window, "padded": op.windows is not None and op.windows.padded}


def latent_view(op: Attention, latent: Latent, kind: LayerKind, fields: Fields, *, given: Given, tp: int) -> LatentView:
    """The view of one latent attention; its name is set by the caller."""
    q_rank = "" if latent.q_rank is None else fields.add("q_rank", latent.q_rank, kind.name)
    kv_rank = fields.add("kv_rank", latent.kv_rank, kind.name)
    eps = fields.eps(latent.norm, kind, "latent_norm_eps")
    return LatentView(
        name="",
        dim="config.dim",
        heads=fields.add("heads", op.heads, kind.name),
        q_rank=q_rank,
        kv_rank=kv_rank,
        nope_dim=fields.add("nope_dim", latent.nope_dim, kind.name),
        rope_dim=fields.add("rope_dim", latent.rope_dim, kind.name),
        value_dim=fields.add("value_dim", latent.value_dim, kind.name),
        q_norm=norm_expression(latent.norm, q_rank, eps) if q_rank else "",
        kv_norm=norm_expression(latent.norm, kv_rank, eps),
        q_bias=bias_argument(op.bias.q),
        kv_bias=bias_argument(op.bias.k),
        o_bias=bias_argument(op.bias.o),
        scores=scores_view(op, kind, fields, given, tp),
        tp=tp > 1,
        shared=tp > 1 or op.context,
    )
