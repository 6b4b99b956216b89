"""Mixtures of experts of a text config: what they are, and which layers have them."""

from __future__ import annotations

from typing import Any

from ...diagnostics import Label
from .fields import Fields
from .text_kind import Experts, Node, Variant


def everywhere(text: Fields, mlp: Node) -> Experts:
    """All layers alike; the weights of the chosen experts sum to one."""
    return Experts({**mlp, "moe": _moe(text, "num_local_experts", normalize=True)})


def all_shared(text: Fields, mlp: Node) -> Experts:
    """All layers alike, with one that is shared; the weights of the chosen experts sum to one."""
    return Experts({**mlp, "moe": _with_shared(text, normalize=True)})


def _with_shared(text: Fields, *, normalize: bool) -> dict[str, Any]:
    """Experts, and one that is shared if the class has it."""
    moe = _moe(text, "num_experts", normalize=normalize)
    if text.knows("shared_expert_intermediate_size"):
        moe["shared"] = {"hidden": text.integer("shared_expert_intermediate_size"), "gate": "sigmoid"}
    return moe


def plain_experts(text: Fields, mlp: Node) -> Experts:
    """All layers alike."""
    return Experts({**mlp, "moe": _moe(text, "num_experts", normalize=text.boolean("norm_topk_prob"))})


def balanced(text: Fields, mlp: Node) -> Experts:
    """All layers alike, with a bias that balances the choice."""
    moe = _moe(text, "num_local_experts", normalize=False)
    return Experts({**mlp, "moe": {**moe, "router": {"score": "sigmoid", "bias": True, "normalize": True}}})


def some_dense(text: Fields, mlp: Node) -> Experts:
    """Experts with a width of their own in most layers, with one that is shared if the class has it."""
    # a class without the field always does it
    moe = _with_shared(text, normalize=not text.knows("norm_topk_prob") or text.boolean("norm_topk_prob"))
    sparse = {**mlp, "hidden": text.integer("moe_intermediate_size"), "moe": moe}
    dense = _dense_layers(text)
    if len(dense) == text.integer("num_hidden_layers"):
        return Experts(mlp)
    changes = {"mlp": {"hidden": mlp["hidden"], "moe": None}}
    return Experts(sparse, (Variant("dense", tuple(dense), changes),) if dense else ())


def _moe(text: Fields, experts: str, *, normalize: bool) -> dict[str, Any]:
    if text.knows("num_local_experts") and text.has("num_local_experts"):
        _check_names(text, experts)
        experts = "num_local_experts"
    moe: dict[str, Any] = {"experts": text.integer(experts), "top": text.integer("num_experts_per_tok")}
    check_top(text, moe)
    return moe | ({"router": {"normalize": True}} if normalize else {})


def check_top(text: Fields, moe: dict[str, Any]) -> None:
    """Note a token that would go through more experts than there are."""
    if moe["top"] > moe["experts"]:
        text.problems.conflict(
            f"`{text.name('num_experts_per_tok')}`: a token cannot go through {moe['top']} of {moe['experts']} experts",
            text.span("num_experts_per_tok"),
        )


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
    listed = text.integers("mlp_only_layers")
    return [layer for layer in range(count) if layer in listed or (layer + 1) % step]
