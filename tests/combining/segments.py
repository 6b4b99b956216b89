"""Segments for random decoders: features before the text in one sequence, or tokens of it that are marked."""

from __future__ import annotations

from ..block_strategies import Plain, mlp
from .flow import Features, Growing, Stream
from .fusions import wide


def segments(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> None:
    """Several of them, each with weights of its own or not; a second feed-forward for one."""
    if not made.chance(4):
        return
    if others and "inject" not in settings and not _told(settings):
        names = _stretches(made, settings, reads, stream, others)
    elif stream.ids and not stream.prefixed:
        names = _marked(made, settings, reads, stream)
    else:
        return
    for owner in ("norm", "attention", "mlp"):
        if made.chance(3) and not (owner == "attention" and _alone(settings["attention"])):
            found = settings[owner]
            settings[owner] = {**(found if isinstance(found, dict) else {"type": found}), "weights_by": "segment"}
    if "weights_by" not in settings["mlp"] and made.chance():
        settings["mlp"] = {**settings["mlp"], "scope": made.pick(*names)}
    if made.chance():
        settings["sublayers"] = {"look": {"op": "mlp", **mlp(made), "scope": made.pick(*names)}}


def _stretches(made: Growing, settings: Plain, reads: Plain, stream: Stream, others: list[Features]) -> tuple[str, ...]:
    """Features at ports of their own, before the text."""
    names = tuple(f"part_{index}" for index in range(made.pick(1, *((2,) if len(others) > 1 else ()))))
    del reads["features"]
    for name in names:
        source = others.pop(0)
        reads[name] = wide(made, source, settings["dim"]).ref
        if isinstance(source.tokens, int) and made.chance(3):
            reads[f"{name}_mask"] = made.input("present", "mask")
    reads["text"] = stream.ref
    settings["segments"] = {**{name: {} for name in names}, "text": {"restart": True} if made.chance() else {}}
    return (*names, "text")


def _marked(made: Growing, settings: Plain, reads: Plain, stream: Stream) -> tuple[str, ...]:
    """Tokens of the one sequence, where something was placed or as the caller says."""
    placed = stream.placed and made.chance()
    reads["is_seen"] = f"{stream.placed}.places" if placed else made.input("is_seen", "mask")
    settings["segments"] = {"words": {}, "seen": {"where": "is_seen"}}
    return ("words", "seen")


def _told(settings: Plain) -> bool:
    """Whether something is said of each token of one sequence."""
    mask = settings["attention"].get("mask")
    position = settings["position"]
    return (isinstance(mask, dict) and "any" in mask) or (isinstance(position, dict) and position["type"] == "mrope")


def _alone(attention: Plain) -> bool:
    """Whether it cannot have weights by segment."""
    return bool(attention.get("latent") or attention.get("sinks"))
