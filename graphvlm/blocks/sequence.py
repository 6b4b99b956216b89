"""Which segments of a stack a call runs as one sequence, in what order they see each other, and what stands before."""

from __future__ import annotations

from dataclasses import dataclass

from ..problems import Problems
from ..settings import Settings
from ..tree import Tree
from ..words import suggestion
from .parse_sublayers import mask_of, masks_of, port_of, ports_of
from .segments import read_segments, segment_names
from .settings import Attention, Stack


@dataclass(frozen=True, slots=True)
class Way:
    """How a call runs a stack of segments: those of its `sequence`, in the order of the stack.

    If it is `causal`, a token sees itself and those before it. With `after`, keys and values of another call stand
    before its own, and all tokens see them.
    """

    sequence: tuple[str, ...]
    causal: bool = False
    after: bool = False

    @property
    def method(self) -> str:
        """What the method of the generated module is called that runs it so."""
        words = ("causal" if self.causal else "", "_and_".join(self.sequence), "after" if self.after else "")
        return "run_" + "_".join(filter(None, words))


def read_way(settings: Settings) -> Way:
    """How a node, or another call of it, runs its segments. What is wrong with it is noted by `check_way`."""
    names, called = segment_names(settings), settings.has("call")
    chosen = settings.get(*(("call", "sequence") if called else ("sequence",)), default=names)
    given = settings.get("inputs")
    return Way(
        tuple(name for name in names if name in chosen),
        bool(settings.get("call", "causal", default=False)),
        isinstance(given, dict) and "prefix" in given,
    )


def check_sequence(node: str, settings: Settings, sequence: Tree | None, problems: Problems) -> None:
    """Note a segment that there is not; what a call reads and gives depends on them, so it comes before all else."""
    names = segment_names(settings)
    for each in sequence.elements() if sequence and names else ():
        if each.value not in names:
            problems.error(
                "unknown-segment",
                f"`sequence` of `{node}` names `{each.value}`, and there is no such segment",
                each.span,
                help=suggestion(str(each.value), names, "segment"),
            )


def check_way(node: str, settings: Settings, problems: Problems) -> bool:
    """Note a sequence of which nothing says how many there are."""
    path = ("call", "sequence") if settings.has("call") else ("sequence",)
    read = {port_of(own) for name, own in ports_of(settings) if own.has("kv")} - unread_of(settings)
    learned = {segment.name for segment in read_segments(settings) if segment.learned}
    if not read and {*read_way(settings).sequence} <= learned:
        problems.error(
            "bad-sequence",
            f"nothing flows into `{node}`: its `sequence` is of learned tokens, and none of them reads a port",
            settings.span(*path),
            help="add a segment that flows in, or let a sublayer of this one read a port",
        )
        return False
    return True


def unread_of(settings: Settings) -> frozenset[str]:
    """The ports of a stack that a call does not read: segments outside its sequence, and what these alone read."""
    sequence = read_way(settings).sequence
    if len(sequence) == len(segment_names(settings)):
        return frozenset()
    segments = {name for name in segment_names(settings) if name not in sequence}
    every, read = set[str](), set[str]()
    for _, own in ports_of(settings):
        if own.has("kv"):
            found = {port_of(own), mask_of(port_of(own)), *masks_of(own)}
            every |= found
            if own.get("scope") not in segments:
                read |= found
    return frozenset((every - read) | {each for name in segments for each in (name, mask_of(name))})


def check_prefix(node: str, settings: Settings, stack: Stack, problems: Problems) -> None:
    """Note layers whose keys and values cannot stand in one tensor, or that have none of their own tokens."""
    found = {(op.kv_heads, op.head_dim, op.latent) for op in stack.attentions if op.cross is None}
    plain = all(stack.attention(kind) for kind in range(len(stack.kinds)))
    if plain and len(found) == 1 and not any(latent for _, _, latent in found):
        return
    problems.error(
        "bad-prefix",
        f"`prefix` of `{node}` is one tensor for all layers, and these have keys and values of different sizes",
        settings.span("inputs", "prefix"),
        help="give every layer the same attention of its tokens to each other, or remove `prefix`",
    )


def check_bracketed(node: str, settings: Settings, stack: Stack, problems: Problems) -> None:
    """Note brackets of which a call without some segment would run a part."""
    absent = set(segment_names(settings)) - {*read_way(settings).sequence}
    for kind in stack.kinds:
        for group in kind.groups:
            crossing = [each for each in group if isinstance(each.op, Attention) and each.op.cross]
            if absent and crossing and len(group) > 1 and any(each.scope in absent for each in crossing):
                path = ("call", "sequence") if settings.has("call") else ("sequence",)
                problems.error(
                    "bad-sequence",
                    f"`{node}` leaves out `{crossing[0].name}`, which stands in brackets with other sublayers",
                    settings.span(*path),
                    help=f"put `{crossing[0].name}` outside the brackets, or feed all segments",
                )
                return
