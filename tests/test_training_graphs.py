"""Calls of some layers, heads, losses and negatives: what they compute, and what is said where they are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import graphvlm
from graphvlm.ir import Graph

from .diagnosing import problems
from .running import inputs, packaged, randomise

MATCHING = Path(__file__).parent / "golden" / "graphs" / "matching.yaml"


def matching(*overrides: str) -> Graph:
    return graphvlm.load(MATCHING, overrides=overrides)


def made(*overrides: str, seed: int = 0) -> tuple[Any, Mapping[str, torch.Tensor]]:
    graph = matching(*overrides)
    model = packaged(graph).Model()
    randomise(model, seed)
    given = inputs(graph, padded=False)
    given["attention_mask"][0, 4:] = 0
    return model, given


def test_the_upper_layers_go_on_from_the_lower_ones() -> None:
    model, given = made()
    words, image, mask = model.words(given["input_ids"]), model.vision(given["image"]), given["attention_mask"]
    lower = model.text(words, mask)
    torch.testing.assert_close(
        model.text.from_layer_1(lower, image, mask), model.text.all_layers(words, image, mask), rtol=0, atol=0
    )


def test_losses_are_those_of_torch() -> None:
    model, given = made(
        "outputs={likeness: likeness, texts: likeness.text_to_image, mask: mask_loss, topic: topic_loss}"
    )
    output = model(**given)
    own = torch.arange(len(output.likeness))
    both = (F.cross_entropy(scores, own, label_smoothing=0.1) for scores in (output.likeness, output.texts))
    torch.testing.assert_close(output.contrast, sum(both) / 2)
    total = output.contrast + output.match + output.mask + 0.5 * output.topic
    torch.testing.assert_close(output.loss, total)


def test_everything_learns() -> None:
    model, given = made()
    model(**given).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_no_gradient_goes_back_where_the_graph_says_so() -> None:
    model, given = made("nodes.fused.grad=false")
    model(**given).match.backward()
    learned = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {"matched"}


def test_pairs_are_drawn_by_likeness_and_never_those_that_belong() -> None:
    model, _ = made()
    torch.manual_seed(0)
    scores = torch.tensor([[9.0, 2.0, 0.0, 9.0], [1.0, 0.0, 3.0, 9.0], [0.0, 0.0, 50.0, 9.0]])
    drawn = torch.stack([model.pairs.others(scores) for _ in range(4000)])
    for row, other in enumerate(([1, 2], [0, 2], [0, 1])):
        share = torch.stack([(drawn[:, row] == column).float().mean() for column in range(3)])
        expected = torch.zeros(3)
        expected[other] = scores[row, other].softmax(0)
        assert (share - expected).abs().max() < 0.03


def test_unlike_pairs_are_drawn_too_with_a_floor() -> None:
    model, _ = made("nodes.pairs.floor=0.5")
    torch.manual_seed(0)
    scores = torch.tensor([[0.0, 60.0, -60.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    drawn = torch.stack([model.pairs.others(scores)[0] for _ in range(4000)])
    assert abs(float((drawn == 2).float().mean()) - 0.5 / 2.0) < 0.03
    assert not bool((drawn == 0).any())


MISTAKES = {
    "no-such-layer": ("nodes.fused.layers=[1, 4]", "end at most 3"),
    "bad-embed": ("nodes.fused.embed=true", "remove `embed`"),
    "unread-port": ("nodes.text.inputs.image=vision", "remove `image`"),
    "missing-port": ("nodes.fused.inputs.image=null", "inputs: {"),
    "bad-run": ("nodes.other={module: vision, layers: [0, 1], inputs: image}", "remove `layers`"),
    "bad-negatives": ("nodes.pairs.inputs.tokens=input_ids", "text: ..."),
    "unread-setting": ("nodes.matched.activation=gelu", "write `hidden`"),
    "unknown-port": ("nodes.total.weights.matches=2.0", "`match`"),
    "port-type-mismatch": ("nodes.match_loss.inputs.classes=masked_labels", "`topic`"),
}


@pytest.mark.parametrize("rule", MISTAKES)
def test_mistakes(rule: str) -> None:
    override, edit = MISTAKES[rule]
    more = ("outputs.other=other",) if "other" in override else ()
    found = problems(MATCHING, (override, *more))
    assert found[0].rule == rule
    assert edit in found[0].help
