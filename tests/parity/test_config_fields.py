"""Fields of configs: whatever is changed gives another graph or a refusal, and what is unknown is refused by name.

Every type that is imported, in the first configuration that the other tests of this folder have of it. The fields that
may be changed without another graph are listed here, with the reason.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

from graphvlm.diagnostics import GraphError
from graphvlm.importers import import_config
from graphvlm.importers.huggingface.tables import HARMLESS

from .families import FAMILIES
from .multimodal import MULTIMODAL
from .reference import TEXT_CASES

pytestmark = pytest.mark.slow

_CASES = {**TEXT_CASES, **FAMILIES, **{name: case.config for name, case in MULTIMODAL.items()}}

# Training alone, or how tokens are prepared
_TRAINING = frozenset(
    """
    activation_dropout classifier_dropout embd_pdrop embedding_dropout encoder_layerdrop hidden_dropout
    hidden_dropout_prob init_std layerdrop output_router_logits projection_dropout resid_pdrop residual_dropout
    router_aux_loss_coef router_jitter_noise use_mask_token boi_token_index eoi_token_index eod_token_id
    _pad_token_id image_end_token_id image_start_token_id vision_end_token_id vision_start_token_id
    """.split()  # noqa: SIM905
)
# Of videos, which these types do not take here yet
_VIDEOS = frozenset(
    """
    spatial_pool_stride tokens_per_second video_end_token_id video_seq_length video_start_token_id video_token_id
    video_token_index
    """.split()  # noqa: SIM905
)
# Read by no class of the reference, or only where another field does not say it
_UNREAD = frozenset(
    """
    max_window_layers mlp_ratio num_pos_feats pretraining_tp projection_dim scale scale_embedding qk_head_dim
    vision_use_head use_sliding_window sliding_window_pattern _sliding_window_pattern no_rope_layer_interval
    interleave_moe_layer_step num_image_tokens use_bidirectional_attention sliding_window tie_word_embeddings
    """.split()  # noqa: SIM905
)
# (type, place): these classes do not read a field that others do
_HERE: Mapping[str, frozenset[str]] = {
    "aya_vision": frozenset({"text_config.head_dim", "text_config.logit_scale"}),  # its own head scales nothing
    "cohere2_vision": frozenset({"text_config.head_dim", "text_config.logit_scale"}),
    "cohere2": frozenset({"head_dim"}),
    "cohere_compass": frozenset({"text_config.head_dim", "text_config.pooling"}),
    "deepseek_v2": frozenset({"head_dim"}),
    "deepseek_v3": frozenset({"head_dim"}),
    # a list names the layers with experts, and of one group nothing is chosen
    "deepseek_v32": frozenset({"head_dim", "first_k_dense_replace"}),
    "glm_moe_dsa": frozenset({"head_dim", "first_k_dense_replace", "topk_group"}),
    **dict.fromkeys(("mistral3", "lighton_ocr"), frozenset({"vision_config.head_dim", "vision_config.image_size"})),
    "bloom": frozenset({"slow_but_exact"}),  # how sums over devices are rounded
    "mpt": frozenset(
        {
            *("emb_pdrop", "embedding_fraction", "init_device", "learned_pos_emb", "no_bias", "norm_type"),
            *("attn_config.attn_impl", "attn_config.attn_pdrop"),
        }
    ),
    "got_ocr2": frozenset({"image_seq_length"}),
    "youtu": frozenset({"head_dim", "embedding_initializer_range"}),
    "minimax": frozenset({"block_size"}),  # how many tokens are read at once
    "gpt_oss": frozenset({"hidden_act"}),  # a gate of its own
    "llama4": frozenset(
        f"vision_config.{key}"
        for key in (
            *("hidden_act", "multi_modal_projector_bias", "norm_eps", "projector_dropout"),
            *("rope_parameters.rope_type", "vision_feature_select_strategy"),
        )
    ),
    "instructblip": frozenset(  # what the class works out again
        (
            *("use_decoder_only_language_model", "qformer_config.encoder_hidden_size"),
            "qformer_config.attention_probs_dropout_prob",
        )
    ),
    "blip-2": frozenset(  # of its text branch, which is not there, and what the class works out again
        (
            *("image_text_hidden_size", "use_decoder_only_language_model", "qformer_config.encoder_hidden_size"),
            *("qformer_config.max_position_embeddings", "qformer_config.vocab_size"),
            "qformer_config.attention_probs_dropout_prob",
        )
    ),
    "idefics2": frozenset({"perceiver_config.hidden_size"}),  # of another width than the text, it is given that
    "hunyuan_v1_dense": frozenset({"rope_parameters.factor"}),  # `alpha` is read instead
    "paligemma": frozenset({"hidden_size", "vocab_size"}),  # of the text
    "phi3": frozenset({"original_max_position_embeddings"}),  # without scaled positions
    "llava": frozenset({"text_config.intermediate_size"}),  # no layer without experts
    "qwen3_moe": frozenset({"intermediate_size"}),
    "voxtral": frozenset({"hidden_size", "audio_config.vocab_size"}),
    "qwen3_5_moe_text": frozenset({"rope_parameters.mrope_interleaved", "rope_parameters.mrope_section"}),  # text alone
    "glm_ocr": frozenset({"vision_config.image_size"}),  # no learned positions
    # of the processor, or written again; nothing is merged between layers
    "minicpmv4_6": frozenset({"image_size", "patch_size", "vision_config.insert_layer_id"}),
    "minicpm_ocr": frozenset({"patch_size", "insert_layer_id", "vision_config.insert_layer_id"}),
    "qwen3_5_moe": frozenset({"text_config.intermediate_size"}),  # no layer without experts
}

Place = tuple[str, ...]


def outcome(config: dict[str, Any]) -> tuple[str, str]:
    """The graph of a config, or what is said instead."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        try:
            return import_config(path), ""
        except GraphError as error:
            return "", "\n".join(problem.message for problem in error.diagnostics)


