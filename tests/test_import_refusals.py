"""`graphvlm import`: what is refused, at which place; and that nothing but a diagnostic ever comes of a bad config."""

from __future__ import annotations

import copy
import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphvlm
from graphvlm.diagnostics import Diagnostic, GraphError
from graphvlm.importers import import_config

LLAVA: dict[str, Any] = {
    "model_type": "llava",
    "architectures": ["LlavaForConditionalGeneration"],
    "image_token_index": 90,
    "image_token_id": None,
    "tie_word_embeddings": False,
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "projector_hidden_act": "gelu",
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 36,
        "intermediate_size": 52,
        "num_attention_heads": 3,
        "num_hidden_layers": 4,
        "image_size": 42,
        "patch_size": 14,
    },
    "text_config": {
        "model_type": "llama",
        "vocab_size": 100,
        "hidden_size": 48,
        "intermediate_size": 56,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 20,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0},
    },
}
QWEN: dict[str, Any] = {
    "model_type": "qwen3",
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "use_sliding_window": True,
    "sliding_window": 6,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    "rope_theta": 5000.0,
    "rope_scaling": {"type": "dynamic", "factor": 2.0},
    "eos_token_id": [1, 2],
}
MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "mlp_only_layers": [1],
}
SIGLIP = {"model_type": "siglip_vision_model", "num_hidden_layers": 2}
# Positions by the type of a layer
COMPASS: dict[str, Any] = {
    "model_type": "cohere_compass",
    "image_token_id": 90,
    "video_token_id": 91,
    "vision_config": {"model_type": "cohere_compass", "hidden_size": 48, "num_heads": 3, "out_hidden_size": 48},
    "text_config": {
        "vocab_size": 100,
        "hidden_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            "rope_theta": 1.0,  # what the class throws away
            "rope_type": "default",
            "full_attention": None,
            "sliding_attention": {"rope_type": "default", "rope_theta": 5e4, "mrope_section": [2, 1, 1]},
        },
    },
}
GOOD = (LLAVA, QWEN, MOE, COMPASS)


