"""A foundation whose text and images go through experts of their own, and the tower that merges frames in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .component import Component, Path
from .tables import HARMLESS, NEUTRAL

TYPES = "moe_mm_token_type_ids"  # the input that says which tokens go through the experts of images
_MAPS = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
_NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        **NEUTRAL,
        "normalization": ("RMSNorm", "Torch_RMSNorm"),
        "gated_linear_unit": (False,),  # `swiglu` decides
        "moe_router_score_function": ("softmax",),
        "moe_router_enable_expert_bias": (True,),
        "moe_router_num_groups": (1,),
        "moe_router_group_topk": (1,),
    }
)
# What the files say otherwise than the published weights are used, which the map of keys takes over as they are.
NOTES: Mapping[Path, str] = MappingProxyType(
    {
        ("attention",): "no norms of queries and keys, whatever `qk_layernorm` says: the map of keys knows none",
        ("position", "style"): "as the published weights are turned, whatever `rotary_interleaved` says",
        ("mlp", "moe", "router"): "as the published weights are routed, whatever `moe_router_pre_softmax` says",
    }
)


def read_by_kind(
    config: Component, inputs: str, vocab: int, attention: Mapping[str, Any], *, grid: bool
) -> dict[str, Any]:
    """The decoder node, which reads the node `inputs`."""
    config.check_names(HARMLESS, f"a `{config.stem}`")
    config.neutral({**_NEUTRAL, "num_moe_experts": (config.value("num_experts"),)})
    mlp: dict[str, Any] = {
        "hidden": config.integer("ffn_hidden_size"),
        "activation": "silu",
        "gated": True,
        "bias": False,
    }
    text, vision = (_routed(config, mlp, kind) for kind in (0, 1))
    several = config.integer("moe_num_shared_experts", least=0)
    shared = {"norm": {"place": "shared"}}
    sublayers = {"vision_mlp": {"op": "mlp", **vision, "scope": "vision", **shared}}
    if several:
        sublayers["shared"] = {"op": "mlp", **mlp, "hidden": several * text["hidden"], **shared}
    return {
        "kind": "decoder",
        "type": "transformer",
        "inputs": {"features": inputs, "vision_tokens": TYPES},
        "vocab": vocab,
        "dim": config.integer("hidden_size"),
        "max_tokens": config.integer("max_position_embeddings"),
        "layers": _layers(config, sublayers, mlp["hidden"]),
        "norm": {"type": "rms", "eps": config.number("norm_epsilon")},
        "attention": {key: value for key, value in attention.items() if key != "qk_norm"},
        "mlp": {**text, "scope": "text"},
        "sublayers": sublayers,
        "segments": {"text": {}, "vision": {"where": "vision_tokens"}},
        "position": _position(config, grid),
        "head": {"tied": not config.boolean("untie_embeddings_and_output_weights"), "bias": False},
        "checkpoint": {"use": "checkpoint/ernie4_5_vl_text", "names": _names(text["moe"]["experts"], bool(several))},
    }


def _routed(config: Component, mlp: Mapping[str, Any], kind: int) -> dict[str, Any]:
    """Experts of one kind of token."""
    widths = config.listed("moe_intermediate_size")
    if len(widths) != 2 or not all(isinstance(width, int) and width > 0 for width in widths):
        config.wrong("moe_intermediate_size", "two widths, of text and of images")
        widths = [1, 1]
    router = {"score": "softmax", "bias": True, "normalize": True}
    moe = {"experts": config.integer("num_experts"), "top": config.integer("moe_router_topk"), "router": router}
    return {**mlp, "hidden": widths[kind], "moe": moe}


def _layers(config: Component, sublayers: Mapping[str, Any], hidden: int) -> dict[str, Any]:
    """All layers but the dense ones have both kinds of experts."""
    count, dense = config.integer("num_layers"), config.listed("dense_layer_index")
    sparse = [layer for layer in range(count) if layer not in dense] or [0]
    for key, least, most in (("moe_layer_start_index", 0, sparse[0]), ("moe_layer_end_index", sparse[-1], count + 1)):
        found = config.listed(key)
        if not all(isinstance(layer, int) and least <= layer <= most for layer in found):
            message = f"`{config.name(key)}`: layers with experts of one kind alone are not imported"
            config.unsupported(key, message, "let both kinds have the layers that are not dense")
    layers: dict[str, Any] = {"count": count, "each": ["attn", ["mlp", *sublayers]]}
    if dense:
        changes = {"each": ["attn", "mlp"], "mlp": {"hidden": hidden, "scope": None, "moe": None}}
        layers["where"] = [{"name": "dense", "at": dense, **changes}]
    return layers


def _position(config: Component, grid: bool) -> dict[str, Any]:
    """Rotary positions; the file names the pairs of rows and columns first."""
    position: dict[str, Any] = {"type": "rope", "theta": config.number("rotary_base"), "style": "interleaved"}
    sections = config.listed("mrope_section")
    if len(sections) != 3 or not all(isinstance(pairs, int) for pairs in sections):
        config.wrong("mrope_section", "three whole numbers")
    elif grid:
        rows, columns, frames = sections
        position |= {"type": "mrope", "sections": [frames, rows, columns], "layout": "turns"}
    return position


def _names(experts: int, shared: bool) -> dict[str, str]:
    """Where files keep the experts of images, numbered on from those of text, and the feed-forward for both."""
    places = {"vision_mlp.experts.*": f"experts.*+{experts}"} | ({"shared": "shared_experts"} if shared else {})
    return {
        f"layers.*.{ours}.{part}": f"model.layers.*.mlp.{theirs}.{name}"
        for ours, theirs in places.items()
        for part, name in _MAPS.items()
    }


def resampler(width: int, eps: float, group: int, frames: int) -> dict[str, dict[str, Any]]:
    """The nodes behind the tower: blocks of patches as tokens, then frames in pairs."""
    norm = {"type": "layer", "eps": eps}
    two = {"layers": 2, "activation": "gelu", "out": width, "out_norm": norm}
    names = {"names": {"linear_1": "0", "linear_2": "2", "out_norm": "3"}}
    pairs = {"kind": "projector", "type": "frame_merger", "frames": frames, "group": group}
    return {
        "spatial": {
            "kind": "projector",
            "type": "patch_merger",
            "group": group,
            **two,
            "inputs": "vision",
            "checkpoint": names,
        },
        "pairs": {**pairs, "inputs": {"features": "spatial", "grid": "image_grid_thw"}},
        "temporal": {"kind": "projector", "type": "mlp", **two, "inputs": "pairs", "checkpoint": names},
    }
