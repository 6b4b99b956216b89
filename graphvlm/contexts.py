"""Which decoders have their tokens shared out over the ranks of `cp`, and which axes of a mesh go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

from .blocks.parse_attention import divisors
from .blocks.settings import Attention, Mlp, Op
from .blocks.settings_linear import Delta, Fading, Linear
from .ir import Node
from .problems import Problems
from .settings import Settings

# Outermost first: neighbours exchange most.
ORDER = ("replicate", "dp", "ep", "cp", "tp")


def check_axes(mesh: Mapping[str, int], settings: Settings, problems: Problems) -> None:
    """Weights are in parts over `dp` together with the axes behind it whose ranks have all of them otherwise."""
    for axis in ("replicate", "cp"):
        if axis not in mesh:
            continue
        order = [each for each in mesh if each in ORDER]
        needed = [each for each in ORDER if each in mesh or each == "dp"]
        why = edit = ""
        if order != needed:
            why = f"`{', '.join(needed)}` is the order of axes, and weights are in parts over `dp`"
            edit = f"write `{{{', '.join(f'{each}: {mesh.get(each, 1)}' for each in needed)}}}`"
        elif axis == "cp" and "ep" in mesh:
            why, edit = "it does not go with `ep` yet", f"remove `{axis}` or `ep`"
        if why:
            message = f"`{axis}` cannot stand so in the mesh: {why}"
            problems.error("axes-do-not-fit", message, settings.span("parallelism", "mesh", axis), help=edit)


def with_context(node: Node, degree: int, settings: Settings, own: Settings | None, problems: Problems) -> Node:
    """A node whose tokens are shared out over so many ranks, unless it says otherwise, or is no decoder."""
    written = own is not None and own.has("cp")
    wanted = int(own.get("cp")) if own is not None and written else degree if node.kind == "decoder" else 1
    if wanted == 1:
        return node
    place = own.span("cp") if own is not None and written else settings.span("parallelism", "mesh", "cp")
    if wanted != degree:
        problems.error(
            "unsupported-degree",
            f"`{node.name}` asks for cp {wanted} on a mesh with cp {degree}: all ranks share its tokens, or none",
            place,
            help=f"write `cp: {degree}` or `cp: 1`" if degree > 1 else "remove it, or give the mesh a `cp`",
        )
        return node
    if why := _whole(node, own):
        problems.error(
            "context-not-shared",
            f"ranks of `cp` cannot share the tokens of `{node.name}`: {why}",
            place,
            help=f"write `{node.name}: {{cp: 1}}` under `parallelism.nodes`: then all of them do the same there",
        )
        return node
    _check_heads(node, wanted, settings, problems)
    return replace(node, context=wanted)


def shared(op: Op) -> Op:
    """The operation whose tokens come together for the heads of a rank, if it is attention over these tokens."""
    if isinstance(op, Linear):
        return replace(op, context=True, apart=True)
    return replace(op, context=True) if isinstance(op, Attention) and not op.cross else op


def _whole(node: Node, own: Settings | None) -> str:
    """Why the tokens of a node cannot be shared out; empty if they can."""
    stack = node.spec.stack
    if node.kind != "decoder" or stack is None:
        return "only decoders can so far"
    sublayers = [sublayer for kind in stack.kinds for sublayer in kind.sublayers]
    reasons = {
        "those of `tp` do so already (`sequence`)": own is not None and own.get("sequence", default=False),
        "its tokens are among the keys of attention over a port": any(cross.own for cross in stack.crossed),
        "an indexer chooses among the keys of all tokens": stack.indexed,
        "the tokens of one segment alone attend to something": any(
            sublayer.scope and not isinstance(sublayer.op, Mlp) for sublayer in sublayers
        ),
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _heads_of(op: Op) -> int:
    """How many heads are shared out at most; 0 if none are."""
    if isinstance(op, Delta):
        return gcd(op.key_heads, op.value_heads)
    if isinstance(op, Fading):
        return op.heads
    if not isinstance(op, Attention) or op.cross:
        return 0
    return op.heads if op.latent else gcd(op.heads, op.kv_heads)


def _check_heads(node: Node, degree: int, settings: Settings, problems: Problems) -> None:
    """Ranks of `cp` that share the tokens between attentions share the heads in them, of those that `tp` leaves.

    Attention over a port is done for the tokens of a rank, with all heads.
    """
    stack, ranks = node.spec.stack, degree * node.tensor_parallel
    ops = [sublayer.op for kind in stack.kinds for sublayer in kind.sublayers] if stack else []
    heads = gcd(*map(_heads_of, ops))
    if heads % ranks:
        tp = f" x tp {node.tensor_parallel}" if node.tensor_parallel > 1 else ""
        allowed = divisors(heads // gcd(heads, node.tensor_parallel))
        problems.error(
            "degree-not-divisible",
            f"{heads} heads of queries or keys of `{node.name}` cannot be shared evenly over cp {degree}{tp}",
            settings.span("parallelism", "mesh", "cp"),
            help=f"use a cp of {' or '.join(map(str, allowed))}, or write `{node.name}: {{cp: 1}}` under "
            "`parallelism.nodes`",
        )
