"""Positions as numbers that are added to scores, by the distance of a key in buckets: one table for all layers."""

from __future__ import annotations

from collections.abc import Iterator

from ..code import Field
from ..component import Inferred
from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from .parameters import Parameter, plain
from .settings import Stack
from .settings_position import Relative


def parse_relative(
    settings: Settings, inferred: Inferred, blocks: Stack, problems: Problems, *, both: bool
) -> Relative | None:
    """The relative positions of a node, in `both` directions or backwards alone; None if it has none."""
    if not settings.get("position") or settings.get("position", "type") != "relative":
        return None
    node, span = inferred.node, settings.span("position")
    buckets, most = int(settings.get("position", "buckets")), int(settings.get("position", "max_distance"))
    exact = buckets // (4 if both else 2)
    if buckets % (4 if both else 2) or most <= exact:
        problems.clash(
            "relative-conflict",
            f"{buckets} buckets of `{node}` cannot be for distances up to {most}: {exact} are for one distance each, "
            f"and as many for those beyond{', in each direction' if both else ''}",
            Label(settings.span("position", "buckets"), f"{buckets} buckets"),
            Label(settings.span("position", "max_distance"), f"up to {most}"),
            help=f"write a multiple of {4 if both else 2} for `buckets`, and more than {exact} for `max_distance`",
        )
    other = next((key for key in ("softcap", "sinks") if settings.get("attention", key)), "")
    if other or settings.has("segments"):
        problems.clash(
            "relative-conflict",
            f"relative positions of `{node}` are added to scores, and {f'`{other}`' if other else 'segments'} make "
            "these otherwise",
            Label(span, "added to scores"),
            Label(settings.span("attention", other) if other else settings.span("segments"), "other scores"),
            help=f"remove `{other or 'segments'}`, or use rotary positions",
        )
    heads = sorted({attention.heads for attention in blocks.attentions})
    if len(heads) == 1:
        return Relative(buckets, most, heads[0], both)
    problems.error(
        "relative-conflict",
        f"layers of `{node}` have {' and '.join(map(str, heads)) or 'no'} heads, and relative positions are one number "
        "for each head of all layers",
        span,
        help="write the same `heads` in all layers, or use rotary positions",
    )
    return None


def relative_parameters(relative: Relative) -> Iterator[Parameter]:
    """The weights of the table."""
    yield plain("relative.table.weight", relative.buckets, relative.heads)


def relative_fields(relative: Relative | None) -> Iterator[Field]:
    """Config fields of the table."""
    if relative:
        yield Field("buckets", "int", str(relative.buckets), "of distances")
        yield Field("max_distance", "int", str(relative.max_distance), "from which on keys share a bucket")
