"""A tower that merges patches between its layers, as a lower and an upper one and what stands between."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .component import Component

_PAIR = 2
_ATTENTION = {"wq": "q_proj", "wk": "k_proj", "wv": "v_proj", "wo": "out_proj"}
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "attn_norm": "layer_norm1",
        **{f"attn.{ours}": f"self_attn.{theirs}" for ours, theirs in _ATTENTION.items()},
        "mlp_norm": "layer_norm2",
        "mlp.up": "mlp.fc1",
        "mlp.down": "mlp.fc2",
    }
)


def between(config: Component, stack: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes behind the lower layers: attention within windows, their merger, the other layers of the `stack`."""
    after = config.integer("insert_layer_id", least=0) + 1
    if after >= stack["layers"]:
        message = f"`{config.name('insert_layer_id')}` is {after - 1}, and no layer stands behind it"
        config.problems.conflict(message, config.span("insert_layer_id"))
    common = {"kind": "encoder", "type": "native_vit", "position": "none", **stack}
    inside = {ours: theirs for ours, theirs in _NAMES.items() if ours.startswith("attn")}
    window = {
        **{key: value for key, value in common.items() if key != "mlp"},
        "inputs": {"features": "vision", "grid": "patches.grid"},
        "layers": {"count": 1, "each": ["attn"]},
        "attention": {**stack["attention"], "mask": {"grid_window": _PAIR}},
        "final_norm": False,
        "checkpoint": {"names": {f"layers.*.{ours}": theirs for ours, theirs in inside.items()}},
    }
    reduced = {
        "kind": "projector",
        "type": "patch_merger",
        "inputs": {"features": "window", "grid": "patches.grid"},
        "group": _PAIR,
        "norm": stack["norm"],
        "norm_over": "block",
        "hidden": stack["mlp"]["hidden"] * _PAIR**2,
        "activation": "gelu_tanh",
        "skip": "mean",
        "checkpoint": {"names": {"norm": "pre_norm"}},
    }
    names = {f"layers.*.{ours}": f"encoder.layers.*+{after}.{theirs}" for ours, theirs in _NAMES.items()}
    upper = {
        **common,
        "inputs": {"features": "reduced", "grid": "reduced.grid"},
        "layers": stack["layers"] - after,
        "checkpoint": {"names": {**names, "norm": "post_layernorm"}},
    }
    return {"window": window, "reduced": reduced, "upper": upper}
