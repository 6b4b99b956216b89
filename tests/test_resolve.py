"""Sizes are written once and found everywhere, in both directions; the resolved graph builds the same package again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise

import pytest

import graphvlm
from graphvlm.blocks.parameters import segment_modules, sublayer_modules
from graphvlm.blocks.parse_sublayers import ports_of
from graphvlm.blocks.segments import segment_names
from graphvlm.component import component
from graphvlm.diagnostics import Source
from graphvlm.dims import show_shape
from graphvlm.emit import emit
from graphvlm.ir import Graph
from graphvlm.report import render
from graphvlm.settings import Settings

from .diagnosing import GRAPHS, edited, problems, under

HEADS = "attention: {heads: 6, kv_heads: 2, head_dim: 20, bias: false}"
TEXT = "    type: token_embedding\n"
PROJECTOR = "    activation: gelu\n"
SCATTER = "    placeholder: {image: 99}\n"
FUSED = f"    inputs: {{text: text, image: projector, ids: input_ids}}\n{SCATTER}"
PREFIX = {"type: scatter": "type: prefix", FUSED: "    inputs: {text: text, image: projector}\n"}
PIXELS = "  pixel_values: image\n"
SHIPPED = sorted(path.stem for path in GRAPHS.glob("*.yaml"))


def load(edits: Mapping[str, str]) -> Graph:
    return graphvlm.load(edited(edits))


def settings(graph: Graph, node: str) -> dict[str, object]:
    return graph.nodes[node].spec.resolved()


def shape(graph: Graph, node: str, port: str = "features") -> str:
    """The shape of what a node gives, or else reads."""
    signature = graph.nodes[node].signature
    found = signature.outputs.get(port) or signature.inputs[port]
    return show_shape(found.shape)


# Widths and vocabularies


def test_widths_go_back_from_the_decoder() -> None:
    graph = load({})
    assert settings(graph, "projector") == {"in": 24, "hidden": 40, "out": 40}
    assert settings(graph, "text") == {"vocab": 101, "dim": 40}
    assert settings(graph, "fused")["dim"] == 40


@pytest.mark.parametrize(
    "edits",
    [
        {TEXT: f"{TEXT}    dim: 40\n"},
        {PROJECTOR: f"{PROJECTOR}    out: 40\n"},
        {SCATTER: f"{SCATTER}    dim: 40\n"},
    ],
    ids=["embedding", "projector", "fusion"],
)
def test_widths_go_on_to_the_decoder(edits: Mapping[str, str]) -> None:
    graph = load({"    dim: 40\n": "", **edits})
    assert settings(graph, "llm")["dim"] == 40
    assert settings(graph, "text")["dim"] == 40
    assert settings(graph, "projector")["out"] == 40


def test_the_width_of_the_tower_may_come_from_the_projector() -> None:
    graph = load({"    dim: 24\n": "", PROJECTOR: f"{PROJECTOR}    in: 24\n"})
    assert settings(graph, "vision")["dim"] == 24


def test_the_vocabulary_goes_both_ways() -> None:
    assert settings(load({"    vocab: 101\n": "", TEXT: f"{TEXT}    vocab: 101\n"}), "llm")["vocab"] == 101
    widened = "  widened: {kind: projector, type: linear, inputs: text}\n  fused:\n"
    through = load({"  fused:\n": widened, "text: text,": "text: widened,", TEXT: f"{TEXT}    dim: 8\n"})
    assert settings(through, "text") == {"vocab": 101, "dim": 8}
    assert settings(through, "widened") == {"in": 8, "out": 40}


CHAIN = {"  text:\n": "  second: {kind: projector, type: linear, inputs: projector}\n  text:\n"}


@pytest.mark.parametrize("where", ["projector", "second"])
def test_a_chain_of_projectors_needs_one_width_in_between(where: str) -> None:
    chain = {**CHAIN, "image: projector,": "image: second,"}
    (problem,) = problems(edited(chain))
    assert problem.rule == "cannot-infer"
    assert under(problem.span) == "second"
    assert [(under(label), label.text) for label in problem.labels] == [("projector", "its `out` is the same")]
    assert problem.help == "write `in` here, or `out` of `projector`"
    if where == "projector":
        graph = load({**chain, PROJECTOR: f"{PROJECTOR}    out: 32\n"})
    else:
        graph = load({key: text.replace("linear,", "linear, in: 32,") for key, text in chain.items()})
    assert settings(graph, "projector")["out"] == settings(graph, "second")["in"] == 32


def test_one_open_size_is_one_problem() -> None:
    found = problems(edited({"    dim: 40\n": ""}))
    assert [(each.rule, under(each.span)) for each in found] == [("cannot-infer", "llm")]
    assert [under(label) for label in found[0].labels] == ["projector", "text", "fused"]


def test_features_from_outside_give_their_width() -> None:
    wide = {PIXELS: "  pixel_values: {type: features, dim: 30}\n", "    inputs: vision\n": "    inputs: pixel_values\n"}
    text = edited({}).text
    tower = text[text.index("  vision:\n") : text.index("  projector:\n")]
    graph = load({**wide, tower: "", "checkpoint: {use: checkpoint/llava}": "checkpoint: {prefixes: {llm: x.}}"})
    assert settings(graph, "projector")["in"] == 30
    assert shape(graph, "projector") == "[images, tokens, 40]"


# Numbers of tokens


@pytest.mark.parametrize(
    ("edits", "tokens"),
    [
        ({}, 16),
        ({"drop_cls: true": "drop_cls: false"}, 17),
        ({"image: {size: 56,": "image: {size: [28, 56],"}, 8),
        ({"image: {size: 56,": "image: {size: 60,", "patch: {size: 14,": "patch: {size: 14, remainder: crop,"}, 16),
    ],
    ids=["patches", "class token", "oblong", "cropped"],
)
def test_tokens_follow_from_the_image(edits: Mapping[str, str], tokens: int) -> None:
    graph = load(edits)
    assert shape(graph, "vision") == f"[images, {tokens}, 24]"
    assert shape(graph, "projector") == f"[images, {tokens}, 40]"
    assert settings(graph, "fused")["tokens"] == {"image": tokens}


def test_a_scatter_is_as_long_as_its_text() -> None:
    graph = load({})
    assert shape(graph, "fused") == "[batch, seq, 40]"
    assert shape(graph, "llm", "logits") == "[batch, seq, 101]"


def test_a_prefix_adds_up() -> None:
    """The decoder works on images and text; its outputs are those of the text, or of all."""
    graph = load(PREFIX)
    assert shape(graph, "fused") == "[batch, 16 + seq, 40]"
    assert shape(graph, "fused", "mask") == "[batch, 16 + seq]"
    assert shape(graph, "llm", "logits") == "[batch, seq, 101]"
    whole = load({**PREFIX, FUSED: "    inputs: {text: text, image: projector}\n    logits: all\n"})
    assert shape(whole, "llm", "logits") == "[batch, 16 + seq, 101]"


def test_prefixes_of_prefixes_add_up() -> None:
    second = "  second: {kind: fusion, type: prefix, inputs: {text: fused, image: projector}}\n  llm:\n"
    graph = load({**PREFIX, "  llm:\n": second, "    inputs: fused\n": "    inputs: second\n"})
    assert shape(graph, "second") == "[batch, 32 + seq, 40]"
    assert shape(graph, "llm", "logits") == "[batch, seq, 101]"


def test_what_the_caller_passes_is_checked() -> None:
    sizes = "  pixel_values: {type: image, size: [56, 56], channels: 3}\n"
    assert show_shape(load({PIXELS: sizes}).inputs["pixel_values"].port.shape) == "[images, 3, 56, 56]"
    (problem,) = problems(edited({PIXELS: sizes.replace("[56, 56]", "[56, 70]")}))
    assert problem.message == "`vision.image` takes images 56 pixels wide, `pixel_values` gives 70"


def test_two_readers_of_one_input_agree() -> None:
    text = edited({}).text
    tower = text[text.index("  vision:\n") : text.index("  projector:\n")]
    smaller = tower.replace("vision:", "other:").replace("size: 56", "size: 28")
    (problem,) = problems(
        edited({"  projector:\n": f"{smaller}  projector:\n", "logits: llm.logits": "logits: llm.logits\n  o: other"})
    )
    assert problem.message == (
        "`other.image` takes images 28 pixels high, and `vision`, which reads `pixel_values` too, 56"
    )
    assert problem.note == "[images, 3, 56, 56], needs [images, 3, 28, 28]"


# What is said


def test_the_example_of_the_design() -> None:
    """The message as the design document promises it, and the other end of the conflict in the catalog."""
    (problem,) = problems(edited({"    inputs: vision\n": "    inputs: vision\n    out: 1024\n"}, "llava_1_5_7b"))
    assert (
        render([problem])
        == """\
