"""Other calls of a node: the same weights with other inputs, in every stage of the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import graphvlm
from graphvlm.drawing.from_graph import picture
from graphvlm.emit import emit
from graphvlm.ir import Graph
from graphvlm.keys import entries, parts
from graphvlm.passes import apply_all
from graphvlm.stages import split

from .diagnosing import edited, problems, under
from .running import TINY, VARIANTS, inputs, packaged, randomise, variant

INPUTS = "  input_ids: tokens\n"
NODES = "nodes:\n"
OUTPUTS = "outputs:\n"
CALL = "  other: {module: vision, inputs: other_pixels}\n"


def twice(call: str = CALL, more: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Edits that call the tower of the tiny graph again."""
    given = {INPUTS: f"{INPUTS}  other_pixels: image\n", NODES: f"{NODES}{call}"}
    return given | {OUTPUTS: f"{OUTPUTS}  other: other\n", **(more or {})}


def calls(*changes: str) -> Graph:
    return graphvlm.load(TINY, overrides=[*VARIANTS["calls"], *changes])


# What it computes

PAIR = """
version: 1
name: pair
inputs: {image_a: image, image_b: image}
nodes:
  vision:
    kind: encoder
    type: vit
    inputs: image_a
    image: {size: 28, channels: 3}
    patch: {size: 14}
    position: learned
    dim: 12
    layers: 2
    norm: {type: layer, eps: 1.0e-5}
    attention: {heads: 3, bias: true}
    mlp: {hidden: 20, activation: gelu, bias: true}
  vision_b: {module: vision, inputs: image_b}
  both: {kind: fusion, type: concat, inputs: {first: vision, second: vision_b}}
  head: {kind: projector, type: linear, inputs: both, out: 2}
outputs: {answer: head}
"""


def test_two_images_through_one_tower(tmp_path: Path) -> None:
    """As a person would write it: the tower called twice, each pair of maps side by side, a linear layer."""
    (tmp_path / "pair.yaml").write_text(PAIR, "utf-8")
    model = packaged(graphvlm.load(tmp_path / "pair.yaml")).Model().eval()
    randomise(model)
    a, b = torch.randn(2, 5, 3, 28, 28).unbind()
    expected = model.head(torch.cat((model.vision(a), model.vision(b)), dim=-1))
    torch.testing.assert_close(model(a, b).answer, expected)
    assert not torch.allclose(model(b, a).answer, expected)
    model(a, b).answer.sum().backward()
    assert all(parameter.grad is not None for parameter in model.vision.parameters())


def test_each_port_gets_what_its_own_call_gives() -> None:
    """Images and a video through one tower and one projector, each at its placeholders."""
    graph = variant("calls")
    model = packaged(graph).Model().eval()
    randomise(model)
    given = inputs(graph)
    seen, filmed = given["pixel_values"], given["other_pixels"]
    torch.testing.assert_close(model.encode_image(seen), model.projector(model.vision(seen)))
    features = model.encode_video(filmed)
    torch.testing.assert_close(features.other_projector, model.projector(model.vision(filmed)))
    whole = model(**given).logits
    ahead = model(input_ids=given["input_ids"], image_features=model.encode_image(seen), video_features=features).logits
    torch.testing.assert_close(whole, ahead)
    text = model(input_ids=torch.tensor([[5, 6, 7]]))
    assert text.seen is None
    assert text.logits.shape == (1, 3, 101)


def test_weights_stand_once(tmp_path: Path) -> None:
    graph, alone = variant("calls"), graphvlm.load(TINY)
    assert graph.parameter_count == alone.parameter_count
    assert [entry.path for entry in entries(graph)] == [entry.path for entry in entries(alone)]
    assert [part.name for part in parts(graph)] == [part.name for part in parts(alone)]
    model = packaged(graph).Model()
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == _saved(alone, tmp_path / "alone")
    again = packaged(graph).from_pretrained(tmp_path)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), parameter, rtol=0, atol=0)


def _saved(graph: Graph, folder: Path) -> Any:
    packaged(graph).Model().save_pretrained(folder)
    return load_file(folder / "model.safetensors").keys()