@cache
def configs() -> Mapping[str, dict[str, Any]]:
    """Model type -> what the reference saves as config.json, every default written out."""
    found: dict[str, dict[str, Any]] = {}
    for make in _CASES.values():
        made = make()
        if made.model_type not in found:
            with TemporaryDirectory() as folder:
                made.save_pretrained(folder)
                found[made.model_type] = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    return found


def objects(config: dict[str, Any], place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    yield place, config
    for key, value in config.items():
        if isinstance(value, dict) and key not in HARMLESS:
            yield from objects(value, (*place, key))


def written(config: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(config)
    inside = made
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return made


def others(value: Any) -> list[Any]:
    """Values of the same kind, and of any for null."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2]
    if isinstance(value, float):
        return [value * 2 + 0.125]
    if isinstance(value, str):
        return ["nonsense"]
    if isinstance(value, list):
        return [value[:-1], [*value, *value[:1]]] if value else [[0]]
    return [1, True, 0.5, "nonsense", [1]] if value is None else []


@pytest.mark.parametrize("model_type", configs())
def test_every_field_matters_or_is_known_not_to(model_type: str) -> None:
    config = configs()[model_type]
    graph, said = outcome(config)
    assert said == ""
    ignored = HARMLESS | _TRAINING | _VIDEOS | _UNREAD
    silent = {
        ".".join((*place, key))
        for place, inside in objects(config)
        for key, value in inside.items()
        if key not in ignored and not isinstance(value, dict)
        if all(outcome(written(config, (*place, key), other)) == (graph, "") for other in others(value))
    }
    assert silent - _HERE.get(model_type, frozenset()) == set()


@pytest.mark.parametrize("model_type", configs())
def test_an_unknown_field_is_refused_by_name(model_type: str) -> None:
    """In the config and in every object of it."""
    config = configs()[model_type]
    for place, _ in objects(config):
        graph, said = outcome(written(config, (*place, "sharpness"), 2.0))
        assert graph == "", place
        assert "sharpness" in said, place
