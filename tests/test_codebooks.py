"""Tokens made of the rows of a table, and tokens that have a row of their own: what can be written wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import graphvlm
from graphvlm.diagnostics import GraphError
from graphvlm.importers import import_config

from .running import TINY, VARIANTS

# override beside those of the variant -> rule, a word of the message, one of the help
MISTAKES = (
    ("nodes.shuffled.grid=null", "cannot-infer", "fills its grid up", "write `grid: [rows, columns]`"),
    ("nodes.shuffled.remainder=null", "grid-mismatch", "4 x 4", "divides 4 and 4"),
    ("nodes.fused.marks.around=[96, 99, 97]", "placeholder-shared", "same placeholder token 99", "its own token id"),
    ("nodes.fused.marks.around=[96, 96, 97]", "placeholder-shared", "same placeholder token 96", "its own token id"),
    ("nodes.fused.marks.around=[96, 101, 97]", "placeholder-outside-vocabulary", "token 101", "below 101"),
    ("nodes.fused.marks.around=[96, 97]", "shape-mismatch", "2", ""),
    ("nodes.fused.marks={image: [96]}", "placeholder-shared", "takes the places of a placeholder", "port of its own"),
)


@pytest.mark.parametrize(("edit", "rule", "message", "help_"), MISTAKES)
def test_a_mistake_is_diagnosed(edit: str, rule: str, message: str, help_: str) -> None:
    with pytest.raises(GraphError) as caught:
        graphvlm.load(TINY, overrides=[*VARIANTS["codebook"], edit])
    problem = caught.value.diagnostics[0]
    assert problem.rule == rule
    assert message in problem.message
    assert help_ in problem.help
    assert problem.span is not None


OVIS: dict[str, Any] = {
    "model_type": "ovis2",
    "image_token_id": 90,
    "visual_indicator_token_ids": [91, 92, 93, 94, 95],
    "vocab_size": 100,
    "hidden_size": 48,
    "vision_config": {"hidden_size": 36, "num_attention_heads": 3, "image_size": 42, "vocab_size": 30},
    "text_config": {"vocab_size": 100, "hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2},
}
REFUSED = (
    ("", {"vocab_size": 101}, "contradictory-config", "`vocab_size` is 101"),
    ("", {"hidden_size": 40}, "contradictory-config", "`hidden_size` is 40"),
    ("", {"visual_indicator_token_ids": [91, 92, 93, 94, 95, 96]}, "contradictory-config", "has 6 tokens"),
    ("", {"visual_indicator_token_ids": [91, 92]}, "contradictory-config", "has 2 tokens"),
    ("", {"visual_indicator_token_ids": [91, 92, 93, 94, 100]}, "contradictory-config", "goes up to 100"),
    ("vision_config", {"vocab_size": 5}, "contradictory-config", "none is left"),
    ("vision_config", {"tokenize_function": "gumbel_argmax"}, "unsupported-config", "by chance"),
)


def config(part: str, change: dict[str, Any]) -> str:
    whole = {**OVIS, **({part: {**OVIS[part], **change}} if part else change)}
    return json.dumps(whole)


@pytest.mark.parametrize(("part", "change", "rule", "message"), REFUSED)
def test_a_config_is_refused(part: str, change: dict[str, Any], rule: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config(part, change))
    with pytest.raises(GraphError) as caught:
        import_config(tmp_path)
    (problem,) = caught.value.diagnostics
    assert problem.rule == rule
    assert message in problem.message


def test_without_tokens_around_images(tmp_path: Path) -> None:
    """The table has rows for none, or rows that no token asks for."""
    for rows, ids in ((0, []), (5, []), (2, [91, 92])):
        whole = {**OVIS, "visual_indicator_token_ids": ids}
        whole["vision_config"] = {**OVIS["vision_config"], "num_visual_indicator_tokens": rows}
        (tmp_path / "config.json").write_text(json.dumps(whole))
        (tmp_path / "imported.yaml").write_text(import_config(tmp_path))
        graph = graphvlm.load(tmp_path / "imported.yaml")
        assert ("around" in graph.nodes["fused"].inputs) == bool(ids)