def changed(config: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A copy with `part.field` set to other values."""
    made = copy.deepcopy(config)
    for path, value in change.items():
        *parts, last = path.split(".")
        place = made
        for part in parts:
            place = place[part]
        place[last] = value
    return made


def problems(folder: Path, text: str) -> tuple[Diagnostic, ...]:
    (folder / "config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(GraphError) as raised:
        import_config(folder)
    return raised.value.diagnostics


# what is changed -> the rule, and a word of the message
REFUSED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (LLAVA, {"model_type": "reformer"}, "unsupported-config", "cannot be imported yet"),
    (LLAVA, {"model_type": None}, "invalid-config", "no `model_type`"),
    (LLAVA, {"architectures": ["LlavaModel"]}, "unsupported-config", "LlavaForConditionalGeneration"),
    (LLAVA, {"imagetoken": 3}, "unknown-config-field", "`imagetoken`"),
    (LLAVA, {"text_config.rope_tetha": 3}, "unknown-config-field", "`text_config.rope_tetha`"),
    (LLAVA, {"vision_config.use_rope": True}, "unknown-config-field", "clip_vision_model"),
    (LLAVA, {"text_config.sliding_window": 4}, "unknown-config-field", "sliding_window"),
    (LLAVA, {"text_config.rope_parameters.low_freq_factor": 1.0}, "unknown-config-field", "`yarn`"),
    (LLAVA, {"text_config": [1]}, "invalid-config", "must be an object"),
    (LLAVA, {"text_config.model_type": "reformer"}, "unsupported-config", "reformer"),
    (LLAVA, {"text_config.model_type": ["llama"]}, "unsupported-config", "model_type"),
    (LLAVA, {"vision_config.model_type": "siglip2_vision_model"}, "unsupported-config", "siglip2_vision_model"),
    (LLAVA, {"vision_config": SIGLIP}, "unsupported-config", "first patch"),
    (LLAVA, {"vision_feature_layer": [-2, "x"]}, "invalid-config", "list of whole numbers"),
    (LLAVA, {"vision_feature_layer": [-2, 5]}, "contradictory-config", "-5 to 4"),
    (LLAVA, {"vision_feature_layer": "-2"}, "invalid-config", "whole number"),
    (LLAVA, {"vision_feature_layer": True}, "invalid-config", "whole number"),
    (LLAVA, {"vision_feature_layer": 5}, "contradictory-config", "-5 to 4"),
    (LLAVA, {"vision_feature_layer": -6}, "contradictory-config", "-5 to 4"),
    (LLAVA, {"vision_feature_select_strategy": "cls"}, "invalid-config", "`default`, `full`"),
    (LLAVA, {"projector_hidden_act": "gleu"}, "unsupported-config", "gleu"),
    (LLAVA, {"image_token_index": 100}, "contradictory-config", "0 to 99"),
    (LLAVA, {"image_token_index": -1}, "invalid-config", "at least 0"),
    (LLAVA, {"image_token_id": 91}, "contradictory-config", "two names of one field"),
    (LLAVA, {"image_seq_length": 10}, "contradictory-config", "9 tokens"),
    (LLAVA, {"vision_config.image_size": [42, 42]}, "unsupported-config", "list"),
    (LLAVA, {"vision_config.image_size": 13}, "contradictory-config", "no patch"),
    (LLAVA, {"vision_config.hidden_size": 37}, "contradictory-config", "multiple of 3 heads"),
    (LLAVA, {"vision_config.tie_last_hidden_states": True}, "unsupported-config", "another model"),
    (LLAVA, {"text_config.hidden_size": 50}, "contradictory-config", "multiple of 6 heads"),
    (LLAVA, {"text_config.num_key_value_heads": 4}, "contradictory-config", "cannot share 4"),
    (LLAVA, {"text_config.head_dim": 21}, "contradictory-config", "odd"),
    (LLAVA, {"text_config.hidden_size": "48"}, "invalid-config", "not 48"),
    (LLAVA, {"text_config.hidden_size": 48.0}, "invalid-config", "not 48.0"),
    (LLAVA, {"text_config.hidden_size": True}, "invalid-config", "not True"),
    (LLAVA, {"text_config.hidden_size": 0}, "invalid-config", "at least 1"),
    (LLAVA, {"text_config.hidden_size": 10**60}, "invalid-config", "hidden_size"),
    (LLAVA, {"text_config.rms_norm_eps": 0}, "invalid-config", "positive"),
    (LLAVA, {"text_config.rms_norm_eps": None}, "invalid-config", "positive"),
    (LLAVA, {"text_config.attention_bias": 1}, "invalid-config", "true or false"),
    (LLAVA, {"text_config.quantization_config": {"bits": 4}}, "unsupported-config", "quantization_config"),
    (MOE, {"num_experts_per_tok": 7}, "contradictory-config", "7 of 6 experts"),
    (MOE, {"num_local_experts": 5}, "contradictory-config", "two names of one field"),
    (MOE, {"mlp_only_layers": ["1"]}, "invalid-config", "list of whole numbers"),
    (MOE, {"mlp_only_layers": 1}, "invalid-config", "list of whole numbers"),
    (MOE, {"decoder_sparse_step": 0}, "invalid-config", "at least 1"),
    (MOE, {"norm_topk_prob": 1}, "invalid-config", "true or false"),
    (MOE, {"shared_expert_intermediate_size": 8}, "unknown-config-field", "shared_expert_intermediate_size"),
    (LLAVA, {"auto_map": {"AutoModel": "x--y"}}, "unsupported-config", "auto_map"),
    (LLAVA, {"text_config.is_causal": False}, "unsupported-config", "is_causal"),
    (LLAVA, {"text_config.per_layer_config": {"0": {"head_dim": 4}}}, "unsupported-config", "per_layer_config"),
    (LLAVA, {"text_config.partial_rotary_factor": 0.5}, "unsupported-config", "part of each head"),
    (LLAVA, {"text_config.rope_parameters": "yarn"}, "invalid-config", "must be an object"),
    (LLAVA, {"text_config.rope_parameters": {"rope_type": "proportional"}}, "unsupported-config", "proportional"),
    (LLAVA, {"text_config.rope_parameters": {"rope_type": "mrope"}}, "unsupported-config", "mrope"),
    (LLAVA, {"text_config.rope_parameters": {"rope_type": None}}, "unsupported-config", "None"),
    (LLAVA, {"text_config.rope_parameters": {"rope_type": "linear"}}, "invalid-config", "`linear` needs it"),
    (LLAVA, {"text_config.rope_parameters.factor": float("inf")}, "invalid-config", "not JSON"),
    (LLAVA, {"text_config.rope_scaling": {"type": "linear", "factor": 2.0}}, "contradictory-config", "both say"),
    (QWEN, {"rope_scaling": {"full_attention": {"rope_type": "default"}}}, "unsupported-config", "some of the layers"),
    (QWEN, {"rope_scaling.original_max_position_embeddings": 9}, "unknown-config-field", "`dynamic`"),
    (COMPASS, {"text_config.rope_parameters": {"rope_theta": 5.0}}, "invalid-config", "type `full_attention`"),
    (COMPASS, {"text_config.rope_parameters.linear_attention": None}, "unknown-config-field", "linear_attention"),
    (COMPASS, {"text_config.rope_parameters.sliding_attention": None}, "unsupported-config", "no layer any positions"),
    (COMPASS, {"text_config.rope_parameters.full_attention": "none"}, "invalid-config", "must be an object"),
    (QWEN, {"layer_types": ["full_attention"]}, "contradictory-config", "1 layer types for 3"),
    (QWEN, {"layer_types": ["full_attention", "mamba", "full_attention"]}, "unsupported-config", "mamba"),
    (QWEN, {"layer_types": {"0": "full_attention"}}, "invalid-config", "list of words"),
    (QWEN, {"use_sliding_window": False}, "contradictory-config", "says none"),
    (QWEN, {"head_dim": None}, "invalid-config", "head_dim"),
    (QWEN, {"eos_token_id": "2"}, "invalid-config", "eos_token_id"),
    (QWEN, {"model_type": "mistral", "layer_types": ["full_attention"] * 3}, "unsupported-config", "layer_types"),
    (QWEN, {"model_type": "mistral", "num_key_value_heads": None}, "invalid-config", "num_key_value_heads"),
    (QWEN, {"model_type": "qwen2", "attention_bias": False}, "unknown-config-field", "attention_bias"),
]


@pytest.mark.parametrize(("config", "change", "rule", "words"), REFUSED, ids=[str(case[1])[:60] for case in REFUSED])
def test_refused(config: dict[str, Any], change: dict[str, Any], rule: str, words: str, tmp_path: Path) -> None:
    found = problems(tmp_path, json.dumps(changed(config, change), indent=1))
    wanted = [problem for problem in found if problem.rule == rule and words in problem.message + problem.help]
    assert len(wanted) == 1, [f"{problem.rule}: {problem.message} ({problem.help})" for problem in found]
    assert wanted[0].span is not None


def test_a_place_is_that_of_the_value(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, '{"model_type": "llama",\n "é": null, "hidden_size":  "64"}')
    span = problem.span
    assert span is not None
    assert (span.line, span.column, span.end_line, span.end_column) == (2, 29, 2, 33)


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    change = {
        "imagetoken": 3,
        "text_config.hidden_act": "x",
        "vision_config.patch_size": None,
        "vision_feature_layer": {},
    }
    found = problems(tmp_path, json.dumps(changed(LLAVA, change)))
    assert len(found) == 4


def test_a_misspelled_field_is_suggested(tmp_path: Path) -> None:
    found = problems(tmp_path, json.dumps({**QWEN, "num_key_value_head": 2}))
    assert found[0].help == "did you mean `num_key_value_heads`?"


def test_null_says_nothing(tmp_path: Path) -> None:
    """Files of version 4 hold hundreds of nulls."""
    (tmp_path / "config.json").write_text(json.dumps({**QWEN, "whatever": None, "quantization_config": None}))
    assert "whatever" not in import_config(tmp_path)


BROKEN = {
    "": "empty",
    "{": "double quotes",
    "[1, 2]": "JSON object",
    "null": "JSON object",
    '{"a": 1} {': "after the end",
    '{"a": 1, "a": 2}': "there twice",
    '{"a" 1}': "expected `:`",
    '{"a": 1 "b"}': "expected `,` or `}`",
    '{"a": 01}': "expected `,` or `}`",
    '{"a": -}': "JSON value",
    '{"a": NaN}': "JSON value",
    '{"a": tru}': "JSON value",
    '{"a": "x}': "string",
    '{"a": "\\q"}': "escape",
    '{"a": "\\ud800"}': "surrogate",
    '{"a": "\n"}': "control character",
    '{"a": ' + "9" * 5000 + "}": "too long",
    "[" * 100_000: "nested",
    '{"a":' * 500: "nested",
}


@pytest.mark.parametrize("text", BROKEN, ids=[text[:12] for text in BROKEN])
def test_broken_json(text: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.rule == "invalid-config"
    assert BROKEN[text] in problem.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.json", tmp_path / "missing", tmp_path / ("x" * 5000), Path("a\0b")):
        with pytest.raises(GraphError, match="invalid-config"):
            import_config(path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(GraphError, match="cannot be read"):
        import_config(tmp_path)
    (tmp_path / "config.json").write_text(" " * (5 * 1024 * 1024))
    with pytest.raises(GraphError, match="larger than"):
        import_config(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(GraphError, match="no such file"):
        import_config(tmp_path / "config.json")


def test_a_bad_generation_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text("[]")
    (problem,) = problems(tmp_path, json.dumps(QWEN))
    assert problem.span is not None
    assert problem.span.source.name.endswith("generation_config.json")


# ---- mutations: only ever a diagnostic

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["llama", "siglip_vision_model", "yarn", "linear", "full", "sliding_attention", "gelu"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(
    {*LLAVA, *LLAVA["text_config"], *LLAVA["vision_config"], *QWEN, "rope_type", "truncate", "max_window_layers"}
)


def tried(text: str) -> None:
    """Import a text and load what it gives: GraphError or nothing."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
        graph = place / "graph.yaml"
        with suppress(GraphError):
            graph.write_text(import_config(place), encoding="utf-8")
            graphvlm.load(graph)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_fields(data: st.DataObject) -> None:
    config = copy.deepcopy(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 3))):
        objects = [config, *(value for value in config.values() if isinstance(value, dict))]
        place = data.draw(st.sampled_from(objects))
        key = data.draw(st.sampled_from([*place, *FIELDS]) | st.text(max_size=5))
        if data.draw(st.booleans()) and key in place:
            del place[key]
        else:
            place[key] = data.draw(ANYTHING)
    tried(json.dumps(config, ensure_ascii=data.draw(st.booleans())))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_text(data: st.DataObject) -> None:
    text = json.dumps(data.draw(st.sampled_from(GOOD)), indent=1)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 6)))
        text = (
            text[:start] + data.draw(st.text('{}[]",:0.-eE\\ntruefals ', max_size=4) | st.text(max_size=2)) + text[end:]
        )
    tried(text)
