"""Learned queries that attend to image features: BLIP-2, and beside a text of their own InstructBLIP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from transformers import Blip2Config, InstructBlipConfig, OPTConfig

from ..reference import IMAGE_TOKEN, VOCAB, Padding, llama, pad
from .case import IMAGES, Inputs, Multimodal, square_images

_VISION = {
    "hidden_size": 36,
    "intermediate_size": 52,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 45,
    "patch_size": 14,
    "layer_norm_eps": 2e-3,
}
_QUERIES = {
    "hidden_size": 40,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "layer_norm_eps": 3e-3,
}


def _opt(**changes: Any) -> Any:
    sizes = {"vocab_size": VOCAB, "hidden_size": 48, "ffn_dim": 56, "num_hidden_layers": 2, "num_attention_heads": 6}
    special = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "dropout": 0.0}
    return OPTConfig(**{**sizes, **special, "max_position_embeddings": 512, **changes})


def blip2(text: Any, vision: dict[str, Any] = {}, queries: dict[str, Any] = {}, **changes: Any) -> Any:  # noqa: B006
    return Blip2Config(
        vision_config={**_VISION, **vision},
        qformer_config={**_QUERIES, **queries},
        text_config=text.to_dict(),
        **{"num_query_tokens": 5, "image_token_index": IMAGE_TOKEN, **changes},
    )


def _tokens(config: Any) -> int:
    return int(config.num_query_tokens)


def with_image(inputs: Inputs) -> Inputs:
    """The reference takes no text alone: an image whose features have no place changes nothing."""
    return inputs if "pixel_values" in inputs else inputs | {"pixel_values": torch.zeros(1, 3, 45, 45)}


def instructblip(text: Any, queries: dict[str, Any] = {}, **changes: Any) -> Any:  # noqa: B006
    return InstructBlipConfig(
        vision_config=_VISION,
        qformer_config={**_QUERIES, "vocab_size": 61, "max_position_embeddings": 30, **queries},
        text_config=text.to_dict(),
        **{"num_query_tokens": 5, "image_token_index": IMAGE_TOKEN, **changes},
    )


def questions(padding: Padding, generator: Generator) -> Inputs:
    """What the queries of each image read beside it, of several lengths."""
    ids, mask = pad([torch.randint(3, 61, (9 - 2 * n,), generator=generator) for n in range(sum(IMAGES))], padding)
    return {"qformer_input_ids": ids, "qformer_attention_mask": mask}


def _asked(config: Any, padding: Padding, generator: Generator) -> Inputs:
    return square_images(_tokens)(config, padding, generator) | questions(padding, generator)


def with_question(inputs: Inputs) -> Inputs:
    """The reference takes no text alone."""
    if "pixel_values" in inputs:
        return inputs
    return with_image(inputs) | {"qformer_input_ids": torch.tensor([[3, 4]])}


CASES = {
    "instructblip_opt": Multimodal(
        lambda: instructblip(_opt()), _asked, "InstructBlipForConditionalGeneration", with_question
    ),
    "instructblip_llama_every": Multimodal(
        lambda: instructblip(
            llama(), {"cross_attention_frequency": 1, "hidden_act": "relu", "num_hidden_layers": 2}, num_query_tokens=3
        ),
        _asked,
        "InstructBlipForConditionalGeneration",
        with_question,
    ),
} | {
    name: Multimodal(config, square_images(_tokens), "Blip2ForConditionalGeneration", with_image)
    for name, config in {
        "blip2_opt": lambda: blip2(_opt()),
        "blip2_unbiased_llama": lambda: blip2(
            llama(),
            {"qkv_bias": False, "hidden_act": "gelu_pytorch_tanh"},
            {"cross_attention_frequency": 1, "hidden_act": "relu"},
            num_query_tokens=3,
        ),
    }.items()
}
