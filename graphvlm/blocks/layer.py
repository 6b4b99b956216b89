"""One layer while its settings are read."""

from __future__ import annotations

from dataclasses import dataclass

from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred
from .parse_square import Square
from .segments import segment_names

_CONCISE = {"attn": ("attention",), "mlp": ("mlp",)}


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one layer, with what `where` says of it merged in, and what it takes to parse them."""

    settings: Settings
    inferred: Inferred
    mlp_bias: bool
    max_tokens: int
    causal: bool
    grid: bool
    square: Square | None
    problems: Problems
    video: bool = False

    def own(self, name: str) -> Settings:
        """The settings of a sublayer."""
        return self.settings.child(*path_of(name))

    def by(self, own: Settings) -> tuple[str, ...]:
        """The segments that have weights of their own in a sublayer; in one of a single segment there is one kind."""
        return segment_names(self.settings) if own.get("weights_by") and not own.get("scope") else ()


def path_of(name: str) -> tuple[str, ...]:
    """Where the settings of a sublayer stand: `attention` and `mlp` are short for two of them."""
    return _CONCISE.get(name, ("sublayers", name))
