"""Mixtures of experts of a text config: what they are, and which layers have them."""

from __future__ import annotations

from typing import Any

from ...diagnostics import Label
from .fields import Fields


def read_mlp(text: Fields, mlp: dict[str, Any]) -> tuple[dict[str, Any], list[int], dict[str, Any]]:
    """The feed-forward of most layers, the layers that have another, and what that changes; `mlp` is the dense one."""
    understood = text.table.understood
    if "num_experts_per_tok" not in understood:
        return mlp, [], {}
    if "moe_intermediate_size" not in understood:  # all layers alike, weights of the chosen experts sum to one
        return {**mlp, "moe": _moe(text, "num_local_experts", normalize=True)}, [], {}
    moe = _moe(text, "num_experts", normalize=text.boolean("norm_topk_prob"))
    if "shared_expert_intermediate_size" in understood:
        moe["shared"] = {"hidden": text.integer("shared_expert_intermediate_size"), "gate": "sigmoid"}
    sparse = {**mlp, "hidden": text.integer("moe_intermediate_size"), "moe": moe}
    dense = _dense_layers(text)
    if len(dense) == text.integer("num_hidden_layers"):
        return mlp, [], {}
    return sparse, dense, {"hidden": mlp["hidden"], "moe": None}


def _moe(text: Fields, experts: str, *, normalize: bool) -> dict[str, Any]:
    if "num_local_experts" in text.table.understood and text.has("num_local_experts"):
        _check_names(text, experts)
        experts = "num_local_experts"
    moe: dict[str, Any] = {"experts": text.integer(experts), "top": text.integer("num_experts_per_tok")}
    if moe["top"] > moe["experts"]:
        text.problems.conflict(
            f"`{text.name('num_experts_per_tok')}`: a token cannot go through {moe['top']} of {moe['experts']} experts",
            text.span("num_experts_per_tok"),
        )
    return moe | ({"router": {"normalize": True}} if normalize else {})


def _check_names(text: Fields, other: str) -> None:
    """Newer files write the number of experts under another name, or under both."""
    if text.has(other) and text.integer(other) != text.integer("num_local_experts"):
        text.problems.conflict(
            f"`{text.name('num_local_experts')}` and `{text.name(other)}` are two names of one field, with two values",
            text.span("num_local_experts"),
            labels=(Label(text.span(other), "the other value"),),
            help="keep the one that the weights have",
        )


def _dense_layers(text: Fields) -> list[int]:
    """Layers without experts: those listed, and all but every `decoder_sparse_step`-th."""
    step, count = text.integer("decoder_sparse_step"), text.integer("num_hidden_layers")
    tree = text.tree.get("mlp_only_layers")
    listed = [] if tree is None or tree.value is None else tree.plain()
    if not isinstance(listed, list) or not all(type(layer) is int for layer in listed):
        text.problems.error(
            "invalid-config",
            f"`{text.name('mlp_only_layers')}` must be a list of whole numbers",
            text.span("mlp_only_layers"),
            help="write the numbers of layers, from 0",
        )
        return []
    return [layer for layer in range(count) if layer in listed or (layer + 1) % step]
