"""Where each weight of the package stands in the profile."""

from __future__ import annotations

from ..blocks.settings import Attention, Mlp, Sublayer
from ..ir import Graph, Node
from .fitting import parts_of
from .reading import is_pair, writes
from .roles import LANGUAGE, node_names

# Ours -> the profile's, for attention over the tokens themselves and for one feed-forward.
_ATTENTION = {"wq": "q_proj", "wk": "k_proj", "wv": "v_proj", "wo": "o_proj", "wg": "g_proj"} | {
    f"{name}_{part}": f"{new}_{part}_proj" for name, new in (("wq", "q"), ("wkv", "kv")) for part in "ab"
}
_LINEAR = {"in_qkv": "in_proj_qkv", "in_z": "in_proj_z", "in_ba": "in_proj_ba", "conv": "conv1d", "out": "out_proj"}
_EXPERTS = {f"{name}{bias}": f"{name}_proj{bias}" for name in ("gate_up", "up", "down") for bias in ("", "_bias")} | {
    "shared": "shared_expert",
    "shared_gate": "shared_expert_gate",
}
_MLP = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}


def names(graph: Graph) -> dict[str, str]:
    """Parameter of the package, without merged projections -> its name in the profile."""
    roles = node_names(graph)
    if not writes(graph):
        stored = ((node, each.path) for node in graph.owners for each in node.stored)
        return {f"{node.name}.{path}": f"{roles[node.name]}.{in_profile(node, path)}" for node, path in stored}
    parts = parts_of(graph)
    alone = is_alone(graph)
    language = "model." if alone else f"model.{LANGUAGE}."
    beside = "model.encoder." if is_pair(graph) else "model."
    found = {}
    for node in graph.owners:
        for parameter in node.parameters:
            ours = f"{node.name}.{parameter.path}"
            if node is parts.embedding:
                found[ours] = f"{language}embed_tokens.{parameter.path}"
            elif node is parts.decoder:
                path = in_profile(node, parameter.path)
                found[ours] = f"lm_{path}" if path.startswith("head.") else f"{language}{path}"
            else:
                found[ours] = f"{beside}{roles[node.name]}.{in_profile(node, parameter.path)}"
    return found


def is_alone(graph: Graph) -> bool:
    """Whether there is nothing but tokens, their embedding and the decoder."""
    parts = parts_of(graph)
    return {*graph.nodes} == {parts.decoder.name, parts.embedding.name}


def in_profile(node: Node, path: str) -> str:
    """A parameter's path with the names of the profile."""
    stack, pieces = node.spec.stack, path.split(".")
    if stack is None or pieces[0] != "layers":
        return path
    kind = stack.kinds[stack.order[int(pieces[1])]]
    found = next((each for each in kind.sublayers if each.name == pieces[2]), None)
    table = _table(found, node) if found else {}
    if pieces[3:4] == ["shared"]:
        table = table | _MLP
    return ".".join((*pieces[:3], *(table.get(piece, piece) for piece in pieces[3:])))


def _table(sublayer: Sublayer, node: Node) -> dict[str, str]:
    op = sublayer.op
    if isinstance(op, Attention):
        return {} if op.cross and node.kind != "decoder" else _ATTENTION
    if isinstance(op, Mlp):
        return _MLP if op.moe is None else _EXPERTS if node.kind == "decoder" else {}
    return _LINEAR
