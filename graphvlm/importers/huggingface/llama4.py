"""Llama 4: a tower whose class token stands last, image tokens put together, three linear maps."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields, shown
from .multimodal import Family, Imported, image_text, mlp_projector, read_part, read_placeholder
from .shuffled import check_grid, read_ratio, shuffle
from .tables import ConfigTable, Values
from .text import read_decoder
from .text_tables import TEXT_TABLES
from .vision import Vision, check_sizes, read_square

LLAMA4 = ConfigTable(
    "llama4",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_index": 200092,
        "image_token_id": None,
        "tie_word_embeddings": False,
    },
    # tokens around an image: ordinary ones for the model
    harmless=frozenset({"boi_token_index", "eoi_token_index", "boi_token_id", "eoi_token_id"}),
)
_VISION = ConfigTable(
    "llama4_vision_model",
    {
        "hidden_size": 768,
        "num_hidden_layers": 34,
        "num_attention_heads": 16,
        "num_channels": 3,
        "intermediate_size": 5632,
        "vision_output_dim": 7680,
        "image_size": 448,
        "patch_size": 14,
        "pixel_shuffle_ratio": 0.5,
        "projector_input_dim": 4096,
        "projector_output_dim": 4096,
        "rope_parameters": None,
        "rope_theta": 10000.0,
    },
    # the class has an activation, norms and biases of its own, and always leaves the class token out
    harmless=frozenset(
        {
            "hidden_act",
            "norm_eps",
            "vision_feature_select_strategy",
            "vision_feature_layer",
            "multi_modal_projector_bias",
            "projector_dropout",
        }
    ),
)
VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType({_VISION.model_type: _VISION})
PARTS: Mapping[str, Values] = MappingProxyType(
    {"vision_config": {"model_type": "llama4_vision_model"}, "text_config": {"model_type": "llama4_text"}}
)

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "linear_1": "vision_model.vision_adapter.mlp.fc1",
        "linear_2": "vision_model.vision_adapter.mlp.fc2",
        "linear_3": "multi_modal_projector.linear_1",
    }
)


def read_llama4(config: Fields) -> Imported | None:
    """The graph of a Llama 4 config; None where a part is of an unknown type."""
    config.check_names()
    text = read_part(config, "text_config", {"llama4_text": TEXT_TABLES["llama4_text"]}, PARTS["text_config"])
    fields = read_part(config, "vision_config", VISION_TABLES, PARTS["vision_config"])
    if text is None or fields is None:
        return None
    # the class makes a text model of its own, which ties its head if the text says so
    llm = read_decoder(text, "fused", tied=text.boolean("tie_word_embeddings"))
    vision = _tower(fields)
    factor = read_ratio(fields, "pixel_shuffle_ratio")
    check_grid(fields, "pixel_shuffle_ratio", vision, factor)
    projector = mlp_projector("shuffled", layers=3, hidden=_projected(fields, factor), activation="gelu", bias=False)
    seen = {
        "vision": vision.tower({"drop_cls": True}),
        "shuffled": shuffle(factor),
        "projector": {**projector, "checkpoint": {"names": dict(_NAMES)}},
    }
    token = read_placeholder(config, llm["vocab"], "image_token_id", "image_token_index")
    nodes = image_text(text, seen, "projector", llm, token)
    outputs = {"logits": "llm.logits"}
    return Imported({"nodes": nodes, "outputs": outputs, "checkpoint": {"use": "checkpoint/llama4_whole"}}, text)


def _tower(vision: Fields) -> Vision:
    vision.check_names()
    size, patch = read_square(vision, "image_size"), read_square(vision, "patch_size")
    heads, dim = vision.integer("num_attention_heads"), vision.integer("hidden_size")
    check_sizes(vision, size, patch, dim, heads)
    if size % patch:
        message = f"`{vision.name('image_size')}`: patches of {patch} do not fill an image of {size} pixels"
        vision.problems.conflict(message, vision.span("image_size"))
    rope = {"type": "rope2d", "theta": _theta(vision), "order": "columns", "style": "interleaved", "first": 1}
    node: dict[str, Any] = {
        "kind": "encoder",
        "type": "vit",
        "inputs": "pixel_values",
        "image": {"size": size, "channels": vision.integer("num_channels")},
        "patch": {"size": patch, "bias": False},
        "class_token": "last",
        "position": ["learned", rope],
        "input_norm": True,
        "dim": dim,
        "layers": vision.integer("num_hidden_layers"),
        "norm": {"type": "layer", "eps": 1e-5},
        "attention": {"heads": heads, "bias": True},
        "mlp": {"hidden": vision.integer("intermediate_size"), "activation": "gelu", "bias": True},
        "final_norm": True,
    }
    return Vision(node, vision.integer("num_hidden_layers"), (size // patch) ** 2, True, "llama4_vision")


def _theta(vision: Fields) -> float:
    """The base of rotary positions, in either spelling; the class reads nothing else of them."""
    rope = vision.tree.get("rope_parameters")
    for key, value in rope.items() if rope is not None and rope.is_mapping else ():
        if key not in ("rope_theta", "rope_type") and value.value is not None:
            message = f"`{vision.name('rope_parameters')}.{shown(key)}` is not a field that the tower reads"
            vision.problems.error("unknown-config-field", message, value.span, help="remove it")
    tree = vision.tree.get("rope_parameters", "rope_theta")
    if tree is not None and isinstance(tree.value, (int, float)) and tree.value > 1:
        return float(tree.value)
    return vision.number("rope_theta")


def _projected(vision: Fields, factor: int) -> int:
    """The width between the linear maps; the class has three fields for it, and another for what it reads."""
    inside = vision.integer("projector_input_dim")
    wide = vision.integer("hidden_size") * factor**2
    for key, said in (("projector_output_dim", inside), ("vision_output_dim", inside), ("intermediate_size", wide)):
        if vision.integer(key) != said:
            message = (
                f"`{vision.name(key)}` is {vision.integer(key)}, and the linear maps fit together with {said} alone"
            )
            vision.problems.conflict(message, vision.span(key))
    return inside


FAMILIES: Mapping[str, Family] = MappingProxyType({"llama4": Family(LLAMA4, read_llama4, PARTS)})
