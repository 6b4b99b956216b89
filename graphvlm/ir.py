"""The typed graph: nodes that call components, edges between typed ports, everything decided.

`Graph` is what `resolve` makes and what every pass, page, drawing and report reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .blocks.parameters import Parameter
from .diagnostics import Span
from .dims import Var, Written
from .spec import Port, Signature, Spec
from .tree import Tree


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to what flows: an input of the graph (port empty) or an output port of a node."""

    name: str
    port: str = ""

    def __str__(self) -> str:
        return f"{self.name}.{self.port}" if self.port else self.name


@dataclass(frozen=True, slots=True)
class Input:
    """A keyword of the generated `forward`."""

    name: str
    port: Port
    span: Span | None = None
    inferred: bool = False
    written: Mapping[Var, Written] = field(default_factory=dict)

    @property
    def optional(self) -> bool:
        return self.port.what in ("mask", "pixel_mask", "stack_mask", "counts", "token_types")


@dataclass(frozen=True, slots=True)
class Tie:
    """A node has the weights of another, `to`, but for sublayers `but` and their norms."""

    to: str
    but: tuple[str, ...]

    def keeps(self, path: str) -> bool:
        """Whether a weight is the node's own."""
        parts = {part for name in self.but for part in (name, f"{name}_norm", f"{name}_post_norm", f"{name}_gate")}
        return not parts.isdisjoint(path.split(".")) or path.startswith("head.")


@dataclass(frozen=True, slots=True)
class Node:
    """One call of one component, with its shapes known; `owner` is the node whose weights it calls, if not its own.

    Its weights are split over `tensor_parallel` of the ranks of `tp`. These are so many `groups` that encode different
    images, or (1) all encode the same. With `expert_parallel` above 1, its experts lie on so many ranks, and with
    `context` its tokens in the layers; with `sequence`, ranks of `tp` share the tokens between sublayers; with
    `recompute`, layers keep what they read alone for the backward pass. Where the graph says so, `stage` of a pipeline
    or every one has it, or `stages` have so many of its layers each. Without `grad`, no gradient goes back through the
    call. A teacher has weights of its own, which follow those of another node: in each step it keeps `decay` of them.
    """

    name: str
    kind: str
    type: str
    spec: Spec
    inputs: Mapping[str, Ref]
    signature: Signature
    tree: Tree
    checkpoint: NodeCheckpoint
    tensor_parallel: int = 1
    expert_parallel: int = 1
    context: int = 1
    sequence: bool = False
    recompute: bool = False
    stage: int | Literal["all"] | None = None
    stages: tuple[int, ...] = ()
    fsdp: bool = True
    groups: int = 1
    owner: str = ""
    grad: bool = True
    follows: str = ""
    decay: float = 0.0
    tie: Tie | None = None

    @property
    def spread(self) -> bool:
        """Whether groups of ranks encode different images."""
        return self.groups > 1

    @property
    def module(self) -> str:
        """The node whose module is called: this one, unless it is another call."""
        return self.owner or self.name

    @property
    def source(self) -> str:
        """The node whose class and config it has: for a teacher and calls of it, the one that is followed."""
        return self.follows or self.module

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The weights that are this node's own; another call has none."""
        found = () if self.owner else self.spec.parameters()
        return tuple(each for each in found if self.tie.keeps(each.path)) if self.tie else found

    @property
    def stored(self) -> tuple[Parameter, ...]:
        """All that checkpoints hold of this node."""
        return () if self.owner else (*self.parameters, *self.spec.buffers())

    @property
    def parameter_count(self) -> int:
        return sum(parameter.count for parameter in self.parameters)

    @property
    def imported(self) -> bool:
        """Whether it has weights that are not known here: those of a module that is imported."""
        return bool(self.spec.package) and not self.owner


@dataclass(frozen=True, slots=True)
class NodeCheckpoint:
    """How the reference names the weights of a node: each of our modules by `names`, then in its `whole` form.

    `starts` are beginnings of names and what they become in a checkpoint of the whole; the first that fits counts.
    The joined matrices that begin with a module of `by_head` have the rows of a head together. `leading` is how many
    axes of length one the reference has before ours, `transposed` are modules whose matrix has our rows as columns.
    The rows of stacked `interleaved` ones, two joined, take turns; those of `flat` ones have one axis, and those of
    `square` tables stand in as many rows as columns.
    `scalars` are single numbers, which have no axis there, `rows` parameters that are one row each of a tensor there.
    """

    starts: tuple[tuple[str, str], ...]
    names: Mapping[str, str] = field(default_factory=dict)
    by_head: tuple[str, ...] = ()
    leading: Mapping[str, int] = field(default_factory=dict)
    transposed: tuple[str, ...] = ()
    interleaved: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    square: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def whole(self, name: str) -> str:
        """A name (or the beginning of one) as it is in a checkpoint of the whole graph."""
        return in_whole(name, self.starts)


def in_whole(name: str, starts: Iterable[tuple[str, str]]) -> str:
    """A name of a part alone as it is in a whole."""
    found = ((old, new) for old, new in starts if name.startswith(old))
    old, new = next(found, ("", ""))
    return new + name.removeprefix(old)


