"""References become edges between ports, nodes get an order, and masks find their way."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import graphvlm
from graphvlm.compose import compose
from graphvlm.ir import Graph
from graphvlm.link import link
from graphvlm.linked import LinkedGraph
from graphvlm.validate import validate

from .diagnosing import edited, problems, under

FUSED = "    inputs: {text: text, image: projector, ids: input_ids}\n"
IDS = "  input_ids: tokens\n"
TEXT = "  text:\n    kind: encoder\n    type: token_embedding\n    inputs: input_ids\n"
PREFIX = {
    "type: scatter": "type: prefix",
    f"{FUSED}    placeholder: {{image: 99}}\n": "    inputs: {text: text, image: projector}\n",
}


def linked(edits: Mapping[str, str]) -> LinkedGraph:
    return link(validate(compose(edited(edits))))


def sources(graph: LinkedGraph | Graph, node: str) -> dict[str, str]:
    """Port -> what feeds it."""
    if isinstance(graph, Graph):
        return {port: str(ref) for port, ref in graph.nodes[node].inputs.items()}
    return {port: str(edge.source) for port, edge in graph.nodes[node].inputs.items()}


# References


def test_forms_of_inputs() -> None:
    """A reference for the first port, or one for each; a node stands for its first output."""
    graph = linked({})
    assert sources(graph, "vision") == {"image": "pixel_values"}
    assert sources(graph, "fused") == {"text": "text.features", "image": "projector.features", "ids": "input_ids"}
    assert str(graph.outputs["logits"].source) == "llm.logits"
    assert sources(linked({"    inputs: vision\n": "    inputs: {features: vision.features}\n"}), "projector") == {
        "features": "vision.features"
    }


def test_ports_come_in_the_order_of_the_component() -> None:
    graph = linked({FUSED: "    inputs: {ids: input_ids, image: projector, text: text}\n"})
    assert list(graph.nodes["fused"].inputs) == ["text", "image", "ids"]


REFERENCES = [
    ({"    inputs: vision\n": "    inputs: visoin\n"}, "unknown-node", "visoin", "did you mean `vision`?"),
    ({"    inputs: vision\n": "    inputs: x\n"}, "unknown-node", "x", "the names are `vision`"),
    ({"llm.logits": "llm.logit"}, "unknown-port", "llm.logit", "did you mean `logits`?"),
    ({"llm.logits": "llm.scores"}, "unknown-port", "llm.scores", "the outputs are `logits` and `hidden`"),
    (
        {"    inputs: pixel_values\n": "    inputs: pixel_values.x\n"},
        "unknown-port",
        "pixel_values.x",
        "`pixel_values`",
    ),
    ({"image: projector,": "images: projector,"}, "unknown-port", "images", "did you mean `image`?"),
    (
        {"image: projector, ": ""},
        "missing-port",
        "{text: text, ids: input_ids}",
        "{text: text, image: ..., ids: input_ids}",
    ),
    ({FUSED: "    inputs: text\n"}, "missing-port", "text", "write `inputs: {text: text, image: ..., ids: ...}`"),
    ({"    inputs: vision\n": "    inputs: pixel_values\n"}, "port-type-mismatch", "pixel_values", "feed it `vision`"),
    (
        {"    inputs: fused\n": "    inputs: input_ids\n"},
        "port-type-mismatch",
        "input_ids",
        "feed it `text` or `fused`",
    ),
    (
        {"    inputs: vision\n": "    inputs: llm\n"},
        "port-type-mismatch",
        "llm",
        "feed it the hidden states, `llm.hidden`",
    ),
    (
        {"    inputs: pixel_values\n": "    inputs: input_ids\n"},
        "port-type-mismatch",
        "input_ids",
        "feed it `pixel_values`",
    ),
    ({"ids: input_ids}": "ids: text}"}, "port-type-mismatch", "text", "feed it `input_ids`"),
    ({"logits: llm.logits": "logits: llm.logits\n  seen: pixel_values"}, "input-as-output", "pixel_values", "`vision`"),
]


@pytest.mark.parametrize("case", REFERENCES, ids=[f"{case[1]} {index}" for index, case in enumerate(REFERENCES)])
def test_a_wrong_reference_is_one_diagnostic(case: tuple[Mapping[str, str], str, str, str]) -> None:
    edits, rule, place, edit = case
    (problem,) = problems(edited(edits))
    assert problem.rule == rule
    assert under(problem.span) == place
    assert edit in problem.help


def test_a_mask_that_is_named_and_not_there() -> None:
    (problem,) = problems(edited({"    inputs: fused\n": "    inputs: {features: fused, mask: attention_mask}\n"}))
    assert problem.rule == "unknown-node"
    assert "leave `mask` out" in problem.help


def test_the_input_that_a_wrong_edge_comes_from_is_shown() -> None:
    (problem,) = problems(edited({"    inputs: vision\n": "    inputs: pixel_values\n"}))
    assert problem.message == "`projector.features` takes features, and `pixel_values` gives images"
    assert [under(label) for label in problem.labels] == ["pixel_values"]


# Order


def test_the_order_is_the_authors_where_it_can_be() -> None:
    """Nodes written in any order come out so that each stands after what it reads, otherwise as written."""
    assert list(linked({}).nodes) == ["vision", "projector", "text", "fused", "llm"]
    moved = linked({TEXT: "", "  vision:\n": f"{TEXT}  vision:\n"})
    assert list(moved.nodes) == ["text", "vision", "projector", "fused", "llm"]
    last = linked({TEXT: "", "\noutputs:\n": f"\n{TEXT}outputs:\n"})
    assert list(last.nodes) == ["vision", "projector", "text", "fused", "llm"]


def test_a_circle_is_named() -> None:
    (problem,) = problems(edited({"    inputs: vision\n": "    inputs: fused\n"}))
    assert problem.message == "nodes feed each other in a circle: projector -> fused -> projector"
    assert under(problem.span) == "fused"
    assert [(under(label), label.text) for label in problem.labels] == [("projector", "`projector` feeds `fused`")]


def test_a_node_that_feeds_itself() -> None:
    (problem,) = problems(edited({"    inputs: vision\n": "    inputs: projector\n"}))
    assert problem.message.endswith("projector -> projector")


def test_every_circle_is_found() -> None:
    lone = "  a: {kind: projector, type: linear, inputs: b}\n  b: {kind: projector, type: linear, inputs: a}\n"
    found = problems(edited({"    inputs: vision\n": "    inputs: fused\n", TEXT: TEXT + lone}))
    assert [each.message.rpartition(": ")[2] for each in found] == ["projector -> fused -> projector", "a -> b -> a"]


# Masks


def test_a_mask_is_added_for_the_tokens() -> None:
    graph = linked({})
    assert graph.inputs["attention_mask"].inferred
    assert sources(graph, "llm") == {"features": "fused.features", "mask": "attention_mask"}
    assert "mask" not in sources(graph, "fused")


def test_a_mask_among_the_inputs_is_taken() -> None:
    graph = linked({IDS: f"{IDS}  seen: mask\n"})
    assert sources(graph, "llm")["mask"] == "seen"
    assert [name for name, found in graph.inputs.items() if found.inferred] == []


def test_a_mask_that_is_connected_stays() -> None:
    edits = {IDS: f"{IDS}  a: mask\n  b: mask\n", "    inputs: fused\n": "    inputs: {features: fused, mask: b}\n"}
    found = problems(edited(edits))
    assert [(each.rule, under(each.span)) for each in found] == [("unused-input", "a")]


def test_a_prefix_lengthens_the_mask() -> None:
    """The decoder reads the mask that the fusion makes of that of the text."""
    graph = linked(PREFIX)
    assert sources(graph, "fused")["mask"] == "attention_mask"
    assert sources(graph, "llm")["mask"] == "fused.mask"


def test_what_a_decoder_cuts_to_the_text_has_the_mask_of_the_text() -> None:
    second = "  second: {use: decoder/llama_2_7b, vocab: 101, dim: 40, attention: {heads: 4}, inputs: llm.hidden}\n"
    edits = {**PREFIX, "\noutputs:\n": f"\n{second}outputs:\n", "logits: llm.logits": "logits: second"}
    assert sources(linked(edits), "second")["mask"] == "attention_mask"


def test_each_input_of_tokens_has_its_mask() -> None:
    other = "  other: {kind: encoder, type: token_embedding, inputs: other_ids}\n"
    reads = "  second: {use: decoder/llama_2_7b, layers: 1, inputs: other}\n"
    edits = {
        IDS: f"{IDS}  other_ids: tokens\n",
        "\noutputs:\n": f"\n{other}{reads}outputs:\n",
        "logits: llm.logits": "logits: llm.logits\n  others: second",
    }
    graph = linked(edits)
    assert (sources(graph, "llm")["mask"], sources(graph, "second")["mask"]) == ("attention_mask", "other_ids_mask")
    paired = linked({**edits, IDS: f"{IDS}  other_ids: tokens\n  mine: mask\n  theirs: mask\n"})
    assert (sources(paired, "llm")["mask"], sources(paired, "second")["mask"]) == ("mine", "theirs")


def test_a_decoder_of_images_has_no_mask() -> None:
    edits = {
        "    inputs: fused\n": "    inputs: projector\n",
        "logits: llm.logits": "logits: llm.logits\n  fused: fused",
        TEXT: f"{TEXT}    vocab: 101\n",
    }
    graph = graphvlm.load(edited(edits))
    assert sources(graph, "llm") == {"features": "projector.features"}
    assert list(graph.inputs) == ["pixel_values", "input_ids"]


def test_the_name_of_an_added_mask_is_free() -> None:
    renamed = {"  projector:\n": "  attention_mask:\n", "image: projector,": "image: attention_mask,"}
    graph = linked({**renamed, "checkpoint: {use: checkpoint/llava}": ""})
    assert sources(graph, "llm")["mask"] == "input_ids_mask"