error[shape-mismatch]: `fused.image` takes features 4096 wide, `projector` gives 1024
  --> llava_1_5_7b.yaml:30:33
   |
22 |     out: 1024
   |          ---- written here
...
30 |     inputs: {text: text, image: projector, ids: input_ids}
   |                                 ^^^^^^^^^ [images, 576, 1024], needs [images, tokens, 4096]
   |
  ::: <catalog>/decoder/vicuna_7b.yaml:7:6
   |
 7 | dim: 4096
   |      ---- written here
   |
help: remove `out` and let it be inferred, or set it to 4096
see: graphvlm explain shape-mismatch

1 error
"""
    )


def test_a_width_that_needs_a_projector() -> None:
    found = problems(edited({"image: projector,": "image: vision,"}))
    assert [each.rule for each in found] == ["dead-node", "shape-mismatch"]
    assert found[1].message == "`fused.image` takes features 40 wide, `vision` gives 24"
    assert found[1].help == "put a projector between the two: `kind: projector, type: linear`"


def test_absurdly_many_open_lengths_are_refused() -> None:
    names = [f"f{index}" for index in range(120)]
    inputs = {name: {"type": "features", "dim": 8} for name in names}
    nodes: dict[str, object] = {
        f"after_{name}": {"kind": "fusion", "type": "prefix", "inputs": {"text": f"after_{before}", "image": name}}
        for before, name in pairwise(names)
    }
    first = {"kind": "encoder", "type": "token_embedding", "vocab": 9, "inputs": "input_ids"}
    graph = {
        "version": 1,
        "name": "long",
        "inputs": {"input_ids": "tokens", **inputs},
        "nodes": {"after_f0": first, **nodes},
        "outputs": {"x": f"after_{names[-1]}", "y": "after_f0"},
    }
    found = problems(Source("long.yaml", json.dumps(graph)))
    assert [each.rule for each in found] == ["unused-input", "cannot-infer"]
    assert "more than 100 open sizes" in found[1].message


# The resolved graph


@pytest.mark.parametrize("name", SHIPPED)
def test_a_resolved_graph_resolves_to_itself(name: str) -> None:
    graph = graphvlm.load(GRAPHS / f"{name}.yaml")
    text = emit(graph)
    again = graphvlm.load(Source("graph.yaml", text))
    assert emit(again) == text
    assert list(again.nodes) == list(graph.nodes)
    assert [node.spec for node in again.nodes.values()] == [node.spec for node in graph.nodes.values()]
    assert [node.inputs for node in again.nodes.values()] == [node.inputs for node in graph.nodes.values()]


@pytest.mark.parametrize("edits", [{}, PREFIX, {HEADS: "attention: {heads: 4}"}], ids=["scatter", "prefix", "heads"])
def test_the_package_of_a_resolved_graph_is_the_same(edits: Mapping[str, str]) -> None:
    graph = load(edits)
    files = graphvlm.render(graph)
    assert graphvlm.render(graphvlm.load(Source("graph.yaml", emit(graph)))) == files


def test_everything_that_was_inferred_is_written_out() -> None:
    text = emit(load({}))
    for line in (
        "in: 24",
        "out: 40",
        "vocab: 101",
        "tokens: {image: 16}",
        "attention_mask: mask",
        "mask: attention_mask",
    ):
        assert line in text, line


@pytest.mark.parametrize("name", SHIPPED)
def test_components_know_all_their_modules(name: str) -> None:
    """Key names can be given for every parameter there is."""
    text = {f"{stem}_{number}": f"{stem}_*" for stem in ("linear", "conv", "norm", "gate") for number in range(1, 9)}
    for node in graphvlm.load(GRAPHS / f"{name}.yaml").nodes.values():
        sublayers = {sublayer for sublayer, _ in ports_of(Settings(node.tree))}
        modules = component(node.kind, node.type).modules | sublayer_modules(sublayers)
        segments = segment_names(Settings(node.tree))
        modules |= segment_modules(modules, segments) | frozenset(segments)
        for piece in (piece for parameter in node.parameters for piece in parameter.pieces):
            path = ".".join("*" if part.isdigit() else part for part in piece.path.split("."))
            stem = path.rpartition(".")[0]
            assert {path, stem, text.get(stem, stem), text.get(path, path)} & modules, path
