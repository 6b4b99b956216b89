"""Models that put neighbouring image tokens side by side in front of their projector: InternVL, Aya and Command A."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import (
    Family,
    Imported,
    check_tokens,
    drops_class,
    image_text,
    mlp_projector,
    read_llm,
    read_output,
    read_part,
    read_placeholder,
    read_tied,
)
from .tables import VISION_TABLES, ConfigTable, Values
from .text_tables import TEXT_TABLES
from .vision import Vision, check_sizes, read_square, read_vision

UNSAID_TOKENS = 256  # the default of `image_seq_length`, whatever the images are

INTERNVL = ConfigTable(
    "internvl",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_id": 151667,
        "image_seq_length": UNSAID_TOKENS,
        "downsample_ratio": 0.5,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": True,
    },
)
INTERNVL_PARTS: Mapping[str, Values] = MappingProxyType(
    {"vision_config": {"model_type": "internvl_vision"}, "text_config": {"model_type": "qwen2"}}
)

AYA_VISION = ConfigTable(
    "aya_vision",
    {
        "vision_config": None,
        "text_config": None,
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
        "downsample_factor": 2,
        "adapter_layer_norm_eps": 1e-6,
        "alignment_intermediate_size": None,  # not a field of the class, but its projector takes it from the file
        "image_token_index": 255036,
        "image_token_id": None,
        "tie_word_embeddings": True,
    },
    nullable=frozenset({"alignment_intermediate_size"}),
)
AYA_VISION_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "patch_size": 14,
            "image_size": 384,
            "num_hidden_layers": 26,
            "num_attention_heads": 14,
            "vision_use_head": False,
        },
        "text_config": {"model_type": "cohere2"},
    }
)

COHERE2_VISION = ConfigTable(
    "cohere2_vision",
    {
        "vision_config": None,
        "text_config": None,
        "downsample_factor": 2,
        "image_token_id": 255036,
        "alignment_intermediate_size": 36864,
        "tie_word_embeddings": True,
    },
)
COHERE2_VISION_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 3072,
            "image_size": 512,
            "num_hidden_layers": 27,
            "num_attention_heads": 12,
        },
        "text_config": {"model_type": "cohere2"},
    }
)

_GATED = {"up": "linear_1", "gate": "linear_1", "down": "linear_2"}


def read_internvl(config: Fields) -> Imported | None:
    """InternViT, tokens put together, a norm and two linear maps."""
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, INTERNVL_PARTS["text_config"])
    tables = {"internvl_vision": VISION_TABLES["internvl_vision"]}
    vision_fields = read_part(config, "vision_config", tables, INTERNVL_PARTS["vision_config"])
    if text is None or vision_fields is None:
        return None
    llm = read_llm(text, tied=read_tied(config, text))
    vision, factor = _intern_vit(vision_fields), read_ratio(config, "downsample_ratio")
    if not drops_class(config, vision):
        config.unsupported(
            "vision_feature_select_strategy",
            "`vision_feature_select_strategy` is `full`: with the class token, the tokens are no square",
            'write "vision_feature_select_strategy": "default"',
        )
    output = _one_layer(config, vision, drop=True)
    if output.get("layer") == -1:  # here the end of the tower, behind its norm if it has one
        del output["layer"]
    check_grid(config, "downsample_ratio", vision, factor)
    check_tokens(config, "image_seq_length", vision.patches // factor**2, UNSAID_TOKENS)
    projector = mlp_projector(
        "shuffled", norm={"type": "layer", "eps": 1e-5}, layers=2, activation=config.activation("projector_hidden_act")
    )
    seen = {
        "vision": vision.tower(output),
        "shuffled": shuffle(factor),
        "projector": {**projector, "checkpoint": {"names": {"norm": "layer_norm"}}},
    }
    token = read_placeholder(config, llm["vocab"], "image_token_id")
    nodes = image_text(text, seen, "projector", llm, token)
    return Imported(
        {"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": "checkpoint/llava"}}, text
    )


def read_aya_vision(config: Fields) -> Imported | None:
    """SigLIP, tokens put together, a norm and a gated projector; its head does not scale the logits."""
    norm = {"norm": {"type": "layer", "eps": config.number("adapter_layer_norm_eps")}}
    return _gated(config, AYA_VISION_PARTS, norm, "checkpoint/llava")


def read_cohere2_vision(config: Fields) -> Imported | None:
    """The same without the norm, from the end of the tower."""
    return _gated(config, COHERE2_VISION_PARTS, {}, "checkpoint/llava_in_memory")


def _gated(config: Fields, parts: Mapping[str, Values], norm: dict[str, Any], checkpoint: str) -> Imported | None:
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, parts["text_config"])
    vision_fields = read_part(config, "vision_config", VISION_TABLES, parts["vision_config"])
    if text is None or vision_fields is None:
        return None
    llm = read_llm(text, tied=read_tied(config, text))
    vision, factor = read_vision(vision_fields), config.integer("downsample_factor")
    output: dict[str, Any] = {}
    if "vision_feature_layer" in config.table.understood:
        output = _one_layer(config, vision, drop=drops_class(config, vision))
    check_grid(config, "downsample_factor", vision, factor)
    hidden = config.integer_or_none("alignment_intermediate_size") or llm["dim"]
    if hidden % 2:
        key = "alignment_intermediate_size" if config.has("alignment_intermediate_size") else "text_config"
        config.problems.conflict(f"`{key}`: a gate takes half of {hidden}, which is odd", config.span(key))
    names = {"names": {**({"norm": "layernorm"} if norm else {}), **_GATED}}
    projector = mlp_projector("shuffled", **norm, gated=True, hidden=hidden // 2, activation="silu")
    seen = {
        "vision": vision.tower(output),
        "shuffled": shuffle(factor),
        "projector": {**projector, "checkpoint": names},
    }
    other = "image_token_index" if "image_token_index" in config.table.understood else ""
    token = read_placeholder(config, llm["vocab"], "image_token_id", other)
    nodes = image_text(text, seen, "projector", llm, token)
    return Imported({"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": checkpoint}}, text)


def _one_layer(config: Fields, vision: Vision, *, drop: bool) -> dict[str, Any]:
    """The `output` of the tower: these classes make their projector for one layer, and fail with a list."""
    output = read_output(config, vision, drop=drop)
    if "layers" in output:
        message = "`vision_feature_layer` is a list, and the projector of this class has room for one layer"
        config.unsupported("vision_feature_layer", message, "write one layer")
    return output


def shuffle(factor: int) -> dict[str, Any]:
    """The node that puts image tokens side by side."""
    return {"kind": "projector", "type": "pixel_shuffle", "factor": factor, "inputs": "vision"}


def read_ratio(config: Fields, key: str) -> int:
    """How many tokens stand side by side, from the ratio that the file has."""
    ratio = config.number(key)
    factor = round(1 / ratio)
    if factor < 1 or 1 / factor != ratio or factor & (factor - 1):  # others fail there by rounding
        config.unsupported(
            key,
            f"`{config.name(key)}` is {ratio}: only one over a power of two puts whole tokens together",
            "write 0.5, or another such ratio",
        )
        return 1
    return factor


def check_grid(config: Fields, key: str, vision: Vision, factor: int) -> None:
    """Note a square of patches that does not divide so; `key` is the field that says how."""
    side = round(vision.patches**0.5)
    if side % factor:
        config.problems.conflict(
            f"`{key}`: {side} x {side} patches cannot be cut into squares of {factor} x {factor}", config.span(key)
        )


def _intern_vit(vision: Fields) -> Vision:
    """The tower of an InternVL: scaled residuals, norms of queries and keys over all heads, no norm at its end."""
    vision.check_names()
    size, patch = read_square(vision, "image_size"), read_square(vision, "patch_size")
    heads, dim = vision.integer("num_attention_heads"), vision.integer("hidden_size")
    check_sizes(vision, size, patch, dim, heads)
    types = {"layer_norm": "layer", "rms_norm": "rms"}
    norm = {"type": types[vision.choice("norm_type", tuple(types))], "eps": vision.number("layer_norm_eps")}
    bias = vision.boolean("attention_bias")
    qk_norm = {"qk_norm": {"type": "rms", "eps": 1e-6, "over": "all"}} if vision.boolean("use_qk_norm") else {}
    pooled = vision.boolean("use_mean_pooling")
    if not pooled and norm["type"] == "rms":
        vision.unsupported(
            "use_mean_pooling",
            f"`{vision.name('use_mean_pooling')}` is false: the last norm is of another kind than the others",
            "write true unless the weights have that norm",
        )
    mlp = {"hidden": vision.integer("intermediate_size"), "activation": vision.activation("hidden_act"), "bias": True}
    node: dict[str, Any] = {
        "kind": "encoder",
        "type": "vit",
        "inputs": "pixel_values",
        "image": {"size": size, "channels": vision.integer("num_channels")},
        "patch": {"size": patch, "bias": True, **({"remainder": "crop"} if size % patch else {})},
        "class_token": True,
        "position": "learned" if vision.boolean("use_absolute_position_embeddings") else "none",
        "dim": dim,
        "layers": vision.integer("num_hidden_layers"),
        "norm": norm,
        "residual": {"gate": "layer_scale", "init": vision.number("layer_scale_init_value")},
        "attention": {"heads": heads, "bias": {"q": bias, "k": bias, "v": bias, "o": True}, **qk_norm},
        "mlp": mlp,
        "final_norm": not pooled,
    }
    return Vision(node, vision.integer("num_hidden_layers"), (size // patch) ** 2, True, "internvl_vision")


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "internvl": Family(INTERNVL, read_internvl, INTERNVL_PARTS),
        "aya_vision": Family(AYA_VISION, read_aya_vision, AYA_VISION_PARTS),
        "cohere2_vision": Family(COHERE2_VISION, read_cohere2_vision, COHERE2_VISION_PARTS),
    }
)
