"""What one text model class of transformers is, for the reader that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from .fields import Fields
from .tables import ConfigTable

Node = dict[str, Any]
Layout = Literal["contiguous", "interleaved", "turns"]


@dataclass(frozen=True, slots=True)
class Variant:
    """Layers that differ from the usual ones: a name for them, their numbers from 0, and what `where` says of them."""

    name: str
    layers: tuple[int, ...]
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Position:
    """The language's `position`, and the longest sequence that it is meant for.

    `full` and `sliding` are what layers without and with a window have in place of `setting`.
    """

    setting: Any
    max_tokens: int
    full: Any = None
    sliding: Any = None


@dataclass(frozen=True, slots=True)
class Experts:
    """The feed-forward of most layers, and the layers that have another."""

    mlp: Node
    variants: tuple[Variant, ...] = ()


def dense(text: Fields, mlp: Node) -> Experts:
    """No experts at all."""
    return Experts(mlp)


def as_read(text: Fields, node: Node) -> None:
    """Nothing to change."""


def no_variants(text: Fields) -> tuple[Variant, ...]:
    """All layers alike."""
    return ()


@dataclass(frozen=True, slots=True)
class TextKind:
    """A text model class as settings of the block language: what its code fixes, beside what its config says.

    `bias` decides over the four projections of an attention, together or one by one: a field that says it, or the
    decision itself; so does `mlp_bias`. `activation` is that of a class without a field for it. `window`: every layer
    (`all`), or those that layer types name, or else those that `max_window_layers` names (`some`), every layer
    (`listed`), every other (`even`) or all but every n-th (`pattern`: the field `sliding_window_pattern`, or `every`
    where the class has no such field), or none. `norm` is what norms have beside eps, `embedding` and `head` what these
    have beside sizes. `activations` are those that the class does not take at their word. `style` is how rotary
    positions pair numbers, `partial` whether they may turn a part of each head. With `sections` they have three
    numbers, for as many pairs each unless the file says otherwise, in this `layout`. `position`, `experts` and
    `variants` read what their names say, `adapt` changes the decoder node in the end.
    """

    table: ConfigTable
    bias: str | bool | Mapping[str, bool | str] = False
    mlp_bias: str | bool = False
    gated: bool = True
    qk_norm: Literal["", "head", "all"] = ""
    window: Literal["none", "all", "listed", "some", "even", "pattern"] = "none"
    every: int = 0
    norm: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({"type": "rms"}))
    activation: str = ""
    activations: Mapping[str, str] = field(default_factory=dict)
    embedding: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    style: Literal["half", "interleaved"] = "half"
    partial: bool = False
    sections: tuple[int, ...] = ()
    layout: Layout = "contiguous"
    checkpoint: str = "checkpoint/llama"
    position: Callable[[Fields, TextKind, int], Position] | None = None
    experts: Callable[[Fields, Node], Experts] = dense
    variants: Callable[[Fields], tuple[Variant, ...]] = no_variants
    adapt: Callable[[Fields, Node], None] = as_read
