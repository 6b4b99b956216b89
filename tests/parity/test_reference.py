"""The references themselves: each odd setting shows in the logits, and greedy decoding is never a coin toss."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

from .agreement import LIMIT, attended, relative_error
from .families import FAMILIES
from .multimodal import MULTIMODAL
from .multimodal.llava import CASES as LLAVA_CASES
from .reference import TEXT_CASES, Reference

# case -> (object of the config, field, the plain value): without the setting, the same weights must say something else
SETTINGS: dict[str, tuple[str, str, Any]] = {
    "llama_biased": ("", "hidden_act", "silu"),
    "llama_linear": ("", "rope_parameters", {"rope_type": "default", "rope_theta": 5000.0}),
    "llama_dynamic": ("", "rope_parameters", {"rope_type": "default", "rope_theta": 5000.0}),
    "llama_llama3": ("", "rope_parameters", {"rope_type": "default", "rope_theta": 5000.0}),
    "llama_yarn": ("", "rope_parameters", {"rope_type": "default", "rope_theta": 5000.0}),
    "qwen2_yarn": ("", "rope_parameters", {"rope_type": "default", "rope_theta": 5000.0}),
    "qwen3_yarn_factor": ("", "rope_parameters", {"rope_type": "default", "rope_theta": 5000.0}),
    "mistral": ("", "sliding_window", None),
    "mixtral": ("", "sliding_window", None),
    "qwen2_moe_dense_window": ("", "layer_types", ["full_attention"] * 3),
    "qwen2_moe_plain": ("", "norm_topk_prob", False),
    "qwen3_moe": ("", "norm_topk_prob", False),
    "gemma2": ("", "attn_logit_softcapping", 9.0),
    "gemma2_uncapped": ("", "layer_types", ["full_attention"] * 3),
    "qwen2_tied_window": ("", "layer_types", ["full_attention"] * 3),
    "qwen2_mixed": ("", "layer_types", ["full_attention"] * 3),
    "qwen3_mixed": ("", "layer_types", ["full_attention"] * 3),
    "gemma3_text": ("", "query_pre_attn_scalar", 20),
    "deepseek_v3_yarn": ("", "rope_interleave", True),
    "phi3_long": ("", "original_max_position_embeddings", 64),
    "cohere2": ("", "layer_types", ["full_attention"] * 3),
    "granite": ("", "residual_multiplier", 1.0),
    "clip_full_last": ("", "vision_feature_layer", -2),
    "siglip_last": ("", "vision_feature_layer", -2),
    "clip_embeddings": ("", "vision_feature_layer", 1),
    "clip_third_plain_projector": ("", "vision_feature_layer", 4),
    "siglip_qwen3": ("text_config", "layer_types", ["full_attention"] * 3),
    "clip_mistral": ("text_config", "sliding_window", None),
}


# Classes that have one implementation: their bound on scores, or their sinks, are in no fused one.
EAGER_ALONE = ("gemma2", "gpt_oss", "vaultgemma")


CASES = (*TEXT_CASES, *MULTIMODAL, *FAMILIES)


@pytest.mark.parametrize("name", [name for name in CASES if not any(word in name for word in EAGER_ALONE)])
def test_attention_implementations_agree_with_each_other(name: str, reference: Callable[[str], Reference]) -> None:
    """What the reference differs from itself is far below what we are allowed to differ."""
    case = reference(name)
    inputs = case.inputs("left")
    with torch.no_grad():
        eager, sdpa = (case.fresh(kind)(**case.theirs(inputs)).logits[attended(inputs)] for kind in ("eager", "sdpa"))
    assert relative_error(sdpa, eager) < LIMIT / 5


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_shows(name: str, reference: Callable[[str], Reference]) -> None:
    case = reference(name)
    part, field, plain = SETTINGS[name]
    model = case.fresh()
    config = type(model.config)(**model.config.to_dict())
    target = getattr(config, part) if part else config
    setattr(target, field, plain)
    changed = type(model)(config).eval()
    changed.load_state_dict(model.state_dict())
    changed.set_attn_implementation("eager")
    inputs = case.inputs("none")
    with torch.no_grad():
        assert relative_error(changed(**case.theirs(inputs)).logits, model(**case.theirs(inputs)).logits) > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_greedy_decoding_is_decided(name: str, reference: Callable[[str], Reference]) -> None:
    """The best token leads by more than rounding can take away, so that equal tokens are a fair demand."""
    case = reference(name)
    wanted = {"max_new_tokens": 20, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    made = case.fresh().generate(**case.theirs(case.inputs("left")), **wanted)
    best = torch.stack(made.logits, dim=1).topk(2, dim=-1).values
    assert float((best[..., 0] - best[..., 1]).min()) > 1e-4


def test_a_row_says_the_same_beside_a_longer_one(reference: Callable[[str], Reference]) -> None:
    """Llama 4 as it stands in `transformers` counts padding where it scales queries; mended, it does not."""
    case = reference("llama4_text")
    inputs = case.inputs("left")
    row = {name: tensor[1:, inputs["attention_mask"][1].bool()] for name, tensor in inputs.items()}
    as_it_stands, mended = copy.deepcopy(case.model), case.fresh()
    with torch.no_grad():
        alone = mended(**case.theirs(row)).logits[0]
        beside = [model(**case.theirs(inputs)).logits[1, -alone.shape[0] :] for model in (as_it_stands, mended)]
        assert relative_error(as_it_stands(**case.theirs(row)).logits[0], alone) < LIMIT
    assert relative_error(beside[0], alone) > 1e-2
    assert relative_error(beside[1], alone) < LIMIT


def test_a_token_that_sees_no_image_says_what_it_says_without(reference: Callable[[str], Reference]) -> None:
    """Mllama as it stands in `transformers` lets such tokens see all images; mended, as with Meta, it does not."""
    case = reference("mllama")
    inputs = case.inputs("none")
    text = {name: inputs[name][2:] for name in ("input_ids", "attention_mask")}
    as_it_stands, mended = copy.deepcopy(case.model), case.fresh()
    with torch.no_grad():
        alone = mended(**text).logits[0]
        beside = [model(**inputs).logits[2] for model in (as_it_stands, mended)]
    assert relative_error(beside[0], alone) > 1e-2
    assert relative_error(beside[1], alone) < LIMIT


def test_patches_that_fill_no_square(reference: Callable[[str], Reference]) -> None:
    """Ovis 2 as it stands in `transformers` fails with them; mended, as in the original, it puts zeros behind them."""
    case = reference("ovis2_qwen2")
    inputs = case.inputs("none")
    with torch.no_grad(), pytest.raises(RuntimeError, match="shape"):
        copy.deepcopy(case.model)(**inputs)


def test_images_matter(reference: Callable[[str], Reference]) -> None:
    case = reference("clip_llama")
    inputs = case.inputs()
    with torch.no_grad():
        seen = case.fresh()(**inputs).logits
        other = case.fresh()(**{**inputs, "pixel_values": inputs["pixel_values"].flip(0)}).logits
    assert relative_error(other, seen) > 1e-2


def test_cases_cover_the_families() -> None:
    assert {name.split("_")[0] for name in TEXT_CASES} == {
        *("llama", "mistral", "qwen2", "qwen3"),
        *("mixtral", "olmo2", "gemma", "gemma2"),
    }
    pairs = {f"{tower}_{text}" for tower in ("clip", "siglip") for text in ("llama", "mistral", "qwen2", "qwen3")}
    assert pairs <= set(LLAVA_CASES)
