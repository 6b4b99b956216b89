"""Encoder-decoders of text: one odd configuration of each, and texts for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from transformers import (
    Blip2ForConditionalGeneration,
    InstructBlipForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from .multimodal.queried import blip2, instructblip, questions
from .reference import IMAGE_TOKEN, VOCAB, Padding, Reference, pad

SIZES: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": VOCAB,
        "d_model": 42,
        "d_kv": 10,
        "d_ff": 56,
        "num_layers": 3,
        "num_heads": 3,
        "relative_attention_num_buckets": 12,
        "relative_attention_max_distance": 17,
        "layer_norm_epsilon": 3e-3,
        "decoder_start_token_id": 4,
        "eos_token_id": None,
    }
)


def untied() -> Any:
    """As the later checkpoints are, which have a head of their own: the class takes what it finds in a file."""
    model = T5ForConditionalGeneration(
        T5Config(**SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=2)
    )
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model


@torch.no_grad()
def as_queries_start(reference: Reference) -> None:
    """Scores are not scaled in this class: its queries begin smaller instead, and are random around that here.

    At the size of other matrices softmax magnifies what float32 rounds: the reference with fused attention is then
    8e-6 away from itself without.
    """
    for name, parameter in reference.model.named_parameters():
        if name.endswith(".q.weight"):
            parameter.mul_(SIZES["d_kv"] ** -0.5)
    reference.model.save_pretrained(reference.directory)


def _seen(**changes: Any) -> Any:
    """BLIP-2 with a text that is encoded."""
    text = T5Config(**SIZES, feed_forward_proj="gated-gelu", **changes)
    return Blip2ForConditionalGeneration(blip2(text))


def _asked() -> Any:
    """InstructBLIP with one."""
    return InstructBlipForConditionalGeneration(instructblip(T5Config(**SIZES, feed_forward_proj="gated-gelu")))


CASES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "blip2_t5": _seen,
        "instructblip_t5": _asked,
        "t5": lambda: T5ForConditionalGeneration(T5Config(**SIZES)),
        "t5_gated": lambda: T5ForConditionalGeneration(T5Config(**SIZES, feed_forward_proj="gated-silu")),
        "t5_untied": untied,
        "mt5": lambda: MT5ForConditionalGeneration(MT5Config(**SIZES)),
    }
)


def inputs(padding: Padding, name: str) -> dict[str, torch.Tensor]:
    """Texts to encode, and others to go on, of different length; with two images in the first where a case sees."""
    generator = torch.Generator().manual_seed(7)
    texts = [torch.randint(3, IMAGE_TOKEN, (length,), generator=generator) for length in (27, 19)]
    begun = [torch.randint(3, IMAGE_TOKEN, (length,), generator=generator) for length in (21, 15)]
    seen = {}
    if "blip" in name:
        image = torch.full((5,), IMAGE_TOKEN)
        texts = [torch.cat((texts[0][:4], image, image, texts[0][4:])), torch.cat((texts[1][:4], image, texts[1][4:]))]
        seen = {"pixel_values": torch.randn(3, 3, 45, 45, generator=generator)}
    if name.startswith("instruct"):
        seen |= questions(padding, generator)
    (ids, mask), (decoder_ids, decoder_mask) = pad(texts, padding), pad(begun, padding)
    found = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": decoder_ids}
    return found | {"decoder_attention_mask": decoder_mask} | seen
