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

pytestmark = pytest.mark.usefixtures("one_thread")

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
    """Soft targets: who has the same id belongs together, a share is of all, and a share is the teacher's."""
    model, given = made(
        "outputs={rows: likeness, columns: likeness.text_to_image, taught_rows: likeness_teacher}",
        "outputs={taught_columns: likeness_teacher.text_to_image, keys: queue.ids, mask: mask_loss, topic: topic_loss}",
        "outputs={logits: whole.logits, teacher: whole_teacher.logits}",
    )
    model.begin_step(500)
    output = model(**given)
    same = (given["image_ids"][:, None] == output.keys).float()
    hard = 0.9 * same / same.sum(1, keepdim=True) + 0.1 / same.size(1)
    losses = []
    for scores, taught in ((output.rows, output.taught_rows), (output.columns, output.taught_columns)):
        share = 0.4 * 500 / 2000
        losses.append(F.cross_entropy(scores, share * taught.softmax(1) + (1 - share) * hard))
    torch.testing.assert_close(output.contrast, sum(losses) / 2)
    hard_loss = F.cross_entropy(output.logits.flatten(0, 1), given["masked_labels"].flatten())
    soft_loss = F.cross_entropy(output.logits.flatten(0, 1), output.teacher.flatten(0, 1).softmax(1))
    torch.testing.assert_close(output.mask, 0.7 * hard_loss + 0.3 * soft_loss)
    total = output.contrast + output.match + output.mask + 0.5 * output.topic
    torch.testing.assert_close(output.loss, total)


def test_everything_learns() -> None:
    model, given = made()
    model(**given).loss.backward()
    learned = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {node.name for node in matching().owners if node.parameters and not node.follows}
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_no_gradient_goes_back_where_the_graph_says_so() -> None:
    model, given = made("nodes.fused.grad=false")
    model(**given).match.backward()
    learned = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {"matched"}


def test_pairs_are_drawn_by_likeness_and_never_those_that_belong() -> None:
    model, _ = made()
    torch.manual_seed(0)
    scores = torch.tensor([[9.0, 2.0, 0.0, 9.0], [1.0, 0.0, 3.0, 9.0], [0.0, 0.0, 50.0, 9.0]])
    drawn = torch.stack([model.pairs.others(scores) for _ in range(1500)])
    for row, other in enumerate(([1, 2], [0, 2], [0, 1])):
        share = torch.stack([(drawn[:, row] == column).float().mean() for column in range(3)])
        expected = torch.zeros(3)
        expected[other] = scores[row, other].softmax(0)
        assert (share - expected).abs().max() < 0.05


def test_unlike_pairs_are_drawn_too_with_a_floor() -> None:
    model, _ = made("nodes.pairs.floor=0.5")
    torch.manual_seed(0)
    scores = torch.tensor([[0.0, 60.0, -60.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    drawn = torch.stack([model.pairs.others(scores)[0] for _ in range(1500)])
    assert abs(float((drawn == 2).float().mean()) - 0.5 / 2.0) < 0.05
    assert not bool((drawn == 0).any())


def test_teachers_begin_as_what_they_follow_and_follow_it() -> None:
    model = packaged(matching()).Model()
    for name in ("vision", "words", "text", "image_vector", "text_vector"):
        pairs = zip(getattr(model, name).parameters(), getattr(model, f"{name}_teacher").parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
    before = model.vision_teacher.patch.weight.clone()
    randomise(model.vision)
    model.begin_step(0)
    torch.testing.assert_close(model.vision_teacher.patch.weight, 0.99 * before + 0.01 * model.vision.patch.weight)
    assert not any(parameter.requires_grad for parameter in model.vision_teacher.parameters())


def test_a_temperature_is_held_within_its_bounds() -> None:
    model = packaged(matching()).Model()
    for value, expected in ((0.9, 0.5), (-1.0, 0.001), (0.2, 0.2)):
        model.likeness.temperature.data.fill_(value)
        model.begin_step(0)
        assert model.likeness.temperature.item() == pytest.approx(expected)


def test_a_queue_keeps_the_last_of_all_batches() -> None:
    """Of any size, round its end, in training alone, and through a checkpoint."""
    queue = packaged(matching()).Model().queue
    given = [(torch.randn(n, 20), torch.randn(n, 20), torch.arange(n) + 100 * n) for n in (4, 3, 6)]
    kept = [torch.cat([each[i] for each in given])[-10:] for i in range(3)]
    for vectors in given:
        queue.eval()(*vectors)
        image, _, ids = queue.train()(*vectors)
        assert torch.equal(image[: len(vectors[0])], vectors[0])
        assert torch.equal(ids[: len(vectors[2])], vectors[2])
    assert int(queue.pointer) == 3
    for name, expected in zip(("image", "text", "ids"), kept, strict=True):
        assert torch.equal(getattr(queue, name).roll(-3, dims=0), expected)


def test_state_is_saved_with_the_weights(tmp_path: Path) -> None:
    model, given = made()
    model.train()(**given)
    model.save_pretrained(tmp_path)
    again = packaged(matching()).from_pretrained(tmp_path)
    for (name, tensor), other in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name


def test_teachers_that_no_file_has_begin_as_what_they_follow(tmp_path: Path) -> None:
    model, _ = made()
    model.save_pretrained(tmp_path)
    again = packaged(matching()).from_pretrained({"vision": tmp_path})
    assert torch.equal(again.vision_teacher.patch.weight, model.vision.patch.weight)
    assert torch.isfinite(again.queue.image).all()
    assert int(again.progress.step) == 0


MISTAKES = {
    "no-such-layer": ("nodes.fused.layers=[1, 4]", "end at most 3"),
    "bad-embed": ("nodes.fused.embed=true", "remove `embed`"),
    "unread-port": ("nodes.text.inputs.image=vision", "remove `image`"),
    "missing-port": ("nodes.fused.inputs.image=null", "inputs: {"),
    "bad-run": ("nodes.other={module: vision, layers: [0, 1], inputs: image}", "remove `layers`"),
    "bad-negatives": ("nodes.pairs.inputs.tokens=input_ids", "text: ..."),
    "unread-setting": ("nodes.matched.activation=gelu", "write `hidden`"),
    "unknown-port": ("nodes.total.weights.matches=2.0", "`match`"),
    "bad-distill": ("nodes.contrast.inputs.image_to_text_teacher=null", "feed `image_to_text_teacher`"),
    "bad-temperature": ("nodes.likeness.temperature.init=0.7", "`min` <= `init`"),
    "call-of-call": ("nodes.other={module: {ema: vision_teacher}, inputs: image}", "write `module: vision`"),
    "structure-in-call": ("nodes.vision_teacher.dim=3", "remove `dim`"),
    "port-type-mismatch": ("nodes.match_loss.inputs.classes=masked_labels", "`topic`"),
}


@pytest.mark.parametrize("rule", MISTAKES)
def test_mistakes(rule: str) -> None:
    override, edit = MISTAKES[rule]
    more = ("outputs.other=other",) if "other" in override else ()
    found = problems(MATCHING, (override, *more))
    assert found[0].rule == rule
    assert edit in found[0].help
