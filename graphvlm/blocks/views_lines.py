"""The lines of a block's `forward`: what each sublayer does to the tokens `x`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from ..code import WIDTH, Statement, laid_out
from .segments import marked_segment
from .settings import Attention, Cross, LayerKind, Mlp, Stack, Sublayer, is_choosing
from .views_cross import reads
from .views_ops import Given


@dataclass(frozen=True, slots=True)
class Passed:
    """What a block hands on, after the tokens: to its self-attention, to one that asks where its tokens stand, to a
    linear one.

    What is read at a port is one value, or (`direct`) tensors. `optional` are the ports that may bring nothing, `open`
    the tensors that may not be there. `part`
    says which tokens are of which of the `segments`, for what has weights by segment; `marked` is the one whose tokens
    it marks, if it does not say how many each has. Where one `segment` is updated by itself, its own weights are at
    hand. If `chosen`, what an indexer chooses is handed on.
    """

    own: tuple[str, ...]
    placed: tuple[str, ...]
    linear: tuple[str, ...]
    cached: bool
    direct: bool
    optional: frozenset[str]
    open: frozenset[str] = frozenset()
    part: str = ""
    segments: tuple[str, ...] = ()
    marked: str = ""
    segment: str = ""
    chosen: bool = False

    def crossed(self, cross: Cross) -> tuple[str, ...]:
        """What it hands on to attention over a port."""
        if self.direct:
            return tuple(name for name, _ in reads(cross))
        return (cross.port, *(("cache",) if self.cached else ()))

    def rows(self, port: str) -> str:
        """Where it has which tokens see something of a port."""
        return f"{port}_rows" if self.direct else f"{port}.rows"


def passed(stack: Stack, given: Given, linear: Given, open_: frozenset[str]) -> Passed:
    """What the blocks of `stack` hand on of what they are given; `linear` is that for linear attention."""
    optional = frozenset(cross.port for cross in stack.crossed if stack.skipped(cross.port) and not given.direct)
    marked = marked_segment(stack.segments)
    own, placed = (replace(given, placed=placed).names for placed in (False, True))
    return Passed(
        own,
        placed,
        linear.names,
        given.cached,
        given.direct,
        optional,
        open_,
        given.parts[0] if given.parts else "",
        tuple(segment.name for segment in stack.segments),
        marked.name if marked else "",
        chosen=given.chosen,
    )


def block_lines(kind: LayerKind, given: Passed) -> tuple[str, ...]:
    """All lines, relative to the body of `forward`. What depends on a port that may bring nothing stands in an `if`."""
    found: list[str] = []
    for scoped, run in groupby(kind.groups, key=lambda group: _is_split(group, given)):
        if scoped:
            found += _split_lines(list(run), given)
            continue
        for needed, groups in groupby(run, key=lambda group: needed_by(group, given)):
            pad = "    " if needed else ""
            found += _guard(needed)
            found += [f"{pad}{line}" for group in groups for line in _group_lines(group, given, _ROOM - len(pad))]
    return tuple(found)


def _is_split(group: tuple[Sublayer, ...], given: Passed) -> bool:
    """Whether a group updates segments that are stretches of the sequence by themselves."""
    return not given.marked and any(sublayer.scope for sublayer in group)


def _split_lines(groups: list[tuple[Sublayer, ...]], given: Passed) -> Iterator[str]:
    """The sequence in its segments, each updated by its own sublayers, and whole again."""
    yield from _laid_out(Statement(", ".join(given.segments), "torch.split", ("x", given.part, "dim=1")))
    for group in groups:
        for segment in given.segments:
            own = tuple(replace(each, scope="") for each in group if each.scope in ("", segment))
            if any(each.scope == segment for each in group):
                shared = group[0].name if any(each.place == "shared" for each in group) else ""
                needed = needed_by(own, given)
                yield from _guard(needed)
                pad = "    " if needed else ""
                lines = _group_lines(own, replace(given, segment=segment), _ROOM - len(pad), segment, shared)
                yield from (f"{pad}{line}" for line in lines)
    yield from _laid_out(Statement("x", "torch.cat", (f"({', '.join(given.segments)})", "dim=1")))


def _laid_out(statement: Statement) -> list[str]:
    return [line[_INDENT:] for line in laid_out(statement, _INDENT).split("\n")]


_INDENT = 8


def needed_by(group: tuple[Sublayer, ...], given: Passed) -> tuple[str, ...]:
    """What a group cannot do without, where it may not be there: then it is left out."""
    found = {_needed(sublayer, given) for sublayer in group}
    return found.pop() if len(found) == 1 else ()


def _needed(sublayer: Sublayer, given: Passed) -> tuple[str, ...]:
    port = _port(sublayer)
    if port in given.optional:
        return (port,)
    cross = sublayer.op.cross if isinstance(sublayer.op, Attention) else None
    read = (*(given.crossed(cross) if cross else ()), given.rows(sublayer.rows) if sublayer.rows else "")
    return tuple(name for name in read if name in given.open)


def _guard(needed: tuple[str, ...]) -> list[str]:
    return [f"if {' and '.join(f'{name} is not None' for name in needed)}:"] if needed else []


def _port(sublayer: Sublayer) -> str:
    cross = sublayer.op.cross if isinstance(sublayer.op, Attention) else None
    return cross.port if cross and sublayer.optional else sublayer.rows


_ROOM = WIDTH - _INDENT


def _group_lines(
    group: tuple[Sublayer, ...], given: Passed, room: int, x: str = "x", shared: str = ""
) -> Iterator[str]:
    """The lines of sublayers that read the same `x`, through the norm of `shared` if they have one together."""
    if len(group) > 1 and (group[0].place == "post" or group[0].residual.join):
        yield from _joint_lines(group, given, room, x)
        return
    shared = shared or (group[0].name if any(sublayer.place == "shared" for sublayer in group) else "")
    if len(group) == 1 and not (shared and group[0].place == "shared"):
        yield from _update(group[0], given, room, x)
        return
    source = ""
    if shared:
        yield f"h = {_norm(replace(group[0], name=shared), x, given)}"
        source = "h"
    for each in group:
        if _chooses(each, given):
            yield f"{each.name}, chosen = {_call(each, _read(each, source, given, x), given)}"
    terms = dict(_terms(group, given, source, x))
    skip = _skip(group[0], x)
    line = f"{x} = {skip}{' + '.join(terms.values())}"
    if len(line) <= room:
        yield line
        return
    for name, term in terms.items():
        yield f"{name} = {term}"
    yield f"{x} = {skip}{' + '.join(terms)}"


def _joint_lines(group: tuple[Sublayer, ...], given: Passed, room: int, x: str) -> Iterator[str]:
    """The lines of sublayers in brackets whose results become one: by a linear map, or with a norm behind their sum."""
    first, after = group[0], group[0].place == "post"
    source = ""
    if not after and any(sublayer.place == "shared" for sublayer in group):
        yield f"h = {_norm(first, x, given)}"
        source = "h"
    plain = tuple(replace(each, place="none") for each in group) if after else group
    terms = dict(_terms(plain, given, source, x))
    skip = _skip(first, x)

    def final(together: str) -> str:
        line = f"{skip}{together}"
        return f"{x} = {_norm(first, line, given) if after else line}"

    line = final(_together(first, tuple(terms.values())))
    if len(line) <= room:
        yield line
        return
    yield from (f"{name} = {term}" for name, term in terms.items())
    line = final(_together(first, tuple(terms)))
    if first.residual.join and len(line) > room:
        yield from _laid_out(Statement("h", f"self.{first.name}_join", (f"torch.cat(({', '.join(terms)}), dim=-1)",)))
        line = final("h")
    yield line


def _together(first: Sublayer, results: tuple[str, ...]) -> str:
    """What becomes of the results of sublayers in brackets."""
    if first.residual.join:
        return f"self.{first.name}_join(torch.cat(({', '.join(results)}), dim=-1))"
    return " + ".join(results)


def _terms(group: tuple[Sublayer, ...], given: Passed, source: str, x: str) -> Iterator[tuple[str, str]]:
    """(name, expression) of what is added to `x`; the same read by marked tokens and by the others is one term."""
    inside = [each for each in group if each.scope == given.marked and each.scope]
    outside = [each for each in group if each.scope != given.marked and each.scope]
    both = [*inside, *outside]
    plain = not any(_factor(each, given) for each in both)
    if len(inside) == len(outside) == 1 and plain and {each.place for each in both} <= _ONE_READ:
        read = ", ".join((_read(outside[0], source, given, x), given.part, *(f"self.{each.name}" for each in both)))
        yield outside[0].name, f"by_mark({read})"
        group = tuple(each for each in group if each not in both)
    for each in group:
        yield each.name, f"{_factor(each, given)}{_branch(each, _read(each, source, given, x), given)}"


# Norms with which sublayers in brackets read the same.
_ONE_READ = {"pre", "shared"}


def _update(sublayer: Sublayer, given: Passed, room: int, x: str) -> Iterator[str]:
    """`x` after one sublayer; in several lines where one would be long."""
    if sublayer.place == "through":
        yield f"{x} = {_norm(sublayer, x, given)}"
    factor, read = _factor(sublayer, given), _read(sublayer, "", given, x)
    skip = _skip(sublayer, x)
    call = _call(sublayer, read, given)
    if _chooses(sublayer, given):
        if len(f"h, chosen = {call}") > room and read != x:
            yield f"h = {read}"
            call = _call(sublayer, "h", given)
        yield f"h, chosen = {call}"
        call = "h"
    for inner in (call, "h"):
        whole = _placed(sublayer, inner, given)
        line = f"{x} = {skip}{factor}{whole}"
        if sublayer.place == "post":
            line = f"{x} = {_norm(sublayer, f'{skip}{factor}{inner}', given)}"
        if len(line) <= room or inner == "h":
            yield line
            return
        if len(f"h = {call}") > room and read != x:
            yield f"h = {read}"
            call = _call(sublayer, "h", given)
        yield f"h = {call}"


def _skip(sublayer: Sublayer, x: str) -> str:
    """What results are added to."""
    kept = sublayer.residual.skip
    return "" if kept == 0 else f"{x} + " if kept == 1 else f"self.{sublayer.name}_skip * {x} + "


def _branch(sublayer: Sublayer, read: str, given: Passed) -> str:
    call = sublayer.name if _chooses(sublayer, given) else _call(sublayer, read, given)
    return _placed(sublayer, call, given)


def _chooses(sublayer: Sublayer, given: Passed) -> bool:
    """Whether an operation gives, beside its result, the keys that it has chosen for other layers too."""
    return given.chosen and isinstance(sublayer.op, Attention) and sublayer.op.index is not None


def _call(sublayer: Sublayer, read: str, given: Passed) -> str:
    op, more = sublayer.op, given.linear
    if isinstance(op, Attention):
        own = given.placed if op.temperature else given.own
        if op.follows:
            own = tuple("mask & chosen" if name == "mask" else name for name in own)
        more = given.crossed(op.cross) if op.cross else own
    elif isinstance(op, Mlp):
        more = (_real(given),) if is_choosing(op) else ()
    if sublayer.scope:
        return _of_marked(sublayer, read, given)
    if isinstance(op, Attention) and op.grid and op.grid.apart:
        return f"by_{op.grid.within}(self.{sublayer.name}, {read}, frames)"
    if isinstance(op, Attention | Mlp) and op.by:
        return _parted(sublayer.name, (read, *more), given)
    return f"self.{sublayer.name}({', '.join((read, *more))})"


def _real(given: Passed) -> str:
    """Which tokens stand, of all or of one segment."""
    return f"part_of(real, {given.part}, {given.segments.index(given.segment)})" if given.segment else "real"


def _parted(name: str, arguments: tuple[str, ...], given: Passed) -> str:
    """A call of what has weights by segment: those of one, or told which tokens are of which."""
    if given.segment:
        return f"self.{name}.{given.segment}({', '.join(arguments)})"
    unread = [each for each in arguments if each.startswith("**")]
    known = [each for each in arguments if each not in unread]
    return f"self.{name}({', '.join((*known, given.part, *unread))})"


def _of_marked(sublayer: Sublayer, read: str, given: Passed) -> str:
    """The call for the tokens that are marked, or for the others; these have zeros."""
    own, others = f"self.{sublayer.name}", "torch.zeros_like"
    both = (own, others) if sublayer.scope == given.marked else (others, own)
    return f"by_mark({', '.join((read, given.part, *both))})"


def _read(sublayer: Sublayer, shared: str, given: Passed, x: str) -> str:
    """What the operation reads; `shared` is the variable of a norm that several have together."""
    if sublayer.place in ("pre", "sandwich", "shared"):
        return shared or _norm(sublayer, x, given)
    return x


def _norm(sublayer: Sublayer, value: str, given: Passed, name: str = "norm") -> str:
    """The norm of a sublayer; one with weights by segment is told which tokens are of which."""
    called = f"{sublayer.name}_{name}"
    return _parted(called, (value,), given) if sublayer.norm.by else f"self.{called}({value})"


def _placed(sublayer: Sublayer, value: str, given: Passed) -> str:
    """The result of the operation, through the norm that stands after it."""
    if sublayer.place == "sandwich":
        return _norm(sublayer, value, given, "post_norm")
    return _norm(sublayer, value, given) if sublayer.place == "branch" else value


def _factor(sublayer: Sublayer, given: Passed) -> str:
    """What the result is multiplied with."""
    gate = f"self.{sublayer.name}_gate"
    gate = f"local({gate})" if sublayer.residual.tokens else gate
    text = {"tanh": f"{gate}.tanh() * ", None: ""}.get(sublayer.residual.gate, f"{gate} * ")
    scale = f"self.{sublayer.name}_scale * " if sublayer.residual.scale != 1 else ""
    rows = f"{given.rows(sublayer.rows)} * " if sublayer.rows else ""
    return scale + text + rows
