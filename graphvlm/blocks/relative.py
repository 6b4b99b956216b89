"""Positions as numbers that are added to scores, the same in all layers.

A table has a number a head for the distance of a key, in buckets; or every token between costs so much, head by head.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..code import Field
from ..diagnostics import Label
from ..problems import Problems
from ..settings import Settings
from ..spec import Inferred
from .parameters import Parameter, plain
from .settings import Stack
from .settings_position import Alibi, Relative


def parse_relative(
    settings: Settings, inferred: Inferred, blocks: Stack, problems: Problems, *, both: bool
) -> Relative | Alibi | None:
    """The relative positions of a node, in `both` directions or backwards alone; None if it has none."""
    kind = settings.get("position", "type") if settings.get("position") else ""
    if kind not in ("relative", "alibi"):
        return None
    _check_scores(settings, inferred, blocks, problems)
    heads = _heads(settings, inferred, blocks, problems)
    if heads is None:
        return None
    if kind == "alibi":
        return Alibi(float(settings.get("position", "max_bias", default=8)), heads, both)
    return _table(settings, inferred, heads, problems, both=both)


def _table(settings: Settings, inferred: Inferred, heads: int, problems: Problems, *, both: bool) -> Relative:
    """The buckets of distances."""
    node = inferred.node
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
    return Relative(buckets, most, heads, both)


def _check_scores(settings: Settings, inferred: Inferred, blocks: Stack, problems: Problems) -> None:
    """Scores are those that numbers can be added to."""
    node, span = inferred.node, settings.span("position")
    other = next((key for key in ("softcap", "sinks") if settings.get("attention", key)), "")
    if not other and (blocks.indexed or blocks.handed):
        other = "indexer"
    if other or settings.has("segments"):
        problems.clash(
            "relative-conflict",
            f"relative positions of `{node}` are added to scores, and {f'`{other}`' if other else 'segments'} make "
            "these otherwise",
            Label(span, "added to scores"),
            Label(settings.span("attention", other) if other else settings.span("segments"), "other scores"),
            help=f"remove `{other or 'segments'}`, or use rotary positions",
        )


def _heads(settings: Settings, inferred: Inferred, blocks: Stack, problems: Problems) -> int | None:
    """How many heads all layers have."""
    heads = sorted({attention.heads for attention in blocks.attentions})
    if len(heads) == 1:
        return heads[0]
    problems.error(
        "relative-conflict",
        f"layers of `{inferred.node}` have {' and '.join(map(str, heads)) or 'no'} heads, and relative positions are "
        "one number for each head of all layers",
        settings.span("position"),
        help="write the same `heads` in all layers, or use rotary positions",
    )
    return None


def relative_parameters(relative: Relative | Alibi | None) -> Iterator[Parameter]:
    """The weights of the table, if there is one."""
    if isinstance(relative, Relative):
        yield plain("relative.table.weight", relative.buckets, relative.heads)


def relative_fields(relative: Relative | Alibi | None) -> Iterator[Field]:
    """Config fields of the table, or of the slopes."""
    if isinstance(relative, Alibi):
        yield Field("max_bias", "float", str(relative.max_bias), "the flattest slope is 2 ** -max_bias")
    elif relative:
        yield Field("buckets", "int", str(relative.buckets), "of distances")
        yield Field("max_distance", "int", str(relative.max_distance), "from which on keys share a bucket")
