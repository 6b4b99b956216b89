"""The `[vision_encoder]` and `[adapter]` sections: a tower of the catalog, or features as an input; and a projector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...diagnostics import did_you_mean
from ..findings import shown
from ..section import Section
from .tables import TOWERS


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


def read_adapter(adapter: Section, inputs: str) -> dict[str, Any]:
    """The projector between tower and decoder."""
    adapter.check_names((), "an `[adapter]` section")
    adapter.neutral({"pre_norm": ("",)})
    kind = adapter.choice("type", ("mlp_2layer", "linear", "avgpool", "attentional_pool"))
    if kind == "linear":
        checkpoint = {"names": {"linear": "proj"}}
        return {"kind": "projector", "type": "linear", "inputs": inputs, "checkpoint": checkpoint}
    if kind != "mlp_2layer":
        adapter.unsupported(
            "type",
            f"`adapter.type` is `{kind}`: projectors that pool neighbouring tokens are not in the language yet",
            "the adapters that can be imported are `mlp_2layer` and `linear`",
        )
    hidden = adapter.integer("hidden_dim", least=0)
    node = {
        "kind": "projector",
        "type": "mlp",
        "layers": 2,
        "activation": adapter.choice("activation", ("gelu", "silu", "relu")),
        "inputs": inputs,
    }
    node |= {"hidden": hidden} if hidden else {}
    return node | {"checkpoint": {"names": {"linear_1": "proj1", "linear_2": "proj2"}}}
