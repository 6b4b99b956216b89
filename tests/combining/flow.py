"""A graph that grows: what its nodes give, and which of it is still to be used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..block_strategies import Drawing

VOCAB = 40
MAX_TOKENS = 2048


@dataclass(frozen=True)
class Features:
    """What flows out of a port: [rows, tokens, dim].

    `rows` names what the first axis counts, so that features of the same `rows` and `tokens` can be joined. `grid` is
    known where tokens are rows and columns of an image; with `group`, blocks of that side stand together.
    """

    ref: str
    dim: int
    rows: str
    tokens: int | str
    grid: tuple[int, int] | None = None
    group: int = 1
    measured: str = ""  # the `grid` of images of any size, of which `group` says how many patches are a token
    frames: int = 1  # how many frames are one token
    mask: str = ""  # which tokens are no padding
    cut: str = ""  # the stack of images that tiles were cut from
    sizes: str = ""  # of the images that were cut
    video: str = ""  # the input whose frames these are


@dataclass(frozen=True)
class Stream:
    """A text on its way to a decoder: its node, its ids if it has any, and where image tokens stand in it."""

    ref: str
    ids: str = ""
    prefixed: bool = False
    placed: str = ""  # the scatter that came last


@dataclass
class Growing(Drawing):
    """A drawing that hands out names and token ids."""

    scattered: dict[str, list[tuple[Features, int]]] = field(default_factory=dict)  # scatter -> what it placed, where
    _names: dict[str, int] = field(default_factory=dict)
    _token: int = VOCAB

    def name(self, stem: str) -> str:
        """`vit_0`, then `vit_1`."""
        number = self._names.get(stem, 0)
        self._names[stem] = number + 1
        return f"{stem}_{number}"

    def token(self) -> int:
        """A token id that stands for something else than text."""
        self._token -= 1
        return self._token

    def input(self, stem: str, what: Any) -> str:
        """A new input."""
        name = self.name(stem)
        self.inputs[name] = what
        return name

    def node(self, kind: str, reads: Any, **settings: Any) -> str:
        """A new node `kind/type`."""
        kind, _, type_ = kind.partition("/")
        return self.add(self.name(type_), reads, kind=kind, type=type_, **settings)

    def take(self, found: list[Features]) -> list[Features]:
        """Features drawn from what there is, each at most once."""
        count = self.pick(*range(len(found) + 1)) if found else 0
        chosen = list(found)
        while len(chosen) > count:
            chosen.pop(self.pick(*range(len(chosen))))
        return chosen


def same_tokens(found: list[Features]) -> list[list[Features]]:
    """Features that can be joined: of the same tokens."""
    groups: dict[tuple[str, int | str], list[Features]] = {}
    for each in found:
        groups.setdefault((each.rows, each.tokens), []).append(each)
    return [group for group in groups.values() if len(group) > 1]


def same_images(found: list[Features]) -> list[list[Features]]:
    """Features whose tokens can stand behind each other: of the same images, which have rows of their own."""
    groups: dict[str, list[Features]] = {}
    for each in found:
        if not each.measured and not str(each.tokens).startswith(("packed", "merged")):
            groups.setdefault(each.rows, []).append(each)
    return [group for group in groups.values() if len(group) > 1]


def through(features: Features, ref: str, dim: int) -> Features:
    """The same tokens with other numbers."""
    return replace(features, ref=ref, dim=dim)
