"""Models whose tower sees windows of patches (SAM's encoder), alone or beside a tower for smaller images."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields, shown
from .multimodal import Family, Imported, fused_language, read_part, read_placeholder
from .tables import VISION_TABLES, ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES
from .vision import check_sizes, read_square, read_vision

_TOWER: Values = MappingProxyType(
    {
        "hidden_size": 768,
        "output_channels": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_channels": 3,
        "image_size": 1024,
        "patch_size": 16,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-06,
        "qkv_bias": True,
        "use_abs_pos": True,
        "use_rel_pos": True,
        "window_size": 14,
        "global_attn_indexes": (2, 5, 8, 11),
        "mlp_dim": 3072,
    }
)
WINDOWED_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "got_ocr2_vision": ConfigTable("got_ocr2_vision", _TOWER),
        "sam_vision_model": ConfigTable(
            "sam_vision_model",
            {**_TOWER, "mlp_dim": None, "mlp_ratio": 4.0},
            nullable=frozenset({"mlp_dim"}),
            # how points are encoded and weights drawn, which no encoder reads
            harmless=frozenset({"num_pos_feats", "scale"}),
        ),
    }
)

GOT_OCR2 = ConfigTable(
    "got_ocr2",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_index": 151859,
        "image_token_id": None,
        "tie_word_embeddings": True,
    },
    # the class does not read it: its processor does
    harmless=frozenset({"image_seq_length"}),
)
GOT_OCR2_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {"model_type": "got_ocr2_vision"},
        "text_config": {
            "model_type": "qwen2",
            "vocab_size": 151860,
            "hidden_size": 1024,
            "intermediate_size": 2816,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "hidden_act": "silu",
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            "rope_theta": 1000000.0,
            "rope_parameters": None,
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 21,
        },
    }
)

DEEPSEEK_VL_HYBRID = ConfigTable(
    "deepseek_vl_hybrid",
    {
        "vision_config": None,
        "high_res_vision_config": None,
        "text_config": None,
        "image_token_id": 100015,
        "tie_word_embeddings": True,
    },
)
DEEPSEEK_VL_HYBRID_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {"model_type": "siglip_vision_model"},
        "high_res_vision_config": {"model_type": "sam_vision_model"},
        "text_config": {"model_type": "llama"},
    }
)


def read_got_ocr2(config: Fields) -> Imported | None:
    """The graph of a GOT-OCR 2 config: two convolutions make a sixteenth as many tokens of the patches."""
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, GOT_OCR2_PARTS["text_config"])
    tables = {"got_ocr2_vision": WINDOWED_TABLES["got_ocr2_vision"]}
    fields = read_part(config, "vision_config", tables, GOT_OCR2_PARTS["vision_config"])
    if text is None or fields is None:
        return None
    llm = read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    width = fields.integer("output_channels")
    side = read_square(fields, "image_size") // read_square(fields, "patch_size")
    names: dict[str, Any] = {"names": {"conv_1": "conv_upsampler1", "conv_2": "conv_upsampler2"}}
    grid = {"grid": [side, side]} if side % 4 else {}
    nodes = {
        "vision": read_windowed(fields, "pixel_values"),
        "neck": read_neck(fields, "vision"),
        "downsample": _downsampling("neck", width, llm["dim"]) | grid | {"checkpoint": names},
        "projector": _linear("downsample", llm["dim"], "multimodal_projector"),
    }
    token = read_placeholder(config, llm["vocab"], "image_token_id", "image_token_index")
    return Imported(_body(text, llm, nodes, token, "checkpoint/got_ocr2"), text)


def read_deepseek_vl_hybrid(config: Fields) -> Imported | None:
    """The graph of a DeepSeek-VL config with two towers, whose features stand side by side."""
    config.check_names()
    parts = DEEPSEEK_VL_HYBRID_PARTS
    text = read_part(config, "text_config", TEXT_TABLES, parts["text_config"])
    tables = {"siglip_vision_model": VISION_TABLES["siglip_vision_model"]}
    low = read_part(config, "vision_config", tables, parts["vision_config"])
    windowed = {"sam_vision_model": WINDOWED_TABLES["sam_vision_model"]}
    high = read_part(config, "high_res_vision_config", windowed, parts["high_res_vision_config"])
    if text is None or low is None or high is None:
        return None
    llm = read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    if llm["dim"] % 2:
        message = f"`{text.name('hidden_size')}` is {llm['dim']}: each of the two towers gives one half"
        config.problems.conflict(message, text.span("hidden_size"))
    vision = read_vision(low)
    side = read_square(low, "image_size") // read_square(low, "patch_size")
    width, early = high.integer("output_channels"), _global_layers(high)[:1]
    if not early:
        message = f"`{high.name('global_attn_indexes')}` names no layer, and the features behind its first are read"
        high.unsupported("global_attn_indexes", message, "name a layer")
    tap = early[0] + 1 if early else 1
    detail = read_windowed(high, "high_res_pixel_values")
    names = {"names": {"conv_1": "conv1", "conv_2": "conv2"}}
    resized = {"resize": [4 * side, 4 * side], "checkpoint": names}
    nodes = {
        "vision": vision.node | {"checkpoint": {"use": f"checkpoint/{vision.checkpoint}"}},
        "detail": detail | {"output": {"taps": [tap]}},
        "neck": read_neck(high, "detail"),
        "early_neck": read_neck(high, f"detail.layer_{tap}"),
        "summed": {
            "kind": "fusion",
            "type": "add",
            "inputs": {"last": "neck", "early": "early_neck"},
            "gates": {"early": 0.0},
            "checkpoint": {"names": {"gate_2": "high_res_vision_alpha"}},
        },
        "downsample": _downsampling("summed", width, 4 * width) | resized,
        "low": _linear("vision", llm["dim"] // 2, "vision_proj"),
        "high": _linear("downsample", llm["dim"] // 2, "high_res_vision_proj"),
        "joined": {
            "kind": "fusion",
            "type": "concat",
            "inputs": {"high": "high", "low": "low"},
            "activation": "gelu",
        },
        "projector": _linear("joined", llm["dim"], "proj"),
    }
    token = read_placeholder(config, llm["vocab"], "image_token_id")
    inputs = {"pixel_values": "image", "high_res_pixel_values": "image", "input_ids": "tokens"}
    return Imported(_body(text, llm, nodes, token, "checkpoint/deepseek_vl_hybrid"), text, inputs)


def _body(text: Fields, llm: dict[str, Any], nodes: dict[str, Any], token: int, checkpoint: str) -> dict[str, Any]:
    language = fused_language(read_embedding(text), llm, {"image": "projector"}, {"image": token})
    outputs = {"logits": "llm.logits"}
    return {"nodes": {**nodes, **language}, "outputs": outputs, "checkpoint": {"use": checkpoint}}


def read_windowed(vision: Fields, inputs: str) -> dict[str, Any]:
    """The encoder of a tower with windows, up to its last layer."""
    vision.check_names()
    size, patch = read_square(vision, "image_size"), read_square(vision, "patch_size")
    dim, heads = vision.integer("hidden_size"), vision.integer("num_attention_heads")
    check_sizes(vision, size, patch, dim, heads)
    if size % patch:
        message = f"`{vision.name('image_size')}`: {size} pixels are no whole number of patches of {patch}"
        vision.problems.conflict(message, vision.span("image_size"))
    bias = vision.boolean("qkv_bias")
    attention: dict[str, Any] = {"heads": heads, "bias": {"q": bias, "k": bias, "v": bias, "o": True}}
    if vision.boolean("use_rel_pos"):
        attention["relative"] = True
    count, window, whole = (
        vision.integer("num_hidden_layers"),
        vision.integer("window_size", least=0),
        _global_layers(vision),
    )
    layers: Any = count
    if window and len(whole) < count:
        uneven = size // patch % window
        attention["mask"] = {"grid_window": window, **({"edge": "padded"} if uneven else {})}
        if whole:
            layers = {"count": count, "where": [{"name": "whole", "at": whole, "attention": {"mask": "image"}}]}
    return {
        "kind": "encoder",
        "type": "vit",
        "inputs": inputs,
        "image": {"size": size, "channels": vision.integer("num_channels")},
        "patch": {"size": patch, "bias": True},
        "position": "learned" if vision.boolean("use_abs_pos") else "none",
        "dim": dim,
        "layers": layers,
        "norm": {"type": "layer", "eps": vision.number("layer_norm_eps")},
        "attention": attention,
        "mlp": {"hidden": _mlp_hidden(vision, dim), "activation": vision.activation("hidden_act"), "bias": True},
        "final_norm": False,
        "checkpoint": {"use": "checkpoint/sam_vision"},
    }


def _mlp_hidden(vision: Fields, dim: int) -> int:
    hidden = vision.integer_or_none("mlp_dim")
    return hidden or int(dim * vision.number("mlp_ratio"))


def _global_layers(vision: Fields) -> list[int]:
    """The layers that see all patches, those of them that there are."""
    key, count = "global_attn_indexes", vision.integer("num_hidden_layers")
    tree = vision.tree.get(key)
    value = list(vision.table.understood[key]) if tree is None else tree.plain()
    if isinstance(value, list) and all(type(each) is int and each >= 0 for each in value):
        return sorted({each for each in value if each < count})
    vision.problems.error(
        "invalid-config",
        f"`{vision.name(key)}` must be a list of whole numbers, not {shown(value)}",
        vision.span(key),
        help="write the numbers of layers, from 0",
    )
    return []


def read_neck(vision: Fields, inputs: str) -> dict[str, Any]:
    """The two convolutions behind a tower with windows."""
    return {
        "kind": "projector",
        "type": "conv",
        "inputs": inputs,
        "out": vision.integer("output_channels"),
        "convolutions": [{"kernel": 1}, {"kernel": 3}],
        "norm": {"type": "layer", "eps": 1e-06},
        "checkpoint": {"use": "checkpoint/sam_neck"},
    }


def _downsampling(inputs: str, width: int, out: int) -> dict[str, Any]:
    """Two convolutions that halve rows and columns; the first doubles the width."""
    convolutions = [{"kernel": 3, "stride": 2, "out": 2 * width}, {"kernel": 3, "stride": 2}]
    return {"kind": "projector", "type": "conv", "inputs": inputs, "out": out, "convolutions": convolutions}


def _linear(inputs: str, out: int, name: str) -> dict[str, Any]:
    names = {"names": {"linear": name}}
    return {"kind": "projector", "type": "linear", "inputs": inputs, "out": out, "checkpoint": names}


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "deepseek_vl_hybrid": Family(DEEPSEEK_VL_HYBRID, read_deepseek_vl_hybrid, DEEPSEEK_VL_HYBRID_PARTS),
        "got_ocr2": Family(GOT_OCR2, read_got_ocr2, GOT_OCR2_PARTS),
    }
)
