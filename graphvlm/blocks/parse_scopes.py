"""What can have a scope, and weights by segment: checked once the sublayers of a layer are known."""

from __future__ import annotations

from collections.abc import Iterator

from ..diagnostics import Label
from .layer import Layer, path_of
from .segments import marked_segment, read_segments
from .settings import Attention, Mlp, Sublayer, is_choosing

Groups = tuple[tuple[Sublayer, ...], ...]


def check_parted(layer: Layer, groups: Groups) -> bool:
    """Whether every sublayer can be that of one segment, or have weights by segment; the first that cannot is noted."""
    marked = marked_segment(read_segments(layer.settings)) is not None
    faults = (fault for group in groups for fault in _faults(group, marked=marked))
    sublayer, key, why, edit = next(faults, (None, "", "", ""))
    if sublayer is None:
        return True
    path = (*path_of(sublayer.name), key)
    layer.problems.clash(
        "bad-scope",
        f"`{key}` of `{sublayer.name}` of `{layer.inferred.node}` {why}",
        Label(layer.settings.span(*path), "cannot be"),
        *layer.settings.labels("segments", text="the segments"),
        help=edit,
    )
    return False


def _faults(group: tuple[Sublayer, ...], *, marked: bool) -> Iterator[tuple[Sublayer, str, str, str]]:
    """(sublayer, the key that cannot be, why, an edit)."""
    scoped = [sublayer for sublayer in group if sublayer.scope]
    for sublayer in group:
        op = sublayer.op
        own = not isinstance(op, Mlp) and not (isinstance(op, Attention) and op.cross)
        if sublayer.scope and own:
            yield (
                sublayer,
                "scope",
                "is of attention of all tokens to each other",
                "remove `scope`, or let it read a port",
            )
        elif sublayer.scope and marked and not isinstance(op, Mlp):
            why = "is of tokens that are marked in one sequence, where only a feed-forward can have one"
            yield sublayer, "scope", why, "remove `scope`, or feed the segments at ports of their own"
        elif sublayer.scope and marked and sublayer.place in ("post", "through"):
            why = "is of tokens that are marked in one sequence, and its norm stands behind the sum with the others"
            yield sublayer, "scope", why, "write `norm: {place: pre}`, or feed the segments at ports of their own"
        elif isinstance(op, Attention) and op.by and (op.latent or op.sinks or op.relative or op.cross):
            kind = "latent" if op.latent else "sinks" if op.sinks else "kv" if op.cross else "relative"
            yield (
                sublayer,
                "weights_by",
                f"does not go with `{kind}` in this language",
                f"remove `{kind}` or `weights_by`",
            )
        elif is_choosing(op) and (sublayer.scope and marked):
            why = "is of tokens that are marked in one sequence, and its experts choose among the tokens of a stretch"
            yield sublayer, "scope", why, "feed the segments at ports of their own"
        elif is_choosing(op) and isinstance(op, Mlp) and op.by:
            why = "does not go with experts that choose"
            yield sublayer, "weights_by", why, "write two sublayers, each with a `scope`"
        elif scoped and own:
            other = scoped[0]
            why = f"stands in brackets with attention of all tokens to each other, `{sublayer.name}`"
            yield other, "scope", why, f"put `{other.name}` outside the brackets"
