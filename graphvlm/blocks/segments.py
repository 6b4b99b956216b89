"""The segments of a sequence: which there are, and what is wrong with them or with what names them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..names import reserved
from ..problems import Problems
from ..settings import Settings
from ..words import listed, suggestion

# What the generated blocks call something else.
TAKEN = ("features", "x", "h", "mask", "rope", "cache", "sizes", "real", "marked", "layer", "visible", "positions")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a sequence: a stretch of it that comes in at a port of its own, or so many `learned` tokens; or, of
    one sequence, the tokens that the port `where` marks. Positions go on from those of the segment before, unless they
    `restart`."""

    name: str
    learned: int = 0
    where: str = ""
    restart: bool = False


def read_segments(settings: Settings) -> tuple[Segment, ...]:
    """The segments of a node; none where its tokens are all alike."""
    found = settings.get("segments", default={})
    return tuple(
        Segment(name, int(each.get("learned") or 0), each.get("where") or "", bool(each.get("restart", False)))
        for name, each in ((name, each or {}) for name, each in found.items())
    )


def segment_names(settings: Settings) -> tuple[str, ...]:
    """The names of the segments of a node."""
    return tuple(settings.get("segments", default={}))


def marked_segment(segments: tuple[Segment, ...]) -> Segment | None:
    """The segment that flags mark within one sequence, if that is how its tokens are told apart."""
    return next((segment for segment in segments if segment.where), None)


def check_segments(node: str, settings: Settings, problems: Problems) -> None:
    """Note segments that cannot stand together, or that go by a name in use."""
    segments = read_segments(settings)
    for segment in segments:
        names = [each for each in (segment.name, segment.where) if each]
        taken = next((each for each in names if each in TAKEN or _reserved(each)), None)
        if taken is not None:
            problems.error(
                "bad-segments",
                f"a segment of `{node}` is called `{taken}`, and that name is in use in the generated code",
                settings.span("segments", segment.name),
                help=f"call it `{taken}_tokens`, or as what it holds",
            )
            return
    for segment, why, edit in _faults(segments):
        message = f"segment `{segment.name}` of `{node}` {why}"
        problems.error("bad-segments", message, settings.span("segments", segment.name), help=edit)
        return


def _reserved(name: str) -> bool:
    """Whether the generated code has a variable or an attribute of a module that is called so."""
    return bool(reserved(name, "input") or reserved(name, "node"))


def _faults(segments: tuple[Segment, ...]) -> Iterator[tuple[Segment, str, str]]:
    """(the segment, what is wrong with it, an edit)."""
    marked = marked_segment(segments)
    for segment in segments:
        if marked is None:
            continue
        if segment.learned or segment.restart:
            key = "learned" if segment.learned else "restart"
            yield segment, f"is a part of one sequence, and has `{key}`", f"remove `{key}`, or the `where` of the other"
        elif (segment is not marked and segment.where) or len(segments) != _KINDS:
            why = "is told by marks: one segment has `where`, and one other is the rest of the sequence"
            yield segment, why, "write `{text: {}, image: {where: image_tokens}}`"


_KINDS = 2


def check_scopes(node: str, settings: Settings, problems: Problems) -> bool:
    """Whether every `scope` names a segment, and there are several where each has weights of its own."""
    names = [segment.name for segment in read_segments(settings)]
    for owner, path in _uses(settings):
        scope = owner.get(*path, "scope")
        if scope is not None and scope not in names:
            problems.error(
                "unknown-segment",
                f"`scope` of `{path[-1]}` of `{node}` names `{scope}`, and there is no such segment",
                owner.span(*path, "scope"),
                help=suggestion(scope, names, "segment") if names else "write `segments` beside `layers`",
            )
            return False
        if owner.get(*path, "weights_by") and len(names) < _KINDS:
            which = f"only {listed(names)}" if names else "no segments"
            problems.error(
                "unread-setting",
                f"`weights_by` of `{path[-1]}` of `{node}` is by segment, and there are {which}",
                owner.span(*path, "weights_by"),
                help="remove `weights_by`, or write two `segments` or more",
            )
            return False
    return True


def _uses(settings: Settings) -> Iterator[tuple[Settings, tuple[str, ...]]]:
    """Where a scope or `weights_by` may stand: (the node or an entry of its `where`, the path in it)."""
    where = settings.tree.get("layers", "where")
    for each in (settings, *(Settings(tree) for tree in (where.elements() if where else ()))):
        owners = [("attention",), ("mlp",), *(("sublayers", name) for name in each.get("sublayers", default={}))]
        for path in (*owners, ("norm",), *((*path, "norm") for path in owners)):
            if isinstance(each.get(*path), dict):
                yield each, path
