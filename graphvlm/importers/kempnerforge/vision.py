"""The `[vision_encoder]` and `[adapter]` sections: a tower of the catalog, or features as an input; and a projector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...diagnostics import did_you_mean
from ..findings import shown
from ..section import Section
from .tables import TOWERS

Nodes = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Vision:
    """The graph input, and the node that reads it; without a node, the input is what others read."""

    name: str
    input: dict[str, Any]
    node: dict[str, Any] | None


def read_vision(vision: Section) -> Vision:
    """The tower. `random` stands for one that is not there: its features are an input."""
    vision.check_names((), "a `[vision_encoder]` section")
    kind = vision.choice("type", ("random", "siglip2", "clip"))
    if kind == "random":
        features = {"type": "features", "dim": vision.integer("feature_dim"), "tokens": vision.integer("num_tokens")}
        return Vision("image_features", {"image_features": features}, None)
    path = vision.text("path")
    if path not in TOWERS:
        vision.unsupported(
            "path",
            f"`vision_encoder.path` is `{shown(path)}`, which is no tower of the catalog",
            did_you_mean(path[:60], TOWERS) or "the towers are " + ", ".join(TOWERS),
        )
        return Vision("vision", {}, None)
    node: dict[str, Any] = {"use": TOWERS[path], "inputs": "pixel_values"}
    if kind == "clip":  # the class token is dropped, and the tower's last norm is for it alone
        node["output"] = {"layer": -1, "drop_cls": True}
    return Vision("vision", {"pixel_values": "image"}, node)


def _attention_pool(inputs: str, window: int, heads: int) -> dict[str, Any]:
    """The mean of each window attends to the tokens of the window, and what it finds takes its place."""
    cross = {"op": "attention", "heads": heads, "bias": True, "kv": "image", "residual": {"skip": False}}
    names = {"wq": "q_proj", "wk": "k_proj", "wv": "v_proj", "wo": "o_proj"}
    return {
        "kind": "projector",
        "type": "transformer",
        "inputs": {"image": inputs},
        "segments": {"query": {"window": window}},
        "layers": {"count": 1, "each": ["cross"]},
        "norm": {"type": "layer", "place": "none"},
        "sublayers": {"cross": cross},
        "final_norm": False,
        "checkpoint": {"names": {f"layers.*.cross.{ours}": theirs for ours, theirs in names.items()}},
    }


def _linear(inputs: str, name: str = "proj") -> Nodes:
    checkpoint = {"names": {"linear": name}}
    return {"adapter": {"kind": "projector", "type": "linear", "inputs": inputs, "checkpoint": checkpoint}}


def read_adapter(adapter: Section, inputs: str) -> Nodes:
    """The projector between tower and decoder; the last of these nodes is `adapter`."""
    adapter.check_names((), "an `[adapter]` section")
    adapter.neutral({"pre_norm": ("",)})
    kind = adapter.choice("type", ("mlp_2layer", "linear", "avgpool", "attentional_pool"))
    if kind == "linear":
        return _linear(inputs)
    if kind == "avgpool":
        window = adapter.integer("pool_window")
        pool = {"kind": "projector", "type": "pool", "inputs": inputs, "window": window}
        return {"pool": pool, **_linear("pool")}
    if kind == "attentional_pool":
        window, heads = adapter.integer("pool_window"), adapter.integer("pool_heads")
        return {"pool": _attention_pool(inputs, window, heads), **_linear("pool", "out_proj")}
    hidden = adapter.integer("hidden_dim", least=0)
    node = {
        "kind": "projector",
        "type": "mlp",
        "layers": 2,
        "activation": adapter.choice("activation", ("gelu", "silu", "relu")),
        "inputs": inputs,
    }
    node |= {"hidden": hidden} if hidden else {}
    return {"adapter": node | {"checkpoint": {"names": {"linear_1": "proj1", "linear_2": "proj2"}}}}
