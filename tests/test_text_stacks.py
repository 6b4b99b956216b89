"""Encoders of text and what attends to them: mistakes in graphs, and configs that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import graphvlm
from graphvlm.diagnostics import GraphError
from graphvlm.importers import import_config

from .diagnosing import GRAPHS, edited, problems, under

USE = "use: encoder/bert_base_uncased\n"


@pytest.mark.parametrize(
    ("setting", "rule", "place", "said"),
    [
        ("attention: {window: 4}", "window-without-order", "4", "tokens of an encoder see each other in both"),
        (
            "attention: {heads: null, linear: {key_heads: 1, value_heads: 1, key_dim: 4, value_dim: 4, conv: 2}}",
            *("linear-conflict", "key_heads", "goes through a sequence in order"),
        ),
        ("attention: {mask: {any: [causal, {prefix: mask}]}}", "bad-mask", "any", "goes by the order of the tokens"),
        ("max_tokens: 600\n    position: {max: 512}", "position-too-short", "512", "learned positions for 512"),
    ],
)
def test_a_mistake_is_one_diagnostic(setting: str, rule: str, place: str, said: str) -> None:
    (found,) = problems(edited({USE: f"{USE}    {setting}\n"}, "bert_base"))
    assert found.rule == rule
    assert place in under(found.span)
    assert said in found.message


POSITION = "position: {type: relative, buckets: 32, max_distance: 128}\n"


@pytest.mark.parametrize(
    ("node", "setting", "rule", "place", "said"),
    [
        ("encoder", "position: {buckets: 30}", "relative-conflict", "30", "30 buckets of `encoder` cannot be for"),
        ("decoder", "position: {max_distance: 16}", "relative-conflict", "16", "16 are for one distance each"),
        ("decoder", "attention: {softcap: 4.0}", "relative-conflict", "4.0", "`softcap` make these otherwise"),
        (
            *("encoder", "layers: {count: 12, where: [{at: [3], attention: {heads: 6}}]}"),
            *("relative-conflict", "relative", "layers of `encoder` have 6 and 12 heads"),
        ),
        (
            *("decoder", "position: {type: alibi, buckets: null, max_distance: null}\n    attention: {sinks: true}"),
            *("relative-conflict", "alibi", "`sinks` make these otherwise"),
        ),
        (
            *("decoder", "attention: {indexer: {heads: 4, head_dim: 8, top: 9}}"),
            *("relative-conflict", "top: 9", "`indexer` make these otherwise"),
        ),
        (
            *("encoder", f"layers: {{count: 12, where: [{{at: [3], {POSITION.strip()}}}]}}"),
            *("position-of-layer", "relative", "of a type that only all layers have together"),
        ),
    ],
)
def test_a_mistake_with_relative_positions(node: str, setting: str, rule: str, place: str, said: str) -> None:
    use = f"use: {node}/t5_base\n"
    found = problems(edited({use: f"{use}    {setting}\n"}, "t5_base"))
    assert [each.rule for each in found] == [rule]
    assert place in under(found[0].span)
    assert said in found[0].message


def test_a_first_token_where_nothing_is_encoded() -> None:
    ids = "generation: {bos_token_id: 1, eos_token_id: [2], pad_token_id: 0}"
    (found,) = problems(edited({ids: "generation: {start_token_id: 0}"}))
    assert (found.rule, under(found.span)) == ("unread-setting", "0")


def test_the_mask_of_what_is_encoded_is_connected() -> None:
    """Wherever it comes from, and not where something else says what is seen."""
    decoder = graphvlm.load(GRAPHS / "t5_base.yaml").nodes["decoder"]
    assert str(decoder.inputs["encoded_mask"]) == "attention_mask"
    crossed = decoder.spec.stack.crossed if decoder.spec.stack else ()
    assert [(each.port, each.present) for each in crossed] == [("encoded", "encoded_mask")]
    llama = graphvlm.load(GRAPHS / "llama_3_2_vision_11b.yaml").nodes["llm"]
    assert "image_mask" not in llama.signature.inputs


def test_outputs_that_are_not_there() -> None:
    """Settings that would make them are pointed at."""
    (found,) = problems(edited({"logits: encoder.logits": "pooled: encoder.pooled"}, "bert_base"))
    assert found.rule == "unknown-port"
    assert [under(label) for label in found.labels] == ["false"]


def test_padding_in_the_positions_of_a_decoder() -> None:
    setting = "position: {type: learned, offset: 2, padding: counted}\n"
    (found,) = problems(edited({"use: decoder/opt_2_7b\n": f"use: decoder/opt_2_7b\n    {setting}"}, "opt_2_7b"))
    assert (found.rule, under(found.span)) == ("unread-setting", "counted")
    assert "use `kind: encoder`" in (found.help or "")


@pytest.mark.parametrize(
    ("config", "rule", "said"),
    [
        ({"architectures": ["BertLMHeadModel"]}, "contradictory-config", "`is_decoder` is false"),
        ({"is_decoder": True}, "contradictory-config", "`is_decoder` is true, and the class is `BertForMaskedLM`"),
        ({"add_cross_attention": True}, "contradictory-config", "which transformers refuses"),
        ({"hidden_size": 50}, "contradictory-config", "not a multiple of 12 heads"),
        ({"architectures": ["BertForSequenceClassification"]}, "unsupported-config", "only `BertForMaskedLM`"),
        ({"position_embedding_type": "relative_key"}, "unsupported-config", "another model"),
    ],
)
def test_a_config_is_refused(config: dict[str, Any], rule: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    with pytest.raises(GraphError) as caught:
        import_config(tmp_path)
    (found,) = caught.value.diagnostics
    assert found.rule == rule
    assert said in found.message
