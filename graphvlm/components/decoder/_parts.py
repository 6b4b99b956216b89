"""A decoder over several segments: their ports, what cannot be beside them, and what its template places."""

from __future__ import annotations

from dataclasses import dataclass

from ...blocks.parse_sublayers import ports_of
from ...blocks.segments import check_segments, marked_segment, read_segments
from ...blocks.settings import Stack
from ...dims import Var
from ...problems import Problems
from ...settings import Settings
from ...spec import Port


@dataclass(frozen=True, slots=True)
class PartPorts:
    """The input ports of the segments and of their masks; `stream` is the last segment, which goes on."""

    streams: dict[str, Port]
    masks: dict[str, Port]
    stream: str
    mask: str


def _stretches(settings: Settings) -> tuple[str, ...]:
    """The segments that come in at ports of their own; none where there is one sequence."""
    segments = read_segments(settings)
    return () if marked_segment(segments) else tuple(segment.name for segment in segments)


def stream_of(settings: Settings) -> str:
    """The port of the tokens that logits are of."""
    return (_stretches(settings) or ("features",))[-1]


def part_masks(settings: Settings) -> tuple[str, ...]:
    """The ports for the masks of the segments before the last."""
    return tuple(f"{name}_mask" for name in _stretches(settings)[:-1])


def part_ports(node: str, settings: Settings, last: Port) -> PartPorts:
    """The ports of a decoder whose tokens come in at `last`, with the segments before them. There may be none of these
    in a call, and a mask has a flag for each of so many equal runs of their tokens."""
    names = _stretches(settings)
    batch, seq, dim = last.shape
    mask = Port("mask", (batch, seq), optional=True)
    if not names:
        return PartPorts({"features": last}, {"mask": mask}, "features", "mask")
    streams, masks = dict[str, Port](), dict[str, Port]()
    for name in names[:-1]:
        streams[name] = Port("features", (batch, Var(f"{node}.{name}.tokens", "tokens"), dim), skippable=True)
        masks[f"{name}_mask"] = Port("mask", (batch, Var(f"{node}.{name}.runs", "runs")), optional=True, skippable=True)
    own = f"{names[-1]}_mask"
    return PartPorts({**streams, names[-1]: last}, {**masks, own: mask}, names[-1], own)


def check_parts(node: str, settings: Settings, blocks: Stack, problems: Problems) -> None:
    """Note what cannot be beside several segments."""
    check_segments(node, settings, problems)
    segments = read_segments(settings)
    own = () if marked_segment(segments) else segments
    learned = next((segment for segment in own if segment.learned), None)
    if learned is not None:
        problems.error(
            "bad-segments",
            f"segment `{learned.name}` of `{node}` is learned, and those of a decoder come in at ports",
            settings.span("segments", learned.name, "learned"),
            help="remove `learned`, and feed it",
        )
    if len(_stretches(settings)) > 1:
        _check_order(node, settings, problems)
        if any(blocks.linear):
            problems.error(
                "bad-segments",
                f"linear attention of `{node}` runs along one sequence, and what pads a text would stand in it, "
                "behind the segments before",
                settings.span("segments"),
                help="put the segments together with `fusion/prefix`, and tell them by `where`",
            )


def _check_order(node: str, settings: Settings, problems: Problems) -> None:
    """What says something of each token says it of one sequence."""
    mask = settings.get("attention", "mask")
    found = {
        ("inject",): settings.get("inject"),
        ("attention", "mask"): isinstance(mask, dict) and "any" in mask,
        ("position",): settings.has("position") and settings.get("position", "type") == "mrope",
    }
    found |= {("sublayers", name, "mask"): own.has("mask", "visible") for name, own in ports_of(settings)}
    for path, there in found.items():
        if there:
            problems.error(
                "bad-segments",
                f"`{'.'.join(path)}` of `{node}` is told for each token of one sequence, and it has several segments",
                settings.span(*path),
                help="put the segments together in a `fusion` node, and tell them by `where`",
            )


_SEVERAL = 2


@dataclass(frozen=True, slots=True)
class DecoderParts:
    """What the template places: the segments `before` the last, called `last`, and the masks that some of them have.

    `masks` are names of parameters by segment, empty for one that has none; `groups` are the segments through which
    positions run. `marked` if they are told by flags instead.
    """

    before: tuple[str, ...]
    last: str
    masks: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    marked: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.before, self.last)

    @property
    def ahead(self) -> str:
        """How many positions there are before that of the first token of the last segment."""
        return self._length(self.groups[-1][:-1])

    @property
    def lengths(self) -> tuple[str, ...]:
        """How many positions there are in each run of segments before it."""
        found = (*(self._length(group) for group in self.groups[:-1]), self.ahead)
        return tuple(filter(None, found))

    @property
    def each(self) -> bool:
        """Whether each segment before it is such a run."""
        return len(self.lengths) == len(self.before)

    def _length(self, group: tuple[str, ...]) -> str:
        return " + ".join(f"sizes[{self.names.index(name)}]" for name in group)


def decoder_parts(stack: Stack, hidden: tuple[str, ...]) -> DecoderParts | None:
    """The view of the segments of a decoder, of which those before the last have these masks."""
    segments = stack.segments
    if len(segments) < _SEVERAL:
        return None
    if marked_segment(segments):
        return DecoderParts((), "", (), (), marked=True)
    groups: list[tuple[str, ...]] = []
    for segment in segments:
        if groups and not segment.restart:
            groups[-1] = (*groups[-1], segment.name)
        else:
            groups.append((segment.name,))
    names = tuple(segment.name for segment in segments)
    masks = tuple(mask if mask in hidden else "" for mask in (f"{name}_mask" for name in names[:-1]))
    return DecoderParts(names[:-1], names[-1], masks, tuple(groups), marked=False)
