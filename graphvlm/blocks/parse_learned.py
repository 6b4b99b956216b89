"""From the settings of a node to its table of learned positions."""

from __future__ import annotations

from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred
from .settings_position import Learned

_OF_ALL = ("learned", "relative", "alibi")


def parse_learned(settings: Settings, inferred: Inferred, max_tokens: int, problems: Problems) -> Learned | None:
    """The table of learned positions, if the node has one."""
    where = settings.tree.get("layers", "where")
    for entry in map(Settings, where.elements() if where else ()):
        if entry.get("position") == "learned" or entry.get("position", "type") in _OF_ALL:
            problems.error(
                "position-of-layer",
                f"`position` of a layer of `{inferred.node}` is of a type that only all layers have together",
                entry.span("position"),
                help=f"write it as `position` of `{inferred.node}`, or a rotary one here",
            )
    position = settings.get("position", default="none")
    if position == "learned":
        position = {"type": "learned"}
    if not isinstance(position, dict) or position.get("type") != "learned":
        return None
    offset, most = int(position.get("offset", 0)), int(position.get("max", max_tokens))
    if most < max_tokens:
        problems.clash(
            "position-too-short",
            f"`{inferred.node}` takes {max_tokens} tokens, and has learned positions for {most}",
            Label(settings.span("position", "max"), f"{most} positions"),
            Label(settings.span("max_tokens"), f"{max_tokens} tokens"),
            help=f"write `max_tokens: {most}`, or leave `max` out",
        )
    return Learned(most + offset, offset)
