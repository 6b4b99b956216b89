"""Finished view models of indexers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .expressions import Fields, norm_expression
from .settings import LayerKind
from .settings_index import Index
from .settings_position import Rope


@dataclass(frozen=True, slots=True)
class IndexView:
    """One `Indexer` class. Sizes are expressions over `config`.

    Its queries come from the `narrow` vector of the attention's own, or from the tokens. Rotary positions, of the type
    `rope` if there are any, turn all of a head or (`partly`) its first numbers, which are put in another order before,
    if its pairs are of another `style`.
    """

    name: str
    inside: str
    narrow: bool
    dim: str
    heads: str
    head_dim: str
    top: str
    norm: str
    rope: str
    cached: str
    partly: bool
    style: Literal["", "half", "interleaved"]

    @property
    def own_turn(self) -> bool:
        """Whether what turns queries and keys does not do as it is."""
        return bool(self.rope) and (self.partly or bool(self.style))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of its `forward`."""
        narrow = ("narrow: Tensor",) if self.narrow else ()
        rope = (f"rope: {self.rope}",) if self.rope else ()
        cache = (f"cache: {self.cached} | None",) if self.cached else ()
        return ("self", "x: Tensor", *narrow, *rope, "mask: Tensor", *cache)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What an attention hands on."""
        return tuple(each.partition(":")[0] for each in self.parameters[1:])


def index_view(
    index: Index, kind: LayerKind, fields: Fields, *, narrow: str, rope: Rope | None, given: tuple[str, str]
) -> IndexView:
    """The view of an indexer whose queries come from a vector `narrow` wide, or from the tokens; the caller names it.

    `given` are the types of rotary positions and of the cache, empty where there are none.
    """
    head_dim = fields.add("index_head_dim", index.head_dim, kind.name)
    return IndexView(
        name="",
        inside=narrow or "config.dim",
        narrow=bool(narrow),
        dim="config.dim",
        heads=fields.add("index_heads", index.heads, kind.name),
        head_dim=head_dim,
        top=fields.add("index_top", index.top, kind.name),
        norm=norm_expression(index.norm, head_dim, fields.eps(index.norm, kind, "index_norm_eps")),
        rope=given[0],
        cached=given[1],
        partly=rope is not None and rope.whole and rope.dim < index.head_dim,
        style=index.style if rope is not None and index.style != rope.style else "",
    )
