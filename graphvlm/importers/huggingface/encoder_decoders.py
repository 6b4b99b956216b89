"""Encoder-decoders of text with relative positions: an encoder, and a decoder that attends to what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported
from .tables import ConfigTable

Node = dict[str, Any]

_SIZES: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": 32128,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": None,
        "num_heads": 8,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": "relu",
        "pad_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
        "decoder_start_token_id": None,
        "scale_decoder_outputs": None,
        "n_positions": 512,
    }
)
_COMMON: Mapping[str, Any] = MappingProxyType(
    {
        "nullable": frozenset({"num_decoder_layers", "decoder_start_token_id", "scale_decoder_outputs"}),
        # what `feed_forward_proj` says, once more
        "harmless": frozenset({"dropout_rate", "classifier_dropout", "dense_act_fn", "is_gated_act", "output_past"}),
        "neutral": MappingProxyType({"is_encoder_decoder": True}),
        "called": MappingProxyType({"hidden_size": "d_model"}),
    }
)
T5 = ConfigTable("t5", _SIZES, **_COMMON)
MT5 = ConfigTable(
    "mt5",
    {
        **{name: value for name, value in _SIZES.items() if name != "scale_decoder_outputs"},
        "vocab_size": 250112,
        "d_ff": 1024,
        "num_layers": 8,
        "num_heads": 6,
        "feed_forward_proj": "gated-gelu",
        "decoder_start_token_id": 0,
    },
    **_COMMON,
)

INPUTS: Mapping[str, str] = MappingProxyType(
    {
        "input_ids": "tokens",
        "attention_mask": "mask",
        "decoder_input_ids": "tokens",
        "decoder_attention_mask": "mask",
    }
)


def _read(config: Fields) -> Imported:
    """The graph of an encoder-decoder."""
    config.check_names()
    body = {
        "nodes": read_text_to_text(config, "text"),
        "outputs": {"logits": "decoder.logits"},
        "checkpoint": {"use": "checkpoint/t5"},
    }
    return Imported(body, config, INPUTS)


def read_text_to_text(config: Fields, features: str) -> Node:
    """The nodes of a config: embeddings, the encoder of the node `features`, and the decoder."""
    return {
        "text": {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"},
        "decoder_text": {"module": "text", "inputs": "decoder_input_ids"},
        "encoder": read_encoder(config, features, "attention_mask"),
        "decoder": read_decoder(config, "decoder_text", "encoder", "attention_mask"),
    }


def read_encoder(config: Fields, inputs: str, mask: str) -> Node:
    """The encoder of a config, over the embeddings of the node `inputs`, padded as `mask` says."""
    node = _stack(config, "encoder", config.integer("num_layers"))
    read = {"features": inputs, "mask": mask}
    return _ordered(node | {"inputs": read, "checkpoint": {"use": _names(config, "encoder")}})


def read_decoder(config: Fields, inputs: str, encoder: str, mask: str) -> Node:
    """The decoder of a config, which attends to what the node `encoder` gives, padded as `mask` says."""
    count = config.integer_or_none("num_decoder_layers") or config.integer("num_layers")
    node = _stack(config, "decoder", count)
    node["layers"] = {"count": count, "each": ["attn", "cross", "mlp"]}
    node["sublayers"] = {"cross": {"op": "attention", **node["attention"], "kv": "encoded"}}
    read = {"features": inputs, "encoded": encoder, "encoded_mask": mask, "mask": f"decoder_{mask}"}
    node |= {"inputs": read, "vocab": config.integer("vocab_size"), "head": _head(config)}
    return _ordered(node | {"checkpoint": {"use": _names(config, "decoder")}})


_ORDER = (
    *("kind", "type", "inputs", "vocab", "dim", "max_tokens", "layers", "norm", "attention", "sublayers", "mlp"),
    *("position", "head", "checkpoint"),
)


def _ordered(node: Node) -> Node:
    return {key: node[key] for key in _ORDER if key in node}


def _stack(config: Fields, kind: str, count: int) -> Node:
    gated, activation = _activation(config)
    return {
        "kind": kind,
        "type": "transformer",
        "dim": config.integer("d_model"),
        "max_tokens": config.integer("n_positions"),
        "layers": count,
        "norm": {"type": "rms", "eps": config.number("layer_norm_epsilon")},
        "attention": {
            "heads": config.integer("num_heads"),
            "head_dim": config.integer("d_kv"),
            "bias": False,
            "scale": 1.0,
        },
        "mlp": {"hidden": config.integer("d_ff"), "activation": activation, "gated": gated, "bias": False},
        "position": {
            "type": "relative",
            "buckets": config.integer("relative_attention_num_buckets"),
            "max_distance": config.integer("relative_attention_max_distance"),
        },
    }


# The gated form of the one activation has always meant its approximation.
_PROJECTIONS: Mapping[str, tuple[bool, str]] = MappingProxyType(
    {
        "relu": (False, "relu"),
        "gelu": (False, "gelu"),
        "silu": (False, "silu"),
        "gated-gelu": (True, "gelu_tanh"),
        "gated-silu": (True, "silu"),
        "gated-relu": (True, "relu"),
    }
)


def _activation(config: Fields) -> tuple[bool, str]:
    """Whether feed-forwards are gated, and their activation."""
    return _PROJECTIONS[config.choice("feed_forward_proj", tuple(_PROJECTIONS))]


def _head(config: Fields) -> Node:
    """The token embedding again, scaled down; or a matrix of its own.

    The later models say that nothing is tied, and files have two matrices; transformers ties them where it finds one.
    """
    if not config.boolean("tie_word_embeddings"):
        return {"tied": False, "bias": False}
    scaled = config.knows("scale_decoder_outputs") and config.get("scale_decoder_outputs") is None
    if config.has("scale_decoder_outputs"):
        scaled = config.boolean("scale_decoder_outputs")
    scale = {"scale": config.integer("d_model") ** -0.5} if scaled else {}
    return {"tied": True, "bias": False, **scale}


def _names(config: Fields, stack: str) -> str:
    """The catalog part with the key names; gated feed-forwards have three matrices."""
    return f"checkpoint/t5_{stack}{'_gated' if _activation(config)[0] else ''}"


FAMILIES: Mapping[str, Family] = MappingProxyType({table.model_type: Family(table, _read) for table in (T5, MT5)})
