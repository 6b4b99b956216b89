"""The tables of the importer against the config classes of `transformers`: every field, every default."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

from transformers import CONFIG_MAPPING, GenerationConfig
from transformers.activations import ACT2FN

import graphvlm
from graphvlm.importers import import_config
from graphvlm.importers.huggingface.audio import AUDIO_TABLES
from graphvlm.importers.huggingface.by_kind import VISION_TABLES as BY_KIND_TABLES
from graphvlm.importers.huggingface.codebooks import VISION_TABLES as CODEBOOK_TABLES
from graphvlm.importers.huggingface.llama4 import VISION_TABLES as LLAMA4_TABLES
from graphvlm.importers.huggingface.mllama import VISION_TABLES as MLLAMA_TABLES
from graphvlm.importers.huggingface.models import FAMILIES as MODELS
from graphvlm.importers.huggingface.narrowing import VISION_TABLES as NARROWING_TABLES
from graphvlm.importers.huggingface.native_tables import NATIVE_TABLES
from graphvlm.importers.huggingface.queried import QUERIED_TABLES
from graphvlm.importers.huggingface.resampled import RESAMPLED_TABLES
from graphvlm.importers.huggingface.squared import VISION_TABLES as SQUARED_TABLES
from graphvlm.importers.huggingface.stacks import VISION_TABLES as STACKED_TABLES
from graphvlm.importers.huggingface.tables import ACTIVATIONS, HARMLESS, NEUTRAL, VISION_TABLES, ConfigTable
from graphvlm.importers.huggingface.text_tables import TEXT_TABLES
from graphvlm.importers.huggingface.windowed import WINDOWED_TABLES

FAMILIES = {name: model.family(name) for name, model in MODELS.items()}
TABLES: Mapping[str, ConfigTable] = {
    **TEXT_TABLES,
    **VISION_TABLES,
    **STACKED_TABLES,
    **AUDIO_TABLES,
    **NATIVE_TABLES,
    **WINDOWED_TABLES,
    **LLAMA4_TABLES,
    **CODEBOOK_TABLES,
    **QUERIED_TABLES,
    **RESAMPLED_TABLES,
    **MLLAMA_TABLES,
    **BY_KIND_TABLES,
    **NARROWING_TABLES,
    **SQUARED_TABLES,
    **{name: family.table for name, family in FAMILIES.items()},
}
CLASSES: Mapping[str, Any] = {name: CONFIG_MAPPING[name] for name in TABLES}

# Understood, and no field of a class: how version 4 wrote rotary positions, and what the code takes from any config.
BESIDE = {"rope_theta", "rope_scaling", "partial_rotary_factor", "original_max_position_embeddings"}
_WIDTHS = (
    *("phi3", "starcoder2", "cohere", "granite", "smollm3", "olmo", "olmo3", "olmoe", "exaone4", "glm4_moe", "dots1"),
    *("glm4v_moe_text", "ernie4_5_vl_moe_text"),
)
ALSO = {
    "qwen2": {"head_dim"},
    "qwen2_moe": {"head_dim"},
    "qwen3_moe": {"head_dim", "num_local_experts"},
    "gemma3_text": {"sliding_window_pattern", "rope_local_base_freq"},
    "gpt_neox": {"rotary_emb_base", "rotary_pct"},
    "cohere2": {"sliding_window_pattern"},
    **{name: {"rotary_dim"} for name in ("minimax", "minimax_m2")},
    "glm4_moe_lite": {"first_k_dense_replace"},
    "glm_moe_dsa": {"index_topk_freq", "index_skip_topk_offset", "index_topk_pattern"},
    **{name: {"head_dim"} for name in _WIDTHS},
    **{name: {"full_attention_interval"} for name in ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")},
    "llava": {"image_token_id"},
    **{name: {"image_token_id", "video_token_id"} for name in ("llava_next_video", "llava_onevision", "video_llava")},
    "vipllava": {"image_token_id", "vision_feature_layers"},
    **{name: {"image_token_id"} for name in ("paligemma", "gemma3")},
    "aya_vision": {"image_token_id", "alignment_intermediate_size"},
    "mistral3": {"image_token_id"},
    "qwen3_vl_moe_text": {"num_local_experts"},
    **{f"{name}_text": {"tie_word_embeddings"} for name in ("qwen2_vl", "qwen2_5_vl")},
    **{f"{name}_text": {"tie_word_embeddings", "bos_token_id", "eos_token_id"} for name in ("qwen3_vl", "glm4v")},
    "glm_ocr_text": {"tie_word_embeddings", "bos_token_id", "eos_token_id", "head_dim"},
    "qwen2_audio": {"audio_token_id"},
    "got_ocr2": {"image_token_id"},
    **{name: {"image_token_id"} for name in ("blip-2", "instructblip")},
    "t5": {"decoder_start_token_id", "n_positions", "scale_decoder_outputs", "tie_word_embeddings"},
    "mt5": {"n_positions"},
    **{name: {"image_token_id"} for name in ("llama4", "mllama")},
    "llava_next": {"image_token_id"},
}


def fields(model_type: str) -> dict[str, Any]:
    """Field -> default of a config class."""
    return {field.name: field.default for field in dataclasses.fields(CLASSES[model_type])}


@pytest.mark.parametrize("model_type", CLASSES)
def test_every_field_is_in_a_table(model_type: str) -> None:
    table = TABLES[model_type]
    known = {*table.understood, *table.harmless, *table.neutral, *HARMLESS, *NEUTRAL}
    assert fields(model_type).keys() - known == set()


@pytest.mark.parametrize("model_type", CLASSES)
def test_defaults_are_those_of_the_class(model_type: str) -> None:
    theirs = fields(model_type)
    ours = {name: value for name, value in TABLES[model_type].understood.items() if name in theirs}
    assert ours == {name: theirs[name] for name in ours}
    assert TABLES[model_type].understood.keys() - theirs.keys() - BESIDE == ALSO.get(model_type, set())


@pytest.mark.parametrize("model_type", CLASSES)
def test_neutral_values_are_those_of_the_class(model_type: str) -> None:
    theirs = fields(model_type)
    neutral = {**NEUTRAL, **TABLES[model_type].neutral}
    assert {name: value for name, value in neutral.items() if name in theirs and theirs[name] != value} == {}


@pytest.mark.parametrize("model_type", TEXT_TABLES)
def test_null_is_taken_where_the_class_takes_it(model_type: str) -> None:
    hints = {field.name: field.type for field in dataclasses.fields(CLASSES[model_type])}
    sizes = {name for name in TABLES[model_type].understood if name in fields(model_type)} - {"rope_parameters"}
    nullable = {name for name in sizes if types.NoneType in get_args(hints[name])} - {"bos_token_id", "eos_token_id"}
    assert TABLES[model_type].nullable - ALSO.get(model_type, set()) == nullable


@pytest.mark.parametrize("model_type", TEXT_TABLES)
def test_the_base_of_rotary_positions(model_type: str) -> None:
    table, rope = TABLES[model_type], getattr(CLASSES[model_type](), "rope_parameters", None)
    theta = table.understood.get(table.name("rope_theta"))
    assert theta == (rope.get("full_attention", rope)["rope_theta"] if rope else None)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_parts_that_are_absent(model_type: str) -> None:
    made = CLASSES[model_type]()
    for name, default in FAMILIES[model_type].parts.items():
        part = dict(default)
        part_type = part.pop("model_type")
        read = TABLES[part_type].understood  # a class may write what no model reads into its parts
        taken, ours = getattr(made, name).to_dict(), CONFIG_MAPPING[part_type](**part).to_dict()
        assert taken["model_type"] == part_type
        assert {key: taken.get(key) for key in read} == {key: ours.get(key) for key in read}


def test_defaults_of_generation_are_harmless() -> None:
    """The config classes drop them; what is not listed is refused, though it would do no harm."""
    listed = {"temperature", "top_k", "top_p", "num_beams", "repetition_penalty", "do_sample", "max_length"}
    assert listed <= GenerationConfig._get_default_generation_params().keys() & HARMLESS


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    """An activation that goes by two names is the same function, to the last digits of float32."""
    import torch

    functions: dict[str, Callable[[Any], Any]] = {
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "silu": torch.nn.functional.silu,
        "relu": torch.nn.functional.relu,
        "relu2": lambda x: torch.nn.functional.relu(x).square(),
    }
    x = torch.linspace(-6, 6, 1001)
    assert torch.allclose(ACT2FN[name](x), functions[ACTIVATIONS[name]](x), rtol=0, atol=2e-6)


@pytest.mark.parametrize("use", [True, False])
@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("first", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_which_layers_have_a_window(model_type: str, first: int, window: int | None, use: bool, tmp_path: Path) -> None:
    """As the class decides it when the file has no layer types."""
    fields = {"num_hidden_layers": 4, "use_sliding_window": use, "sliding_window": window, "max_window_layers": first}
    config = CLASSES[model_type](**fields)
    expected = [8 if kind == "sliding_attention" else None for kind in config.layer_types]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **fields}))
    (tmp_path / "graph.yaml").write_text(import_config(tmp_path), encoding="utf-8")
    spec: Any = graphvlm.load(tmp_path / "graph.yaml").nodes["llm"].spec
    assert list(spec.layers.windows) == expected


@pytest.mark.parametrize("interval", [1, 3, 8])
def test_which_layers_are_linear(interval: int, tmp_path: Path) -> None:
    """As the class decides it when the file has no layer types."""
    fields = {"num_hidden_layers": 7, "full_attention_interval": interval}
    expected = [kind == "linear_attention" for kind in CLASSES["qwen3_5_text"](**fields).layer_types]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_5_text", **fields}))
    (tmp_path / "graph.yaml").write_text(import_config(tmp_path), encoding="utf-8")
    spec: Any = graphvlm.load(tmp_path / "graph.yaml").nodes["llm"].spec
    assert list(spec.layers.linear) == expected


def test_no_table_says_two_things() -> None:
    for table in TABLES.values():
        sets = [set(table.understood), set(table.harmless), set(table.neutral)]
        assert sum(map(len, sets)) == len(set().union(*sets))
    assert not HARMLESS & NEUTRAL.keys()
