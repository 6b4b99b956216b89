"""Attention over images in tiles: what can be written wrong, what can be passed wrong, and prompts with padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import graphvlm
from graphvlm.diagnostics import GraphError

from .running import ROOT, inputs, packaged, randomise, sizes

GRAPH = ROOT / "tests" / "golden" / "graphs" / "gated_cross.yaml"

pytestmark = pytest.mark.usefixtures("one_thread")

MISTAKES = (
    ("nodes.vision.taps=[3]", "no-such-layer", "`taps` names layer 3", "below 3"),
    ("nodes.vision.global_layers=5", "no-such-layer", "5 layers stand behind the norm", "at most 4"),
    ("nodes.vision.image.size=20", "patch-not-divisible", "divide into its patches, 7 x 7", "`size: 14`"),
    ("nodes.vision.patch.group=2", "unread-setting", "`patch.group` of `vision` is not read", "remove `group`"),
    (
        "nodes.vision.layers={count: 4, where: [{range: [3, 4], each: [attn, global_attn, mlp, global_mlp]}]}",
        *("bad-each", "`attn` and `global_attn`", "let it read a port with `kv`"),
    ),
)


@pytest.mark.parametrize(("edit", "rule", "message", "help_"), MISTAKES)
def test_a_mistake_is_one_diagnostic(edit: str, rule: str, message: str, help_: str) -> None:
    with pytest.raises(GraphError) as caught:
        graphvlm.load(GRAPH, overrides=[edit])
    (problem,) = caught.value.diagnostics
    assert problem.rule == rule
    assert message in problem.message
    assert help_ in problem.help
    assert problem.span is not None


def made(*overrides: str) -> tuple[Any, dict[str, Any]]:
    """A model of the graph with random weights, gates included, and what to call it with."""
    graph = graphvlm.load(GRAPH, overrides=list(overrides))
    model = packaged(graph).Model()
    randomise(model)
    return model.eval(), inputs(graph, sizes(graph))


def test_without_taps_or_padding() -> None:
    model, given = made("nodes.vision={taps: [], multiple: 1}", "nodes.llm.sublayers.cross.kv_dim=20")
    assert model(**given).logits.isfinite().all()


def test_images_without_what_is_seen_of_them() -> None:
    model, given = made()
    del given["cross_attention_mask"]
    with pytest.raises(ValueError, match="image without image_visible"):
        model(**given)


def test_keys_in_unequal_runs() -> None:
    model, given = made()
    given["cross_attention_mask"] = torch.ones(*given["input_ids"].shape, 1, 7, dtype=torch.long)
    with pytest.raises(ValueError, match="are not 7 equal runs"):
        model(**given)


def test_an_image_that_is_needed() -> None:
    """Without `rows`, tokens cannot do without what the layers attend to."""
    model, given = made("nodes.llm.sublayers={cross: {rows: null}, cross_mlp: {rows: null}}")
    with pytest.raises(ValueError, match="`image` is needed"):
        model(given["input_ids"])