def test_tokens_embedded_twice_tie_the_head_to_one_table() -> None:
    """A decoder behind a call of the embedding; its name in checkpoints goes to the node that owns the table."""
    graph = graphvlm.load(
        TINY,
        overrides=[
            "inputs.other_ids=tokens",
            "nodes.words={kind: encoder, type: token_embedding, inputs: other_ids}",
            "nodes.text={module: words, kind: null, type: null}",
            "nodes.llm.head={tied: true}",
            "outputs.words=words",
        ],
    )
    named = {entry.path: entry.keys[0].name for entry in entries(graph)}
    assert named["words.weight"] == "language_model.model.embed_tokens.weight"
    assert ("llm", ("words", "llm")) in [(part.name, part.nodes) for part in parts(graph)]
    model = packaged(graph).Model()
    randomise(model)
    given = inputs(graph)
    output = model(**given)
    assert output.logits.shape == (2, given["input_ids"].size(1), 101)
    torch.testing.assert_close(output.words, model.words(given["other_ids"]))


def test_a_decoder_called_again() -> None:
    """A text beside the prompt, through the same decoder: its hidden states alone are those of a prompt."""
    graph = graphvlm.load(
        TINY,
        overrides=[
            "inputs={other_ids: tokens, attention_mask: mask, other_mask: mask}",
            "nodes.words={module: text, inputs: other_ids}",
            "nodes.reader={module: llm, inputs: {features: words, mask: other_mask}}",
            "nodes.llm.inputs={features: fused, mask: attention_mask}",
            "outputs.read=reader.hidden",
        ],
    )
    model = packaged(graph).Model().eval()
    randomise(model)
    ids = torch.randint(3, 90, (2, 7))
    given = model(input_ids=ids, other_ids=ids.flip(1))
    torch.testing.assert_close(given.logits, model.llm.head(model(input_ids=ids.flip(1), other_ids=ids).read))


# What becomes of it


def test_a_call_has_the_widths_of_the_owner_and_lengths_of_its_own() -> None:
    graph = graphvlm.load(
        edited(
            {
                "inputs: vision\n": "inputs: vision\n  other: {module: projector, inputs: features}\n",
                INPUTS: f"{INPUTS}  features: {{type: features, tokens: 3}}\n",
                OUTPUTS: f"{OUTPUTS}  other: other\n",
            }
        )
    )
    assert graph.port(graph.outputs["other"]).shape[1:] == (3, 40)
    assert graph.inputs["features"].port.shape[1:] == (3, 24)
    assert graph.nodes["other"].spec == graph.nodes["projector"].spec


def test_stages() -> None:
    """What the text reads at a port called `video` is one, and a call belongs to the stage of its own input."""
    stages = split(variant("calls"))
    assert [(stage.name, stage.inputs, stage.nodes) for stage in stages.encoders] == [
        ("image", ("pixel_values",), ("vision", "projector")),
        ("video", ("other_pixels",), ("other_vision", "other_projector")),
    ]
    alone = graphvlm.load(TINY, overrides=["nodes.fused={inputs: {image: null, video: projector}}", *_VIDEO])
    assert [stage.name for stage in split(alone).encoders] == ["video"]


_VIDEO = ("nodes.fused.placeholder={image: null, video: 98}",)


def test_a_layer_that_one_call_reads_stays() -> None:
    read = ("nodes.vision.output={taps: [2]}", "nodes.other_projector.inputs=other_vision.layer_2")
    for changes, layers in (((), 2), (read, 2), (("nodes.vision.output.layer=1",), 1)):
        graph = apply_all(calls(*changes))
        assert [dead.node for dead in graph.dead] == ["vision"], changes
        assert graph.nodes["other_vision"].spec == graph.nodes["vision"].spec
        stack = graph.nodes["vision"].spec.stack
        assert stack is not None
        assert len(stack.order) == layers


def test_the_resolved_graph_is_written_as_a_call(tmp_path: Path) -> None:
    graph = variant("calls")
    text = emit(graph)
    assert text.count("module: vision") == 1
    (tmp_path / "again.yaml").write_text(text, "utf-8")
    again = graphvlm.load(tmp_path / "again.yaml")
    assert graphvlm.render(again) == graphvlm.render(graph)


def test_the_drawing_and_the_pages_say_whose_weights_they_are() -> None:
    graph = calls("freeze=[vision]")
    box = next(box for box in picture(graph).boxes if box.id == "other_vision")
    assert (box.parameters, box.frozen, box.marks) == (0, True, ("weights of vision",))
    pages = graphvlm.render(graph)
    assert "other_vision.py" not in pages
    assert pages["model.py"].count("self.vision(") == 2
    row = next(line for line in pages["README.md"].splitlines() if line.startswith("| `other_vision`"))
    assert row.endswith("| [images, 3, 56, 56] | [images, 16, 24] | as `vision` |")


