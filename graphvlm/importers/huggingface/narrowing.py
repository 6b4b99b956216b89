"""Models whose tower merges patches between its layers: a lower and an upper tower, and what stands between."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported, called_again, fused_language, read_part, read_placeholder
from .tables import ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES

Node = dict[str, Any]

_FIELDS: Values = MappingProxyType(
    {
        "vision_config": None,
        "text_config": None,
        "image_token_id": None,
        "video_token_id": None,
        "tie_word_embeddings": False,
        "insert_layer_id": 6,
        "downsample_mode": "16x",
        "merge_kernel_size": (2, 2),
        "merger_times": 1,
    }
)
_PAIR = [2, 2]
# Type -> what its class takes otherwise.
_TYPES: Mapping[str, Values] = MappingProxyType(
    {"minicpmv4_6": {}, "minicpm_ocr": {"tie_word_embeddings": True, "downsample_mode": "4x"}}
)

VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        f"{name}_vision": ConfigTable(
            f"{name}_vision",
            {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "num_channels": 3,
                "image_size": 224,
                "patch_size": 16,
                "hidden_act": "gelu_pytorch_tanh",
                "layer_norm_eps": 1e-6,
                "window_kernel_size": (2, 2),
            },
            # the whole config has the word
            harmless=frozenset({"insert_layer_id"}),
        )
        for name in _TYPES
    }
)
_TEXTS = {name: TEXT_TABLES[name] for name in ("qwen3_5_text", "qwen3_5_moe_text")}
_IMAGES: Values = MappingProxyType({"pixel_values": "image", "target_sizes": "sizes"})
_VIDEOS: Values = MappingProxyType({"pixel_values_videos": "image", "target_sizes_videos": "sizes"})
# Our module -> the reference's, in a layer of its tower and in the attention between.
_ATTENTION = {"wq": "q_proj", "wk": "k_proj", "wv": "v_proj", "wo": "out_proj"}
_LAYER = {
    "attn_norm": "layer_norm1",
    **{f"attn.{ours}": f"self_attn.{theirs}" for ours, theirs in _ATTENTION.items()},
    "mlp_norm": "layer_norm2",
    "mlp.up": "mlp.fc1",
    "mlp.down": "mlp.fc2",
}


def _parts(model_type: str) -> Mapping[str, Values]:
    vision, text = {"model_type": f"{model_type}_vision"}, {"model_type": "qwen3_5_text"}
    return MappingProxyType({"vision_config": vision, "text_config": text})


def _read(config: Fields) -> Imported | None:
    config.check_names()
    parts = _parts(config.table.model_type)
    text = read_part(config, "text_config", _TEXTS, parts["text_config"])
    own = parts["vision_config"]["model_type"]
    vision = read_part(config, "vision_config", {own: VISION_TABLES[own]}, parts["vision_config"])
    if text is None or vision is None:
        return None
    llm = read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    llm["checkpoint"] = {"use": "checkpoint/qwen3_5_whole"}
    nodes, prefixes = _seen(config, vision, llm["dim"])
    last = next(reversed(nodes))
    tokens = {"image": read_placeholder(config, llm["vocab"], "image_token_id")}
    features, again = {"image": last}, dict[str, Any]()
    films = config.has("video_token_id")
    if films:
        tokens["video"] = read_placeholder(config, llm["vocab"], "video_token_id")
        features["video"] = f"video_{last}"
        again = called_again(nodes, dict(zip(_IMAGES, _VIDEOS, strict=True)))
        if tokens["video"] == tokens["image"]:
            message = f"`image_token_id` and `video_token_id` are both {tokens['image']}"
            config.problems.conflict(message, config.span("video_token_id"))
    body = {
        "nodes": {**nodes, **again, **fused_language(read_embedding(text), llm, features, tokens)},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"prefixes": {**prefixes, "llm": ""}},
    }
    return Imported(body, text, {**_IMAGES, **(_VIDEOS if films else {}), "input_ids": "tokens"})


def _seen(config: Fields, vision: Fields, width: int) -> tuple[dict[str, Node], dict[str, str]]:
    """The nodes from pixels to features as wide as the text, and where files keep them."""
    vision.check_names()
    layers, dim = vision.integer("num_hidden_layers"), vision.integer("hidden_size")
    tower = _tower(vision, dim)
    patches = {
        "kind": "encoder",
        "type": "patches",
        "inputs": {"image": "pixel_values", "sizes": "target_sizes"},
        "patch": tower["patch"],
        "cut": "row",
    }
    patches["patch"] = {key: value for key, value in tower["patch"].items() if key != "bias"}
    nodes, prefixes = {"patches": patches, "vision": tower}, {"vision": "model.vision_tower."}
    grid = "patches.grid"
    if config.choice("downsample_mode", ("16x", "4x")) == "16x":
        after = config.integer("insert_layer_id", least=0) + 1
        if after >= layers:
            message = f"`insert_layer_id` is {after - 1}, and no layer stands behind it: there are {layers}"
            config.problems.conflict(message, config.span("insert_layer_id"))
        tower |= {"layers": after, "final_norm": False}
        nodes |= _between(vision, dim, layers - after, after)
        grid = "reduced.grid"
        prefixes |= dict.fromkeys(("window", "reduced"), "model.vision_tower.vit_merger.")
        prefixes["upper"] = "model.vision_tower."
    else:
        tower["checkpoint"]["ignore"] = ["vit_merger.*"]
    for key, place in (("merge_kernel_size", config), ("window_kernel_size", vision)):
        if place.has(key) and place.integers(key) != _PAIR:
            message = f"`{place.name(key)}`: the class of transformers merges squares of two by two, whatever this says"
            place.unsupported(key, message, f"write {_PAIR}")
    times = config.integer("merger_times")
    for number in range(1, times + 1):
        name = "merger" if times == 1 else f"merger_{number}"
        nodes[name] = _merger(next(reversed(nodes)), grid, width if number == times else dim)
        prefixes[name] = f"model.merger.mlp.{number - 1}."
        grid = f"{name}.grid"
    return nodes, prefixes


def _tower(vision: Fields, dim: int) -> Node:
    """All layers of the tower, as if nothing were merged between them."""
    heads, size = vision.integer("num_attention_heads"), vision.integer("patch_size")
    if dim % heads:
        message = f"`{vision.name('hidden_size')}`: a width of {dim} is not a multiple of {heads} heads"
        vision.problems.conflict(message, vision.span("hidden_size"))
    return {
        "kind": "encoder",
        "type": "native_vit",
        "inputs": {"patches": "patches", "grid": "patches.grid"},
        "patch": {"size": size, "channels": vision.integer("num_channels"), "bias": True},
        "position": {"type": "learned", "side": vision.integer("image_size") // size, "interpolation": "nearest"},
        "dim": dim,
        "layers": vision.integer("num_hidden_layers"),
        "norm": {"type": "layer", "eps": vision.number("layer_norm_eps")},
        "attention": {"heads": heads, "bias": True},
        "mlp": {
            "hidden": vision.integer("intermediate_size"),
            "activation": vision.activation("hidden_act"),
            "bias": True,
        },
        "checkpoint": {"use": "checkpoint/minicpm_vision"},
    }


def _between(vision: Fields, dim: int, count: int, after: int) -> dict[str, Node]:
    """Attention within windows, the merger of these, and the `count` layers that read what it gives."""
    tower = _tower(vision, dim)
    norm, attention = tower["norm"], tower["attention"]
    common = {"kind": "encoder", "type": "native_vit", "dim": dim, "position": "none", "norm": norm}
    names = {ours: theirs for ours, theirs in _LAYER.items() if ours.startswith("attn")}
    window = {
        **common,
        "inputs": {"features": "vision", "grid": "patches.grid"},
        "layers": {"count": 1, "each": ["attn"]},
        "attention": {**attention, "mask": {"grid_window": _PAIR[0]}},
        "final_norm": False,
        "checkpoint": {"names": {f"layers.*.{ours}": theirs for ours, theirs in names.items()}},
    }
    reduced = {
        "kind": "projector",
        "type": "patch_merger",
        "inputs": {"features": "window", "grid": "patches.grid"},
        "group": _PAIR[0],
        "norm": norm,
        "norm_over": "block",
        "hidden": tower["mlp"]["hidden"] * _PAIR[0] ** 2,
        "activation": "gelu_tanh",
        "skip": "mean",
        "checkpoint": {"names": {"norm": "pre_norm"}},
    }
    upper = {
        **common,
        "inputs": {"features": "reduced", "grid": "reduced.grid"},
        "layers": count,
        "attention": attention,
        "mlp": tower["mlp"],
        "checkpoint": {
            "names": {
                **{f"layers.*.{ours}": f"encoder.layers.*+{after}.{theirs}" for ours, theirs in _LAYER.items()},
                "norm": "post_layernorm",
            }
        },
    }
    return {"window": window, "reduced": reduced, "upper": upper}


def _merger(inputs: str, grid: str, out: int) -> Node:
    return {
        "kind": "projector",
        "type": "patch_merger",
        "inputs": {"features": inputs, "grid": grid},
        "group": _PAIR[0],
        "norm": {"type": "layer", "eps": 1e-6},
        "norm_over": "block",
        "activation": "gelu",
        "out": out,
        "checkpoint": {"names": {"norm": "pre_norm"}},
    }


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        name: Family(
            ConfigTable(
                name,
                {**_FIELDS, **more},
                nullable=frozenset({"image_token_id", "video_token_id"}),
                # sizes of the processor, and of the tower, written again
                harmless=frozenset({"image_size", "patch_size"}),
                neutral={"drop_vision_last_layer": False},
            ),
            _read,
            _parts(name),
        )
        for name, more in _TYPES.items()
    }
)
