"""Tiny odd reference models of `transformers`: what the generated packages are compared with.

Odd on purpose: six heads over two with a head_dim that is not the width over the heads, images that are no multiple of
their patches, windows shorter than the sequences, three images in a batch of two. Every parameter is random, norms and
biases too: a parameter that starts at one or zero hides its own absence.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import (
    CLIPVisionConfig,
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    SiglipVisionConfig,
)
from transformers.models.auto import AutoModelForCausalLM

from .mended import mend

if TYPE_CHECKING:
    from .multimodal.case import Multimodal

Padding = Literal["none", "left", "right"]

VOCAB = 131
IMAGE_TOKEN = 127
LENGTH = 23  # tokens of the longest text, before its images are counted
# Scores of these depend on where a row begins; the reference counts padding, but its `generate` says where it does.
POSITIONED = ("hunyuan_v1_dense", "llama4_text", "llama4_text_apart")
ORIGINAL = 16  # what the scaled rotary positions were "trained" on: shorter than the sequences


@dataclass(frozen=True)
class Reference:
    """A reference model, where it was saved, and the family it is of if it takes more than text."""

    name: str
    model: Any
    directory: Path
    case: Multimodal | None = None

    def fresh(self, attention: str = "eager", dtype: torch.dtype = torch.float32) -> Any:
        """A copy that nothing ran through: dynamic rotary positions remember the longest sequence that they saw."""
        model = copy.deepcopy(self.model).to(dtype)
        model.set_attn_implementation(attention)
        mend(model)
        return model

    def inputs(self, padding: Padding = "left", seed: int = 7) -> dict[str, torch.Tensor]:
        """Rows of different length; what a multimodal case has in them, it says itself."""
        generator = torch.Generator().manual_seed(seed)
        if self.case:
            return self.case.inputs(self.model.config, padding, generator)
        rows = [torch.randint(3, IMAGE_TOKEN, (length,), generator=generator) for length in (LENGTH, LENGTH - 6)]
        ids, mask = pad(rows, padding)
        return {"input_ids": ids, "attention_mask": mask}

    def theirs(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The same inputs as the reference wants them."""
        if self.case:
            return self.case.reference(inputs)
        if self.name not in POSITIONED or "attention_mask" not in inputs:
            return inputs
        return inputs | {"position_ids": (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)}

    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the reference makes of inputs."""
        with torch.no_grad():
            logits: torch.Tensor = self.fresh()(**self.theirs(inputs)).logits
        return logits


def pad(rows: list[torch.Tensor], padding: Padding) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to one length, padded on a side or cut; the padding is an ordinary token, which must not be seen."""
    if padding == "none":
        shortest = min(len(row) for row in rows)
        longest = max(len(row) for row in rows)
        rows = [torch.cat([row, row[1:4].repeat(longest)])[:longest] for row in rows] if shortest != longest else rows
    longest = max(len(row) for row in rows)
    ids, mask = torch.full((len(rows), longest), 5), torch.zeros(len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(longest - len(row), longest) if padding == "left" else slice(0, len(row))
        ids[index, place], mask[index, place] = row, 1
    return ids, mask


@torch.no_grad()
def randomise(model: Any, seed: int = 0) -> None:
    """Every parameter from a normal distribution around its initial value, wide enough for each to matter."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        norm = "norm" in name.lower()
        if norm and name.endswith("weight"):
            parameter.copy_(float(parameter.any()) + 0.2 * noise)  # some weights are what is added to one
        elif parameter.ndim < 2:
            parameter.copy_(0.2 * noise)
        elif "embed_tokens" in name or "position_embedding" in name:
            parameter.copy_(0.6 * noise)
        else:
            inputs = parameter.shape[-1] if parameter.ndim == 3 else parameter[0].numel()  # stacked experts have three
            parameter.copy_(noise * inputs**-0.5)
    for name, buffer in sorted(model.named_buffers()):
        if name.endswith("e_score_correction_bias"):  # saved with the weights, and zero at the start
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))


# ---- the parts

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "max_position_embeddings": 512,
    "rms_norm_eps": 3e-3,  # large enough that a wrong one shows
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_SCALED = {"max_position_embeddings": ORIGINAL * 4}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]


def _rope(**scaling: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 5000.0, **scaling}}


def llama(**changes: Any) -> Any:
    return LlamaConfig(**{**SIZES, **changes})


def mistral(**changes: Any) -> Any:
    return MistralConfig(**{**SIZES, "sliding_window": 5, **changes})


def qwen2(**changes: Any) -> Any:
    return Qwen2Config(**{**SIZES, **changes})


def qwen3(**changes: Any) -> Any:
    return Qwen3Config(**{**SIZES, **changes})


_MOE = {"num_experts_per_tok": 3, "moe_intermediate_size": 20, "num_experts": 6}


def mixtral(**changes: Any) -> Any:
    experts = {"num_experts_per_tok": 2, "num_local_experts": 5}
    return MixtralConfig(**{**SIZES, **experts, "sliding_window": 6, **changes})


def qwen2_moe(**changes: Any) -> Any:
    return Qwen2MoeConfig(**{**SIZES, **_MOE, "shared_expert_intermediate_size": 28, **changes})


def qwen3_moe(**changes: Any) -> Any:
    return Qwen3MoeConfig(**{**SIZES, **_MOE, **changes})


def olmo2(**changes: Any) -> Any:
    sizes = {name: size for name, size in SIZES.items() if name != "head_dim"}
    return Olmo2Config(**{**sizes, **changes})


def gemma(**changes: Any) -> Any:
    return GemmaConfig(**{**SIZES, **changes})


def gemma2(**changes: Any) -> Any:
    scores = {"query_pre_attn_scalar": 30, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 12.0}
    return Gemma2Config(**{**SIZES, **scores, "sliding_window": 5, **changes})


def clip(**changes: Any) -> Any:
    sizes = {"hidden_size": 36, "intermediate_size": 52, "num_hidden_layers": 4, "num_attention_heads": 3}
    return CLIPVisionConfig(**{**sizes, "image_size": 42, "patch_size": 14, "layer_norm_eps": 2e-3, **changes})


def siglip(**changes: Any) -> Any:
    """As the published tower of patch 14 at 384 pixels, its images are no multiple of the patch."""
    sizes = {"hidden_size": 36, "intermediate_size": 52, "num_hidden_layers": 4, "num_attention_heads": 3}
    return SiglipVisionConfig(**{**sizes, "image_size": 45, "patch_size": 14, "layer_norm_eps": 2e-3, **changes})


# ---- the cases

TEXT_CASES: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "llama": llama,
        "llama_biased": lambda: llama(attention_bias=True, mlp_bias=True, hidden_act="gelu_pytorch_tanh"),
        "llama_tied": lambda: llama(tie_word_embeddings=True, head_dim=None, num_key_value_heads=None),
        "llama_linear": lambda: llama(**_rope(rope_type="linear", factor=2.5)),
        "llama_dynamic": lambda: llama(max_position_embeddings=ORIGINAL, **_rope(rope_type="dynamic", factor=3.0)),
        "llama_llama3": lambda: llama(
            **_SCALED,
            **_rope(
                rope_type="llama3",
                factor=4.0,
                low_freq_factor=1.0,
                high_freq_factor=2.0,
                original_max_position_embeddings=ORIGINAL,
            ),
        ),
        "llama_yarn": lambda: llama(
            **_SCALED, **_rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=ORIGINAL)
        ),
        "mistral": mistral,
        "mistral_no_window": lambda: mistral(sliding_window=None, head_dim=None),
        "qwen2": qwen2,
        "qwen2_tied_window": lambda: qwen2(
            tie_word_embeddings=True, use_sliding_window=True, sliding_window=4, max_window_layers=1
        ),
        "qwen2_mixed": lambda: qwen2(use_sliding_window=True, sliding_window=3, layer_types=MIXED),
        "qwen2_yarn": lambda: qwen2(
            **_SCALED,
            **_rope(
                rope_type="yarn",
                factor=3.0,
                original_max_position_embeddings=ORIGINAL,
                beta_fast=1.5,
                beta_slow=0.1,
                mscale=1.2,
                mscale_all_dim=0.7,
                truncate=False,
            ),
        ),
        "qwen3": qwen3,
        "qwen3_biased_tied": lambda: qwen3(attention_bias=True, tie_word_embeddings=True),
        "qwen3_mixed": lambda: qwen3(use_sliding_window=True, sliding_window=6, layer_types=MIXED[1:] + MIXED[:1]),
        "mixtral": mixtral,
        "qwen2_moe_dense_window": lambda: qwen2_moe(
            mlp_only_layers=[1], use_sliding_window=True, sliding_window=4, max_window_layers=3
        ),
        "qwen2_moe_plain": lambda: qwen2_moe(qkv_bias=False, norm_topk_prob=True),
        "qwen3_moe": lambda: qwen3_moe(norm_topk_prob=True, use_sliding_window=True, sliding_window=5),
        "qwen3_moe_every_other": lambda: qwen3_moe(decoder_sparse_step=2, attention_bias=True),
        "olmo2": olmo2,
        "olmo2_biased": lambda: olmo2(attention_bias=True, num_key_value_heads=None),
        "gemma": gemma,
        "gemma2": gemma2,
        "gemma2_uncapped": lambda: gemma2(attn_logit_softcapping=None, final_logit_softcapping=None, sliding_window=9),
        "qwen3_yarn_factor": lambda: qwen3(
            **_SCALED,
            **_rope(rope_type="yarn", factor=2.0, original_max_position_embeddings=ORIGINAL, attention_factor=0.8),
        ),
    }
)


def build(name: str, directory: Path) -> Reference:
    """The reference model of a text case, saved with `save_pretrained` into a folder of its own."""
    return saved(name, AutoModelForCausalLM.from_config(TEXT_CASES[name]()), directory)


def saved(name: str, model: Any, directory: Path, case: Multimodal | None = None) -> Reference:
    """A reference model with random weights, saved into a folder of its own."""
    model = model.eval().requires_grad_(True)
    randomise(model)
    place = directory / name
    model.save_pretrained(place)
    return Reference(name, model, place, case)
