"""Training graphs on two processes equal one with the joined batch, where the mathematics says so.

In float64, for sums in other orders cancel; FSDP adds up gradients in float32.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import graphvlm

from .on_ranks import state, step
from .packages import python
from .running import inputs, randomise
from .test_training_graphs import MATCHING

# Likeness alone: to the vectors of all ranks, or to those that a queue kept.
ALONE = (
    "inputs={masked_ids: null, masked_labels: null, topic: null, image_ids: null}",
    "nodes={pairs: null, fused: null, matched: null, match_loss: null, marked_ids: null, masked_words: null}",
    "nodes={whole: null, words_taught: null, whole_teacher: null, mask_loss: null, topics: null, topic_loss: null}",
    "nodes={total: null, text: {layers: {count: 1, run: null, where: null}, sublayers: null, head: null}}",
    "nodes.text_teacher.layers=null",
    "outputs={match: null, loss: contrast, contrast: null}",
)
SHARED = (
    "nodes={vision_teacher: null, words_teacher: null, text_teacher: null, likeness_teacher: null, queue: null}",
    "nodes={image_vector_teacher: null, text_vector_teacher: null}",
    "nodes.likeness={gather: true, temperature: 0.2, inputs: {image_keys: null, text_keys: null}}",
    "nodes.contrast={distill: null, inputs: {image_to_text_teacher: null, text_to_image_teacher: null}}",
    "nodes.contrast.inputs={ids: null, key_ids: null}",
)
# What is asked of a queue: the keys that it keeps. Each rank tells its samples from other ones, so losses differ.
KEPT = (
    "nodes={likeness_teacher: null, contrast: null}",
    "nodes.queue.inputs.ids=null",
    "nodes.likeness.temperature=0.2",
    "nodes.plain={kind: loss, type: contrastive, inputs: {image_to_text: likeness.image_to_text}}",
    "nodes.plain.inputs.text_to_image=likeness.text_to_image",
    "outputs.loss=plain",
)
# Others are drawn from all ranks, here the likeliest: pairs of the same id are none.
WHOLE = (
    "inputs={masked_ids: null, masked_labels: null, topic: null}",
    "nodes={marked_ids: null, masked_words: null, whole: null, words_taught: null, whole_teacher: null}",
    "nodes={mask_loss: null, topics: null, topic_loss: null, text: {head: null}}",
    "nodes.total={weights: null, inputs: {mask: null, topic: null}}",
    "nodes.pairs={gather: true, inputs: {ids: image_ids}}",
    "nodes.contrast={gather: true, inputs: {ids: image_ids}}",
)
# A stack with weights of another, and one whose layers have some together.
_AGAIN = "kind: encoder, type: transformer, inputs: {features: words, image: vision, mask: attention_mask}, vocab: 101"
_AGAIN += ", dim: 48, max_tokens: 64, norm: {type: layer, eps: 1.0e-12, place: post}, position: {type: learned}"
_AGAIN += ", input_norm: true, final_norm: false, attention: {heads: 4, bias: true}, mlp: {hidden: 72, activation: gelu"
_AGAIN += ", bias: true}, sublayers: {cross: {op: attention, heads: 4, bias: true, kv: image}}"
_AGAIN += ", layers: {count: 3, where: [{name: fusion, range: [1, 3], each: [attn, cross, mlp]}]}"
TIED = (
    f"nodes.again={{tie: {{to: text, except: [attn]}}, {_AGAIN}}}",
    "nodes.again_topics={kind: head, type: classifier, classes: 7, inputs: again}",
    "nodes.again_loss={kind: loss, type: classification, inputs: {scores: again_topics, classes: topic}}",
    "nodes.total.inputs.again=again_loss",
    "nodes.vision.layers={count: 2, share: {mlp: 2}}",
    "parallelism.mesh={dp: 2}",
)
GRAPHS = {
    "shared_keys": (*ALONE, *SHARED),
    "kept_keys": (*ALONE, *KEPT),
    "shared_others": (*SHARED, *WHOLE),
    "laid_out_parts": TIED,
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """How far two processes are off in each case, for everything that a step gives and changes."""
    folder = tmp_path_factory.mktemp("ranks")
    sys.path.insert(0, str(folder))
    for name, changes in GRAPHS.items():
        graph = graphvlm.load(MATCHING, overrides=[*changes, f"name={name}"])
        graphvlm.build(MATCHING, folder, overrides=[*changes, f"name={name}"])
        package = import_module(name)
        model = package.Model().train()
        randomise(model)
        model.save_pretrained(folder / name)
        model.double()
        given = inputs(graph)
        if name != "laid_out_parts":
            given = {key: torch.cat((value, value.flip(-1))) for key, value in given.items()}
        given = {k: v.double() if v.is_floating_point() else v for k, v in given.items()}
        if name == "kept_keys":
            model.begin_step()
        elif name == "laid_out_parts":
            model.begin_step(700)
        torch.save((state(model, step(model, given)), given), folder / f"{name}.pt")
    sys.path.remove(str(folder))
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    python(*launch, "-m", "tests.on_ranks", str(folder), environment={"OMP_NUM_THREADS": "1"})
    off: dict[str, dict[str, float]] = json.loads((Path(folder) / "found.json").read_text())
    return off


def test_keys_of_all_ranks(found: dict[str, dict[str, float]]) -> None:
    """Loss and every gradient."""
    assert {key: off for key, off in found["shared_keys"].items() if off > 1e-7} == {}


def test_others_of_all_ranks(found: dict[str, dict[str, float]]) -> None:
    """Drawn by likeness and not by ids; gradients go back to the ranks that they are from."""
    assert {key: off for key, off in found["shared_others"].items() if off > 1e-7} == {}


def test_a_queue_keeps_what_all_ranks_gave(found: dict[str, dict[str, float]]) -> None:
    off = found["kept_keys"]
    assert {key for key in off if key.startswith("queue.")} == {"queue.image", "queue.text", "queue.pointer"}
    state = {key: value for key, value in off.items() if not key.startswith("gradient") and key != "loss"}
    assert {key: value for key, value in state.items() if value > 1e-7} == {}


def test_weights_in_parts(found: dict[str, dict[str, float]]) -> None:
    """Under FSDP: teachers follow, layers are called in ranges, stacks and layers have weights together.

    Every gradient. The queue has two batches.
    """
    off = {key: value for key, value in found["laid_out_parts"].items() if not key.startswith("queue.")}
    assert {key: value for key, value in off.items() if value > 1e-7} == {}
    assert sum(key.startswith("gradient") for key in off) > 40
