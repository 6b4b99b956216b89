"""What a node is once it is decided: its ports, what was inferred about it, its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .blocks.parameters import Parameter
from .blocks.settings import Stack
from .diagnostics import Label, Span
from .dims import Dim, Var, Written
from .settings import Settings

What = Literal[
    "image",
    "video",
    "stack",
    "pixel_mask",
    "stack_mask",
    "tiles",
    "tile_grid",
    "arrangement",
    "tile_mask",
    "patches",
    "grid",
    "sizes",
    "counts",
    "seconds",
    "audio",
    "tokens",
    "token_types",
    "mask",
    "visible",
    "positions",
    "features",
    "vector",
    "logits",
    "scores",
    "cache",
    "chosen",
    "classes",
    "labels",
    "repeats",
    "weights",
    "loss",
]


@dataclass(frozen=True, slots=True)
class Port:
    """One end of an edge: what flows, and its shape.

    `vocab` is the vocabulary of the token embedding that a stream of features comes from, or goes on to predict.
    `tail` is how many of its last tokens outputs are wanted for. A mask may be that `of` what flows into another port.
    A node does without what flows into a `skippable` port when the caller passes None there: a prompt without images.
    What flows may be a parameter, which depends on no input: `weight` is how the module of the node gives it.
    """

    what: What
    shape: tuple[Dim, ...]
    optional: bool = False
    vocab: Dim | None = None
    tail: Dim | None = None
    skippable: bool = False
    of: str = ""
    weight: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """The ports of one node. The first of each mapping is the default port.

    `sizes` are the settings that can be inferred, each a variable; `written` holds what is known of these and other
    variables in the ports. `stream` names the input whose tokens run through to the output: masks and token embeddings
    are found along it, and its mask goes to the port `mask`. `tied` is where the node asks for the weight of that
    embedding. `absent` are outputs that it would have but for one of its settings; `unread` are inputs that other calls
    of the same weights read, and this one does not; `aside` are outputs that the stream does not run through to. The
    tokens of the inputs `alike` are those of the output, though none of them is its stream: their masks are its masks.
    """

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    sizes: Mapping[str, Var] = field(default_factory=dict)
    written: Mapping[Var, Written] = field(default_factory=dict)
    stream: str = ""
    mask: str = "mask"
    tied: Span | None = None
    absent: Mapping[str, Label] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    aside: frozenset[str] = frozenset()
    alike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inferred:
    """What was found out about one node: a number for each of its `sizes`, and its connected input ports.

    `origins` says where these numbers were written, and under `vocab` also the vocabulary of its stream.
    """

    node: str
    sizes: Mapping[str, int]
    inputs: Mapping[str, Port]
    origins: Mapping[str, Written] = field(default_factory=dict)

    def label(self, size: str, text: str) -> tuple[Label, ...]:
        """A label where a size was written; nothing where it was not."""
        origin = self.origins.get(size)
        return (Label(origin.span, text),) if origin else ()


class Spec(ABC):
    """A node with every setting decided. Immutable; what is here holds for a node without weights or blocks."""

    __slots__ = ()

    @property
    def stack(self) -> Stack | None:
        """The blocks of the node, if it has any."""
        return None

    def parameters(self) -> tuple[Parameter, ...]:
        """Every weight, in the order of the generated module."""
        return ()

    def buffers(self) -> tuple[Parameter, ...]:
        """What is saved with the weights and no gradient changes."""
        return ()

    @property
    def origin(self) -> tuple[str, str]:
        """A module of Python and what in it makes the module of the node, if that is imported: there alone its weights
        are known."""
        return "", ""

    @property
    def package(self) -> str:
        """The package that has to be installed for it."""
        return self.origin[0].partition(".")[0]

    @abstractmethod
    def summary(self) -> str:
        """A few words for drawings and pages: `vit, 24 layers, 1024 wide, 16 heads`."""

    def resolved(self) -> dict[str, Any]:
        """The settings that were inferred, as they would be written in YAML."""
        return {}

    def prune(self, outputs: frozenset[str]) -> tuple[Spec, tuple[str, ...]]:
        """The spec without what none of `outputs` depends on, and the module paths that went."""
        return self, ()

    def with_stack(self, stack: Stack) -> Spec:
        """The same node with other blocks; called only where there are some."""
        raise NotImplementedError


def counted(count: int, word: str) -> str:
    """`1 layer`, `24 layers`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def hole(node: str, setting: str) -> Var:
    """The variable for a setting that may have been left out."""
    return Var(f"{node}.{setting}", setting, hole=True)


def sizes_of(
    name: str, settings: Settings, *names: str, removable: bool = True
) -> tuple[dict[str, Var], dict[Var, Written]]:
    """Variables for the settings `names` of a node, and what was written of them.

    `removable` if a message may say that they are better left out: they follow from what the node is connected to.
    """
    variables = {setting: hole(name, setting) for setting in names}
    written = {
        variable: known(name, settings, setting, setting=setting if removable else "")
        for setting, variable in variables.items()
        if settings.has(setting)
    }
    return variables, written


def known(name: str, settings: Settings, *path: str, setting: str = "") -> Written:
    """The number at `path` of the settings of a node."""
    return Written(int(settings.get(*path)), settings.span(*path), name, setting)
