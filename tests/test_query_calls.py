"""Calls of a stack of learned tokens and a text: each alone, both, and the text after keys of the tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import graphvlm

from .diagnosing import problems
from .running import GRAPHS, ROOT, packaged, randomise

GRAPH = ROOT / "tests" / "golden" / "graphs" / "query_calls.yaml"


def made(*changes: str) -> Any:
    model = packaged(graphvlm.load(GRAPH, overrides=changes)).Model().eval()
    randomise(model)
    return model


def given() -> dict[str, torch.Tensor]:
    ids = torch.arange(14).view(2, 7) % 11 + 3
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {
        "image": torch.randn(2, 3, 28, 28),
        "input_ids": ids,
        "attention_mask": mask,
        "caption_labels": ids,
        "image_ids": torch.arange(2),
    }


@torch.no_grad()
def test_a_text_after_kept_keys_is_one_sequence() -> None:
    """Where queries see themselves alone, and a text sees them and what comes before it, through the layers by hand."""
    model, batch = made(), given()
    queries, image = model.queries, model.vision(batch["image"])
    text = queries.placed(model.words(batch["input_ids"]))
    seen = torch.zeros(12, 12, dtype=torch.bool)
    seen[:, :5] = True
    seen[5:, 5:] = torch.ones(7, 7).tril().bool()
    visible = seen & torch.nn.functional.pad(batch["attention_mask"].bool(), (5, 0), value=True)[:, None, None, :]
    x = queries.input_norm(torch.cat((queries.query.expand(2, -1, -1), text), dim=1))
    for layer in queries.layers:
        x = layer(x, visible, None, [5, 7], image)
    expected = queries.head(x[:, 5:], model.words.weight)
    there = batch["attention_mask"].bool()
    torch.testing.assert_close(model(**batch).logits[there], expected[there])


@torch.no_grad()
def test_what_pads_a_text_changes_nothing() -> None:
    model, batch = made(), given()
    torch.manual_seed(0)
    first = model(**batch)
    batch["input_ids"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 50)
    torch.manual_seed(0)
    second, there = model(**batch), batch["attention_mask"].bool()
    torch.testing.assert_close(first.matching, second.matching)
    torch.testing.assert_close(first.logits[there], second.logits[there])


@torch.no_grad()
@pytest.mark.parametrize("side", ["image", "text"])
def test_the_most_alike_of_several_vectors_counts(side: str) -> None:
    """Either side may have several; each pair by itself is the diagonal of all with all."""
    other = {"image": "text", "text": "image"}[side]
    heads = f"nodes={{several: {{kind: head, type: similarity, max_over: {side}, inputs: {{{side}: image_vectors, "
    heads += f"{other}: text_vector}}}}}}"
    model = packaged(
        graphvlm.load(GRAPH, overrides=(heads, "outputs.ours=several", "outputs.theirs=several.text_to_image"))
    ).Model()
    randomise(model)
    batch = given()
    output = model(**batch)
    image = model.encode_image(batch["image"]).image_vectors
    text = model.text_vector(model.queries.run_text(model.words(batch["input_ids"]), batch["attention_mask"]))
    expected = torch.stack([torch.stack([(each @ one).max() for one in text]) for each in image])
    torch.testing.assert_close(output.ours, expected if side == "image" else expected.T)
    torch.testing.assert_close(output.theirs, output.ours.T)
    torch.testing.assert_close(output.paired[:, 0], expected.diagonal())


CROSSED = "nodes.queries.layers.where=[{at: [0], each: [attn, cross, mlp, text_mlp], attention: {heads: 2}}]"
MISTAKES = {
    "unknown-segment": ("nodes.texts.sequence=[texts]", "did you mean `text`"),
    "unread-port": ("nodes.texts.inputs.image=vision", "remove `image`"),
    "bad-run": ("nodes.again={module: vision, sequence: [query], inputs: image}", "kind: projector"),
    "unread-setting": ("nodes.paired.gather=true", "remove `gather`, or `paired`"),
    "bad-prefix": (CROSSED, "the same attention"),
    "missing-port": ("nodes.both.inputs.image=null", "image: ..."),
}


@pytest.mark.parametrize("rule", MISTAKES)
def test_mistakes(rule: str) -> None:
    override, edit = MISTAKES[rule]
    more = ("outputs.again=again",) if "again" in override else ()
    found = problems(GRAPH, (override, *more))
    assert any(each.rule == rule and edit in each.help for each in found), found


STAGES = (
    "nodes.vision={image: {size: 28}, dim: 36, layers: 1, attention: {heads: 3}, mlp: {hidden: 44}}",
    "nodes.queries={segments: {query: {learned: 5}}, dim: 24, layers: {count: 2}, attention: {heads: 3}}",
    "nodes.queries={mlp: {hidden: 40}, sublayers: {cross: {heads: 3}}}",
)
FIRST = (*STAGES, "nodes.queries={vocab: 101, sublayers: {text_mlp: {hidden: 36}}}", "nodes.caption_ids.token=7")
SECOND = (
    *STAGES,
    "nodes.llm={vocab: 89, dim: 32, layers: 1, attention: {heads: 4}, mlp: {hidden: 48}}",
    "generation=null",
)


def test_the_second_stage_begins_with_the_first(tmp_path: Path) -> None:
    """Two graphs that share parts: tower and queries go from one to the next, what is of the text does not."""
    first = packaged(graphvlm.load(GRAPHS / "blip2_qformer.yaml", overrides=FIRST)).Model()
    randomise(first)
    first.save_pretrained(tmp_path)
    package = packaged(graphvlm.load(GRAPHS / "blip2_opt_training.yaml", overrides=SECOND))
    second = package.from_pretrained({"vision": tmp_path, "queries": tmp_path})
    image = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        ours = second.queries(second.vision(image))
        theirs = first.queries(first.vision(image))
    torch.testing.assert_close(ours, theirs[0] if isinstance(theirs, tuple) else theirs)
    assert {name.split(".")[0] for name, each in second.named_parameters() if each.requires_grad} == {
        *("vision", "queries", "projector")
    }
    assert {name for name, each in second.vision.named_parameters() if each.requires_grad} == {
        "norm.weight",
        "norm.bias",
    }
