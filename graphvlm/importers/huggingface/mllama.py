"""Llama 3.2 Vision as transformers keeps it: a tower over tiles, and layers of a decoder that attend to its features.

Where that class is wrong (which states of the tower are taken, tokens that see no image), the graph is what Meta's own
code computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields, shown
from .multimodal import Family, Imported, read_part
from .tables import ConfigTable, Values
from .text import read_decoder
from .text_tables import TEXT_TABLES
from .vision import check_sizes, read_square

EXTRA_ROWS = 8  # that the class has in its embedding beside those of the vocabulary; the image token is one

MLLAMA = ConfigTable(
    "mllama",
    {"vision_config": None, "text_config": None, "image_token_index": 128256, "image_token_id": None},
)
_VISION = ConfigTable(
    "mllama_vision_model",
    {
        "hidden_size": 1280,
        "hidden_act": "gelu",
        "num_hidden_layers": 32,
        "num_global_layers": 8,
        "attention_heads": 16,
        "num_channels": 3,
        "intermediate_size": 5120,
        "vision_output_dim": 7680,
        "image_size": 448,
        "patch_size": 14,
        "norm_eps": 1e-5,
        "max_num_tiles": 4,
        "intermediate_layers_indices": None,
        "supported_aspect_ratios": None,
    },
    nullable=frozenset({"intermediate_layers_indices", "supported_aspect_ratios"}),
    harmless=frozenset({"max_aspect_ratio_id"}),
)
VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType({_VISION.model_type: _VISION})
PARTS: Mapping[str, Values] = MappingProxyType(
    {"vision_config": {"model_type": "mllama_vision_model"}, "text_config": {"model_type": "mllama_text_model"}}
)
_INPUTS: Values = MappingProxyType(
    {
        "pixel_values": "tiles",
        "aspect_ratio_ids": "arrangement",
        "aspect_ratio_mask": "tile_mask",
        "input_ids": "tokens",
        "cross_attention_mask": "visible",
    }
)


def read_mllama(config: Fields) -> Imported | None:
    """The graph of an Mllama config; None where a part is of an unknown type."""
    config.check_names()
    text = read_part(
        config, "text_config", {name: TEXT_TABLES[name] for name in ("mllama_text_model",)}, PARTS["text_config"]
    )
    vision = read_part(config, "vision_config", VISION_TABLES, PARTS["vision_config"])
    if text is None or vision is None:
        return None
    # the class does not tie its head, whatever the file says
    llm = read_decoder(text, "text", tied=False)
    llm["inputs"] = {"features": "text", "image": "projector", "image_visible": "cross_attention_mask"}
    key = "image_token_id" if config.has("image_token_id") else "image_token_index"
    if config.integer(key) >= llm["vocab"] + EXTRA_ROWS:
        config.problems.conflict(
            f"`{key}` is {config.integer(key)}, and the embedding has no such row", config.span(key)
        )
    projector = {"kind": "projector", "type": "linear", "out": llm["dim"], "inputs": "vision"}
    names = {"names": {"linear.weight": "weight", "linear.bias": "bias"}}
    embedding = {"kind": "encoder", "type": "token_embedding", "extra_rows": EXTRA_ROWS, "inputs": "input_ids"}
    nodes = {"vision": _tower(vision), "projector": {**projector, "checkpoint": names}, "text": embedding, "llm": llm}
    body = {"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": "checkpoint/mllama"}}
    return Imported(body, text, _INPUTS)


def _tower(vision: Fields) -> dict[str, Any]:
    vision.check_names()
    size, patch = read_square(vision, "image_size"), read_square(vision, "patch_size")
    heads, dim = vision.integer("attention_heads"), vision.integer("hidden_size")
    check_sizes(vision, size, patch, dim, heads)
    local, behind = vision.integer("num_hidden_layers"), vision.integer("num_global_layers")
    key = "intermediate_layers_indices"
    taps = vision.integers(key) if vision.has(key) else [3, 7, 15, 23, 30]
    wide = dim * (1 + len(taps))
    if vision.integer("vision_output_dim") != wide:
        message = f"`{vision.name('vision_output_dim')}`: the output and {len(taps)} states beside it are {wide} wide"
        vision.problems.conflict(message, vision.span("vision_output_dim"))
    if (size // patch) ** 2 % 8 == 7:
        message = f"`{vision.name('image_size')}`: of a tile whose tokens are a multiple of 8, transformers hides all"
        vision.unsupported("image_size", message, "use images of another size")
    eps = vision.number("norm_eps")
    own = {} if eps == 1e-5 else {"norm": {"eps": eps}}  # the norms outside of layers have an eps of their own
    mlp = {"hidden": vision.integer("intermediate_size"), "activation": vision.activation("hidden_act"), "bias": True}
    return {
        "kind": "encoder",
        "type": "tiled_vit",
        "inputs": {"tiles": "pixel_values", "arrangement": "aspect_ratio_ids", "tile_mask": "aspect_ratio_mask"},
        "image": {"size": size, "channels": vision.integer("num_channels")},
        "tiles": vision.integer("max_num_tiles"),
        "arrangements": _ratios(vision),
        "patch": {"size": patch},
        "multiple": 8,
        "dim": dim,
        "norm": {"type": "layer", "eps": 1e-5},
        "attention": {"heads": heads, **own},
        "mlp": {**mlp, **own},
        "sublayers": {
            "global_attn": {"op": "attention", "heads": heads, "residual": "tanh", **own},
            "global_mlp": {"op": "mlp", **mlp, "residual": "tanh", **own},
        },
        "layers": {
            "count": local + behind,
            "where": [{"name": "global", "range": [local, local + behind], "each": ["global_attn", "global_mlp"]}],
        },
        "global_layers": behind,
        "taps": taps,
        "checkpoint": {"use": "checkpoint/mllama_vision"},
    }


def _ratios(vision: Fields) -> int:
    """How many arrangements of tiles there are; the class has eight for four tiles."""
    tree = vision.tree.get("supported_aspect_ratios")
    if tree is None or tree.value is None:
        return 8
    found = tree.plain()
    if isinstance(found, list) and found:
        return len(found)
    message = f"`{vision.name('supported_aspect_ratios')}` must be a list of [rows, columns], not {shown(found)}"
    vision.problems.error("invalid-config", message, tree.span)
    return 1


FAMILIES: Mapping[str, Family] = MappingProxyType({"mllama": Family(MLLAMA, read_mllama, PARTS)})