def test_degrees_are_those_of_the_owner() -> None:
    graph = calls("parallelism={mesh: {tp: 2}, nodes: {vision: {tp: 1}, projector: {fsdp: none}}}")
    assert {name: (node.tensor_parallel, node.fsdp) for name, node in graph.nodes.items() if node.owner} == {
        "other_vision": (1, True),
        "other_projector": (2, False),
    }
    assert "model.other" not in graphvlm.render(graph)["parallel.py"]


def test_freezing_by_a_pattern_that_fits_a_call_too() -> None:
    assert graphvlm.render(calls('freeze=["*vision"]'))["model.py"].count("requires_grad_") == 1


# What is wrong with it

MISTAKES = {
    "unknown-node": (twice("  other: {module: visoin, inputs: other_pixels}\n"), "visoin", "`vision`"),
    "itself": (twice("  other: {module: other, inputs: other_pixels}\n"), "other", "with `kind` and `type`"),
    "a call": (
        twice(f"{CALL}  third: {{module: other, inputs: other_pixels}}\n"),
        "other",
        "write `module: vision`",
    ),
    "a circle": (
        twice("  other: {module: third, inputs: other_pixels}\n  third: {module: other, inputs: other_pixels}\n"),
        "third",
        "with `kind` and `type`",
    ),
    "kind": (twice("  other: {module: vision, kind: encoder, inputs: other_pixels}\n"), "kind", "remove `kind`"),
    "setting": (twice("  other: {module: vision, norm: rms, inputs: other_pixels}\n"), "norm", "in `vision`"),
    "checkpoint": (
        twice("  other: {module: vision, checkpoint: {names: {}}, inputs: other_pixels}\n"),
        "checkpoint",
        "in `vision`",
    ),
    "unknown key": (twice("  other: {module: vision, colour: 3, inputs: other_pixels}\n"), "colour", "`inputs`"),
    "no inputs": (twice("  other: {module: vision}\n"), "other", "inputs"),
    "not a name": (twice("  other: {module: 3, inputs: other_pixels}\n"), "3", ""),
    "unknown port": (twice("  other: {module: vision, inputs: {images: other_pixels}}\n"), "images", "`image`"),
    "wrong type": (twice("  other: {module: vision, inputs: input_ids}\n"), "input_ids", ""),
    "degrees": (
        twice(more={OUTPUTS: "parallelism: {nodes: {other: {tp: 1}}}\noutputs:\n  other: other\n"}),
        "other",
        "write it for `vision`",
    ),
    "prefix": (
        twice(more={"checkpoint: {use: checkpoint/llava}": "checkpoint: {prefixes: {other: a}}"}),
        "other",
        "remove it",
    ),
    "frozen": (twice(more={OUTPUTS: "freeze: [other]\noutputs:\n  other: other\n"}), "other", "write `vision`"),
    "dead owner": (
        twice(more={"    inputs: vision\n": "    inputs: other\n", OUTPUTS: OUTPUTS}),
        "vision",
        "move its settings to `other`",
    ),
    "cycle": (
        {"    inputs: vision\n": "    inputs: again\n  again: {module: projector, inputs: projector}\n"},
        "again",
        "from somewhere else",
    ),
}
RULES = {
    "unknown-node": "unknown-node",
    **dict.fromkeys(("itself", "a call", "a circle"), "call-of-call"),
    **dict.fromkeys(("kind", "setting", "checkpoint", "degrees", "prefix"), "structure-in-call"),
    "unknown key": "unknown-key",
    "no inputs": "missing-key",
    "not a name": "wrong-type",
    "unknown port": "unknown-port",
    "wrong type": "port-type-mismatch",
    "frozen": "freeze-matches-nothing",
    "dead owner": "dead-node",
    "cycle": "cycle",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    edits, place, edit = MISTAKES[name]
    first = problems(edited(edits))[0]
    assert first.rule == RULES[name]
    assert under(first.span) == place
    assert edit in first.help


def test_what_is_wrong_with_the_owner_is_said_once() -> None:
    found = problems(edited(twice(more={"heads: 3": "heads: 5"})))
    assert [problem.rule for problem in found] == ["heads-not-divisible"]


def test_a_width_of_the_owner_is_named_as_its_own() -> None:
    """A clash at the edge of a call points to the node where the size is written."""
    (found,) = problems(
        edited(
            {
                "    inputs: vision\n": "    inputs: vision\n  other: {module: projector, inputs: features}\n",
                INPUTS: f"{INPUTS}  features: {{type: features, dim: 25}}\n",
                OUTPUTS: f"{OUTPUTS}  other: other\n",
            }
        )
    )
    assert found.rule == "shape-mismatch"
    assert "`other.features` takes features 24 wide" in found.message
    assert found.help == "remove `dim` and let it be inferred, or set it to 24"
