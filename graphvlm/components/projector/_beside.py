"""Tokens that stand beside the learned ones of a stack in one sequence: a text that says what to look for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...blocks.parameters import layer
from ...blocks.segments import Segment, check_segments, read_segments
from ...blocks.settings import LayerKind, Stack, Sublayer
from ...dims import Dim, Var
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port


@dataclass(frozen=True, slots=True)
class Beside:
    """The segment that flows in, `before` the learned tokens or behind them.

    It has `positions` learned positions, or none (0); `masked` if it may have padding; `read` if an output gives it.
    """

    name: str
    before: bool
    positions: int
    masked: bool
    read: bool


def own_segments(settings: Settings) -> tuple[Segment, Segment | None]:
    """The segment of learned tokens (or of means of squares), and the one that flows in beside it, if there is one."""
    found = read_segments(settings)
    own = next((each for each in found if each.learned or settings.has("segments", each.name, "window")), found[0])
    return own, next((each for each in found if each is not own), None)


def beside_ports(node: str, settings: Settings, images: Dim, dim: Dim, vocab: Dim | None = None) -> dict[str, Port]:
    """The ports of the tokens that flow in and of their mask."""
    own, found = own_segments(settings)[0], dict[str, Port]()
    for segment in read_segments(settings):
        if segment.name != own.name:
            tokens = Var(f"{node}.{segment.name}.tokens", "tokens")
            found[segment.name] = Port("features", (images, tokens, dim), vocab=vocab)
            found[f"{segment.name}_mask"] = Port("mask", (images, tokens), optional=True, of=segment.name)
    return found


def read_beside(settings: Settings, inferred: Inferred, blocks: Stack | None, problems: Problems) -> Beside | None:
    """What stands beside the learned tokens; where nothing can, that is noted."""
    own, other = own_segments(settings)
    _check_position(settings, inferred.node, other, problems)
    if other is None:
        return None
    check_segments(inferred.node, settings, problems)
    _check_names(settings, inferred.node, own, other, problems)
    reason = _fault(settings, own, other, blocks)
    if reason:
        why, edit = reason
        message = f"segment `{other.name}` of `{inferred.node}` {why}"
        problems.error("bad-queries", message, settings.span("segments", other.name), help=edit)
    return Beside(
        name=other.name,
        before=next(iter(settings.get("segments"))) == other.name,
        positions=int(settings.get("position", "max", default=0)) if settings.has("position") else 0,
        masked=f"{other.name}_mask" in inferred.inputs,
        read=True,
    )


# What the module and its `forward` have beside these.
_TAKEN = frozenset(
    (
        *("layers", "norm", "input_norm", "position", "tokens", "most", "places", "learned"),
        *("head", "prefix", "placed", "kept", "cache", "logits", "before"),
    )
)


def _check_names(settings: Settings, node: str, own: Segment, other: Segment, problems: Problems) -> None:
    """Note names of segments that the code around them has too."""
    taken = next((each.name for each in (own, other) if each.name in _TAKEN), "")
    if taken:
        message = f"a segment of `{node}` cannot be called `{taken}`: the generated code uses it"
        help_ = "call it `query`" if taken == own.name else "call it `text`"
        problems.error("bad-queries", message, settings.span("segments", taken), help=help_)


_SEVERAL = 2


def _fault(settings: Settings, own: Segment, other: Segment, blocks: Stack | None) -> tuple[str, str] | None:
    """Why the segment cannot stand beside the learned tokens, and an edit."""
    if len(settings.get("segments")) > _SEVERAL:
        return "is a third one: beside learned tokens stands one text", "join two texts before they flow in"
    if other.learned or other.where or other.restart:
        return "flows in as it is", f"write `{other.name}: {{}}`"
    if not own.learned:
        return "stands beside means of squares, which see their square alone", "remove it"
    if blocks and any(cross.own for cross in blocks.crossed):
        edit = "let the sublayer read the port alone"
        return "stands beside tokens whose keys are joined with those of a port", edit
    if blocks and blocks.choosing:
        return "stands beside experts that choose their tokens", "remove `chooses`"
    return None


def _check_position(settings: Settings, node: str, other: Segment | None, problems: Problems) -> None:
    """Learned tokens need no positions: these are of the text beside them."""
    scope = settings.get("position", "scope") if settings.has("position") else None
    if scope is None or (other is not None and scope == other.name):
        return
    message = f"`position` of `{node}` is of `{scope}`, and positions are of tokens that flow in beside learned ones"
    edit = f"write `scope: {other.name}`" if other else "remove `position`: learned tokens need none"
    problems.error("bad-queries", message, settings.span("position", "scope"), help=edit)


def without_end(stack: Stack, segment: str) -> tuple[Stack, tuple[str, ...]]:
    """The stack without what is done to a segment once no other token sees it again, and the paths of what went."""
    order, kinds, gone = list(stack.order), list(stack.kinds), []
    for index in reversed(range(len(order))):
        kind = kinds[order[index]]
        groups, cut, seen = _cut(kind, segment)
        if cut:
            gone += [f"layers.{index}.{path}" for path in _modules(cut, stack.dim)]
            changed = replace(kind, name=_unused("_".join(filter(None, (kind.name, "last"))), kinds), groups=groups)
            order[index] = len(kinds)
            kinds.append(changed)
        if seen:
            break
    used = sorted(set(order))
    found = replace(stack, kinds=tuple(kinds[each] for each in used), order=tuple(used.index(each) for each in order))
    return (found, tuple(gone)) if gone else (stack, ())


def _cut(kind: LayerKind, segment: str) -> tuple[tuple[tuple[Sublayer, ...], ...], list[Sublayer], bool]:
    """The groups of a layer that are left, the sublayers that went, and whether all tokens meet before these."""
    left, cut = list(kind.groups), list[Sublayer]()
    for place in reversed(range(len(left))):
        if any(not each.scope for each in left[place]):
            return tuple(left), cut, True
        if all(each.scope == segment for each in left[place]):
            cut += left.pop(place)
    return tuple(left), cut, False


def _modules(sublayers: list[Sublayer], dim: int) -> Iterator[str]:
    """The modules of sublayers and of their norms, as if nothing was merged."""
    weights = layer(LayerKind("", tuple((each,) for each in sublayers)), dim)
    paths = (piece.path.rpartition(".")[0] or piece.path for parameter in weights for piece in parameter.pieces)
    yield from dict.fromkeys(paths)


def _unused(name: str, kinds: list[LayerKind]) -> str:
    taken, number, found = {kind.name for kind in kinds}, 2, name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found
