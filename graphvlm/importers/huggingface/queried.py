"""Models whose learned queries attend to image features (a Q-Former), and take the places of an image in the text.

Those of InstructBLIP stand beside a text of their own, which says what to look for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .encoder_decoders import INPUTS as TEXT_TO_TEXT
from .encoder_decoders import T5, read_text_to_text
from .fields import Fields
from .multimodal import Family, Imported, image_text, read_part, read_placeholder
from .tables import ConfigTable, Values
from .text import read_decoder
from .text_tables import TEXT_TABLES
from .vision import Vision, check_sizes, read_square

BLIP2 = ConfigTable(
    "blip-2",
    {
        "vision_config": None,
        "qformer_config": None,
        "text_config": None,
        "num_query_tokens": 32,
        "image_token_index": None,
        "image_token_id": None,
    },
    # the width of the heads for retrieval, what follows from the text config, and names of the first release
    harmless=frozenset(
        {"image_text_hidden_size", "use_decoder_only_language_model", "is_encoder_decoder", "tie_word_embeddings"}
    ),
)

INSTRUCTBLIP = ConfigTable(
    "instructblip",
    {**BLIP2.understood},
    harmless=frozenset({"use_decoder_only_language_model", "is_encoder_decoder", "tie_word_embeddings"}),
)

VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        name: ConfigTable(
            name,
            {
                "hidden_size": 1408,
                "intermediate_size": 6144,
                "num_hidden_layers": 39,
                "num_attention_heads": 16,
                "image_size": 224,
                "patch_size": 14,
                "hidden_act": "gelu",
                "layer_norm_eps": 1e-6,
                "qkv_bias": True,
            },
            # names of the first release; the class has three channels, and projects nothing
            harmless=frozenset({"num_channels", "projection_dim"}),
        )
        for name in ("blip_2_vision_model", "instructblip_vision_model")
    }
)

QFORMER_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "blip_2_qformer": ConfigTable(
            "blip_2_qformer",
            {
                "hidden_size": 768,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "intermediate_size": 3072,
                "hidden_act": "gelu",
                "layer_norm_eps": 1e-12,
                "cross_attention_frequency": 2,
            },
            # the width of the tower, which the class takes from there; what is of its text alone; dropout
            harmless=frozenset(
                {
                    *("encoder_hidden_size", "vocab_size", "max_position_embeddings", "classifier_dropout"),
                    *("hidden_dropout_prob", "attention_probs_dropout_prob", "position_embedding_type"),
                }
            ),
            neutral={"use_qformer_text_input": False},
        ),
        "instructblip_qformer": ConfigTable(
            "instructblip_qformer",
            {
                "vocab_size": 30522,
                "max_position_embeddings": 512,
                "hidden_size": 768,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "intermediate_size": 3072,
                "hidden_act": "gelu",
                "layer_norm_eps": 1e-12,
                "cross_attention_frequency": 2,
            },
            # the width of the tower, which the class takes from there; dropout
            harmless=frozenset(
                {
                    *("encoder_hidden_size", "classifier_dropout", "position_embedding_type"),
                    *("hidden_dropout_prob", "attention_probs_dropout_prob"),
                }
            ),
        ),
    }
)

QUERIED_TABLES: Mapping[str, ConfigTable] = MappingProxyType({**VISION_TABLES, **QFORMER_TABLES})

PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {"model_type": "blip_2_vision_model"},
        "qformer_config": {"model_type": "blip_2_qformer"},
        "text_config": {"model_type": "opt"},
    }
)
INSTRUCTBLIP_PARTS: Mapping[str, Values] = MappingProxyType(
    {
        "vision_config": {"model_type": "instructblip_vision_model"},
        "qformer_config": {"model_type": "instructblip_qformer"},
        "text_config": {"model_type": "opt"},
    }
)
QUESTION: Mapping[str, Any] = MappingProxyType({"qformer_input_ids": "tokens", "qformer_attention_mask": "mask"})


def read_blip2(config: Fields) -> Imported | None:
    """The tower with its class token and last norm, queries, one linear map, and a whole language model."""
    return _read(config, PARTS)


def read_instructblip(config: Fields) -> Imported | None:
    """The same, and the queries stand beside a text."""
    return _read(config, INSTRUCTBLIP_PARTS, QUESTION)


def _read(
    config: Fields, parts: Mapping[str, Values], question: Mapping[str, Any] = MappingProxyType({})
) -> Imported | None:
    config.check_names()
    tables = {**TEXT_TABLES, "t5": T5}
    text = read_part(config, "text_config", tables, parts["text_config"])
    vision_fields, queries = (
        read_part(config, key, {(name := str(parts[key]["model_type"])): QUERIED_TABLES[name]}, parts[key])
        for key in ("vision_config", "qformer_config")
    )
    if text is None or vision_fields is None or queries is None:
        return None
    count = config.integer("num_query_tokens")
    seen = {
        "vision": _tower(vision_fields).tower({}),
        **(_beside_text(queries, count) if question else {"queries": _queries(queries, count)}),
        "projector": {
            "kind": "projector",
            "type": "linear",
            "inputs": "queries",
            "checkpoint": {"names": {"linear": "language_projection"}},
        },
    }
    token = read_placeholder(config, text.integer("vocab_size"), "image_token_index", "image_token_id")
    if text.table is T5:
        return _encoded(text, seen, token, question)
    llm = read_decoder(text, "fused", tied=text.boolean("tie_word_embeddings"))
    nodes = image_text(text, seen, "projector", llm, token)
    layout = {"use": f"checkpoint/{'instructblip' if question else 'blip2'}"}
    body = {"nodes": nodes, "outputs": {"logits": "llm.logits"}, "checkpoint": layout}
    if not question:
        return Imported(body, text)
    llm["inputs"] = {"features": "fused", "mask": "attention_mask"}
    inputs = {"pixel_values": "image", **question, "input_ids": "tokens", "attention_mask": "mask"}
    return Imported(body, text, inputs)


def _encoded(text: Fields, seen: dict[str, Any], token: int, question: Mapping[str, Any]) -> Imported:
    """An encoder of the text with the features in it, and a decoder that attends to what it gives."""
    text.check_names()
    stacks = read_text_to_text(text, "fused")
    nodes = {
        **seen,
        "text": stacks.pop("text"),
        "fused": {
            "kind": "fusion",
            "type": "scatter",
            "inputs": {"text": "text", "image": "projector", "ids": "input_ids"},
            "placeholder": {"image": token},
        },
        **stacks,
    }
    layout = {"use": f"checkpoint/{'instructblip_t5' if question else 'blip2_t5'}"}
    body = {"nodes": nodes, "outputs": {"logits": "decoder.logits"}, "checkpoint": layout}
    return Imported(body, text, {"pixel_values": "image", **question, **TEXT_TO_TEXT})


def _tower(vision: Fields) -> Vision:
    """A tower whose three input projections are one matrix, with one bias or none."""
    vision.check_names()
    size, patch = read_square(vision, "image_size"), read_square(vision, "patch_size")
    heads, dim = vision.integer("num_attention_heads"), vision.integer("hidden_size")
    check_sizes(vision, size, patch, dim, heads)
    bias = vision.boolean("qkv_bias")
    mlp = {"hidden": vision.integer("intermediate_size"), "activation": vision.activation("hidden_act"), "bias": True}
    node: dict[str, Any] = {
        "kind": "encoder",
        "type": "vit",
        "inputs": "pixel_values",
        "image": {"size": size, "channels": 3},
        "patch": {"size": patch, "bias": True, **({"remainder": "crop"} if size % patch else {})},
        "class_token": True,
        "position": "learned",
        "dim": dim,
        "layers": vision.integer("num_hidden_layers"),
        "norm": {"type": "layer", "eps": vision.number("layer_norm_eps")},
        "attention": {"heads": heads, "bias": bias or {"q": False, "k": False, "v": False, "o": True}},
        "mlp": mlp,
        "final_norm": True,
    }
    return Vision(node, vision.integer("num_hidden_layers"), (size // patch) ** 2, True, "blip2_vision")


def _queries(config: Fields, tokens: int) -> dict[str, Any]:
    """Layers with norms after the sums; in every so many, the queries attend to the image."""
    config.check_names()
    dim, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    if dim % heads:
        config.problems.conflict(
            f"`{config.name('hidden_size')}`: a width of {dim} is not a multiple of {heads} heads",
            config.span("hidden_size"),
        )
    every, count = config.integer("cross_attention_frequency"), config.integer("num_hidden_layers")
    crossed = ["attn", "cross", "mlp"]
    layers: dict[str, Any] = {"count": count, "where": [{"name": "crossed", "every": every, "each": crossed}]}
    return {
        "kind": "projector",
        "type": "transformer",
        "inputs": {"image": "vision"},
        "segments": {"query": {"learned": tokens}},
        "dim": dim,
        "layers": layers if every > 1 else {"count": count, "each": crossed},
        "norm": {"type": "layer", "eps": config.number("layer_norm_eps"), "place": "post"},
        "attention": {"heads": heads, "bias": True},
        "mlp": {
            "hidden": config.integer("intermediate_size"),
            "activation": config.activation("hidden_act"),
            "bias": True,
        },
        "sublayers": {"cross": {"op": "attention", "heads": heads, "bias": True, "kv": "image"}},
        "input_norm": True,
        "final_norm": False,
        "checkpoint": {"use": "checkpoint/qformer"},
    }


def _beside_text(config: Fields, tokens: int) -> dict[str, Any]:
    """The words of a text, and queries that stand before them; each of both has a feed-forward of its own."""
    queries = _queries(config, tokens)
    crossed = ["attn", "cross", "mlp", "text_mlp"]
    plain = [name for name in crossed if name != "cross"]
    layers, mlp = queries["layers"], queries["mlp"]
    if "where" in layers:
        layers = {"count": layers["count"], "each": plain, "where": [{**layers["where"][0], "each": crossed}]}
    else:
        layers = {**layers, "each": crossed}
    position = {"type": "learned", "max": config.integer("max_position_embeddings"), "scope": "text"}
    return {
        "words": {
            "kind": "encoder",
            "type": "token_embedding",
            "inputs": "qformer_input_ids",
            "vocab": config.integer("vocab_size"),
            "checkpoint": {"names": {"": "embeddings.word_embeddings"}},
        },
        "queries": {
            **queries,
            "inputs": {"image": "vision", "text": "words", "text_mask": "qformer_attention_mask"},
            "segments": {**queries["segments"], "text": {}},
            "position": position,
            "layers": layers,
            "mlp": {**mlp, "scope": "query"},
            "sublayers": {
                "cross": {**queries["sublayers"]["cross"], "scope": "query"},
                "text_mlp": {"op": "mlp", **mlp, "scope": "text"},
            },
            "checkpoint": {"use": "checkpoint/qformer_text"},
        },
    }


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "blip-2": Family(BLIP2, read_blip2, PARTS),
        "instructblip": Family(INSTRUCTBLIP, read_instructblip, INSTRUCTBLIP_PARTS),
    }
)
