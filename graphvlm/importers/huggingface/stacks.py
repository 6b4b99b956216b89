"""Configs of models that take the images of each prompt in a stack, with a mask where these have padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported, fused_language, read_part, read_placeholder
from .tables import ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES
from .vision import Vision, read_vision

_FIELDS = {
    "vision_config": None,
    "text_config": None,
    "image_token_id": 128257,
    "scale_factor": 2,
    "tie_word_embeddings": False,
}
# what the tokens of an image are at most, a vocabulary, and a default that is saved: the classes do not read them
_HARMLESS = frozenset({"image_seq_len", "vocab_size", "max_frames", "transformers.js_config", "_pad_token_id"})

# left by the code that these models were trained with; the classes of transformers do not read them
_TEXT_HARMLESS = frozenset(
    {
        *("is_llama_config", "neftune_noise_alpha", "perceiver_config", "pixel_shuffle_factor"),
        *("qk_layer_norms", "rope_interleaved", "use_resampler", "transformers.js_config"),
    }
)
_TEXT = {
    name: replace(table, harmless=table.harmless | _TEXT_HARMLESS)
    for name, table in TEXT_TABLES.items()
    if name == "llama"
}

IDEFICS3 = ConfigTable("idefics3", _FIELDS, harmless=_HARMLESS)
SMOLVLM = ConfigTable("smolvlm", _FIELDS, harmless=_HARMLESS)

VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        model_type: ConfigTable(
            model_type,
            {
                "hidden_size": 1152,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 16,
                "num_channels": 3,
                "image_size": 224,
                "patch_size": 32,
                "hidden_act": "gelu_pytorch_tanh",
                "layer_norm_eps": 1e-6,
            },
            harmless=frozenset({"max_image_size", "size", "use_base_siglip", "tie_word_embeddings"}),
        )
        for model_type in ("idefics3_vision", "smolvlm_vision")
    }
)

INPUTS: Mapping[str, Any] = MappingProxyType(
    {"pixel_values": "stack", "pixel_attention_mask": "stack_mask", "input_ids": "tokens"}
)


def _parts(vision: str) -> Mapping[str, Values]:
    text = {"model_type": "llama", "rms_norm_eps": 1e-5}
    return MappingProxyType({"vision_config": {"model_type": vision}, "text_config": text})


def read_stacked(config: Fields) -> Imported | None:
    """The graph of such a config; None where a part is of an unknown type."""
    config.check_names()
    parts = FAMILIES[config.table.model_type].parts
    text = read_part(config, "text_config", _TEXT, parts["text_config"])
    tables = {name: table for name, table in VISION_TABLES.items() if name == parts["vision_config"]["model_type"]}
    vision_fields = read_part(config, "vision_config", tables, parts["vision_config"])
    if text is None or vision_fields is None:
        return None
    llm = read_decoder(text, "fused", tied=config.boolean("tie_word_embeddings"))
    llm["head"].pop("softcap", None)  # the head of this class is its own, and does not bound its logits
    vision = read_vision(vision_fields)
    factor = config.integer("scale_factor")
    _check_factor(config, vision, factor)
    token = read_placeholder(config, llm["vocab"], "image_token_id")
    node = vision.node | {
        "inputs": {"image": "images", "pixel_mask": "images.pixel_mask"},
        "position": "bucketed",
        "checkpoint": {"use": f"checkpoint/{vision.checkpoint}"},
    }
    stack = {"stack": "pixel_values", "stack_mask": "pixel_attention_mask"}
    body = {
        "nodes": {
            "images": {"kind": "encoder", "type": "image_stack", "inputs": stack},
            "vision": node,
            "shuffled": {"kind": "projector", "type": "pixel_shuffle", "factor": factor, "inputs": "vision"},
            "projector": {
                "kind": "projector",
                "type": "linear",
                "bias": False,
                "inputs": "shuffled",
                "checkpoint": {"names": {"linear": "modality_projection.proj"}},
            },
            **fused_language(read_embedding(text), llm, {"image": "projector"}, {"image": token}),
        },
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/idefics3"},
    }
    return Imported(body, text, INPUTS)


def _check_factor(config: Fields, vision: Vision, factor: int) -> None:
    side = round(vision.patches**0.5)
    if side % factor:
        config.problems.conflict(
            f"`scale_factor` is {factor}, and the {side} x {side} patches of an image cannot be joined by that many",
            config.span("scale_factor"),
            help="write a divisor, or correct the sizes of the tower",
        )


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "idefics3": Family(IDEFICS3, read_stacked, _parts("idefics3_vision")),
        "smolvlm": Family(SMOLVLM, read_stacked, _parts("smolvlm_vision")),
    }
)