def in_part(name: str, starts: Iterable[tuple[str, str]]) -> str:
    """The other way."""
    return in_whole(name, ((new, old) for old, new in starts))


@dataclass(frozen=True, slots=True)
class Dead:
    """Part of a node that no output depends on, left out by a pass: our paths."""

    node: str
    paths: tuple[str, ...]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Freeze:
    """Parameters that get no gradient: `pattern` over node names and parameter paths, until step `until` if given."""

    pattern: str
    nodes: tuple[str, ...]
    parameters: tuple[str, ...]
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Parallelism:
    """The device mesh, outermost axis first."""

    mesh: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Generation:
    """Token ids that steer generation; `start` is the prompt of a decoder that attends to something encoded."""

    bos: int | None = None
    eos: tuple[int, ...] = ()
    pad: int | None = None
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an image is cut before it is encoded: a strategy by name, and its numbers."""

    type: str
    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """Images in a prompt: what stands for one in a text, how it is cut (None: as the graph has it), and how it becomes
    pixels.

    In a text `token` is the place of an image; `feature` is repeated there, once for each token of the image. The other
    texts stand around an image, its tiles, its rows of tiles or tokens, and the image as a whole. `token_id` is the
    number of `feature`, where images stand before the text and no fusion says it.
    """

    token: str
    token_id: int | None
    feature: str
    start: str
    end: str
    before_tile: str
    between_tiles: str
    between_rows: str
    after_rows: str
    before_overview: str
    after_overview: str
    tiling: Tiling | None
    resize: Literal["stretch", "crop"]
    resample: Literal["bilinear", "bicubic", "lanczos"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SoundPrompt:
    """Sounds in a prompt: what stands for one in a text, and how it becomes spectrograms.

    There are `rate` samples a second, a frame every `hop` of them from `window`. What is longer than a clip is cut off,
    or becomes several clips, up to `seconds` (0: without end).
    """

    token: str
    start: str
    end: str
    rate: int
    hop: int
    window: int
    long: Literal["cut", "apart", "together"]
    seconds: int


@dataclass(frozen=True, slots=True)
class VideoPrompt:
    """Videos in a prompt: what stands for one in a text, frame by frame, and when frames are that become one.

    Frames that keep their shape have from `least` to `most` pixels, each alone or (`volume`) all together.
    """

    token: str
    feature: str
    start: str
    end: str
    before_frame: str
    between_frames: str
    after_frame: str
    time: Literal["first", "middle"]
    volume: bool
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """How messages, images and sounds become what the model is given."""

    template: str = ""
    image: ImagePrompt | None = None
    sound: SoundPrompt | None = None
    video: VideoPrompt | None = None


@dataclass(frozen=True, slots=True)
class Passes:
    """Which rewrites are on."""

    dead_layers: bool = True
    merge_projections: bool = True
    rope_table: bool = True
    label_logits: bool = True


@dataclass(frozen=True, slots=True)
class Graph:
    """A resolved graph; `nodes` stand in topological order."""

    name: str
    description: str
    source: str
    inputs: Mapping[str, Input]
    nodes: Mapping[str, Node]
    outputs: Mapping[str, Ref]
    freeze: tuple[Freeze, ...]
    parallelism: Parallelism
    generation: Generation
    prompt: Prompt
    passes: Passes
    aliases: Mapping[str, str]
    ignored: tuple[str, ...]
    max_tokens: int | None
    tree: Tree
    dead: tuple[Dead, ...] = ()

    def port(self, ref: Ref) -> Port:
        """What flows at `ref`, and its shape."""
        return self.nodes[ref.name].signature.outputs[ref.port] if ref.port else self.inputs[ref.name].port

    @property
    def owners(self) -> tuple[Node, ...]:
        """The nodes without those that only call others: each is one module."""
        return tuple(node for node in self.nodes.values() if not node.owner)

    @property
    def teachers(self) -> tuple[Node, ...]:
        """The nodes whose weights follow others."""
        return tuple(node for node in self.owners if node.follows)

    def stream_start(self, name: str) -> tuple[str, str]:
        """Where the stream of tokens through a node begins, an input or a node, and the first node on it that makes
        something else of token ids."""
        first, embedded = name, False
        while name in self.nodes:
            ref = self.nodes[name].inputs.get(self.nodes[name].signature.stream)
            if ref is None:
                return name, first if embedded else name
            first, embedded = first if embedded else name, embedded or self.port(ref).what == "tokens"
            name = ref.name
        return name, first

    def embedding(self, name: str) -> str:
        """The node whose weights embed the tokens that a stream begins with; a tied head multiplies with them."""
        return self.nodes[self.stream_start(name)[1]].module

    @property
    def imported(self) -> tuple[Node, ...]:
        """The nodes whose modules are imported."""
        return tuple(node for node in self.nodes.values() if node.imported)

    @property
    def parameter_count(self) -> int:
        """All weights but those of modules that are imported."""
        return sum(node.parameter_count for node in self.nodes.values())
