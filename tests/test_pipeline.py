"""Packages in stages equal the same package on one device: real processes, both schedules, every gradient."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from importlib import import_module
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import graphvlm
from graphvlm.passes import apply_all
from graphvlm.planning import Workload, device, plan
from graphvlm.planning.stages import cut_of, of_stage
from graphvlm.planning.weights import weights
from graphvlm.staging import balanced

from .laid_out import SEED, randomised, reference
from .packages import python
from .running import GRAPHS, inputs, shrinking, sizes, small


@dataclass(frozen=True)
class Case:
    """A ready graph at a tiny size, its mesh, and how its nodes are laid over it."""

    graph: str
    mesh: dict[str, int]
    nodes: dict[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()

    @property
    def ranks(self) -> int:
        return prod(self.mesh.values())


_HEADS = ("nodes.llm.attention.heads=4", "nodes.llm.attention.kv_heads=2")
_CROSSED = ("nodes.llm.sublayers.cross.heads=4", "nodes.llm.sublayers.cross.kv_heads=2")
_TOWER = {"vision": {"tp": 1}}
_SEQUENCE = {"llm": {"sequence": True, "recompute": "block"}, "projector": {"tp": 1}, **_TOWER}
CASES = {
    # Images stay where they are encoded, go to a decoder elsewhere, or go on with it.
    "sharded": Case("llava_1_5_7b", {"pp": 2, "dp": 2}),
    "ahead": Case("qwen2_5_vl_7b", {"pp": 2, "dp": 2}, {"llm": {"stages": [0, 2]}}),
    "crossed": Case("llama_3_2_vision_11b", {"pp": 2, "tp": 2}, _TOWER, (*_HEADS, *_CROSSED)),
    "four": Case("llama_3_2_vision_11b", {"pp": 4}),
    "crossed_sharded": Case("llama_3_2_vision_11b", {"pp": 2, "dp": 2}),
    "split": Case("qwen2_5_vl_7b", {"pp": 2, "tp": 2}, _TOWER, _HEADS),
    "tokens": Case("tiny", {"pp": 2, "tp": 2}, _SEQUENCE, _HEADS),
    "context": Case("tiny", {"pp": 2, "dp": 1, "cp": 2}, {"llm": {"stages": [1, 1]}}, _HEADS),
    "images": Case("llava_1_5_7b", {"pp": 2, "tp": 2}, {"vision": {"images": "shard"}}, _HEADS),
    "frozen": Case("tiny", {"pp": 2, "tp": 2}, _TOWER, (*_HEADS, 'freeze={patterns: [vision, "llm.layers.1.*"]}')),
    "mixture": Case("deepseek_v3", {"pp": 2, "dp": 1, "ep": 2}, {}, ("nodes.llm.mlp.moe.experts=6",)),
    "tied": Case("gemma_2b", {"pp": 2, "tp": 2}, {}, _HEADS),
    "prefix": Case("prefix_clip_llama", {"pp": 2, "dp": 2}),
    "spans": Case("gemma_3_4b", {"pp": 2, "dp": 2}),
    "two_towers": Case("kempnerforge_mot_7b", {"pp": 2, "dp": 2}),
    "positions": Case("blip2_opt_2_7b", {"pp": 2, "dp": 2}),
    "text_to_text": Case("t5_base", {"pp": 2, "dp": 2}),
    "injected": Case("qwen3_vl_4b", {"pp": 2, "dp": 2}, {"llm": {"stages": [1, 2]}}),
    "sound": Case("qwen2_audio_7b", {"pp": 2, "dp": 2}),
    # Each stage encodes some of the micro-batches; later layers read them, or the first; frozen, in parts, of images.
    "everywhere": Case("llama_3_2_vision_11b", {"pp": 2, "dp": 2}, {"vision": {"stage": "all"}}),
    "everywhere_split": Case(
        "llava_1_5_7b", {"pp": 2, "tp": 2}, {"vision": {"stage": "all", "images": "shard"}}, _HEADS
    ),
    "everywhere_injected": Case("qwen3_vl_4b", {"pp": 2, "dp": 2}, {"vision": {"stage": "all"}}),
    "everywhere_frozen": Case("tiny", {"pp": 2, "dp": 2}, {"vision": {"stage": "all"}}, ("freeze=[vision]",)),
    "everywhere_three": Case("llama_3_2_vision_11b", {"pp": 3}, {"vision": {"stage": "all"}}),
    "everywhere_prefix": Case("kempnerforge_mot_7b", {"pp": 2, "dp": 2}, {"vision": {"stage": "all"}}),
    "everywhere_two": Case("llava_1_5_7b", {"pp": 2}, {"vision": {"stage": "all"}}),
    "everywhere_eight": Case(
        "llava_1_5_7b", {"pp": 2, "dp": 2, "tp": 2}, {"vision": {"stage": "all", "images": "shard"}}, _HEADS
    ),
    # Two processes and three.
    "two": Case("llava_1_5_7b", {"pp": 2}),
    "two_mixture": Case("deepseek_v3", {"pp": 2}),
    "three": Case("t5_base", {"pp": 3}),
    "three_injected": Case("qwen3_vl_4b", {"pp": 3}),
    # Eight: in stages, sharded and split.
    "eight": Case("qwen2_5_vl_7b", {"pp": 2, "dp": 2, "tp": 2}, _TOWER, _HEADS),
    "eight_crossed": Case("llama_3_2_vision_11b", {"pp": 2, "dp": 2, "tp": 2}, _TOWER, (*_HEADS, *_CROSSED)),
    "eight_tied": Case("gemma_2b", {"pp": 2, "dp": 2, "tp": 2}, {}, _HEADS),
}
_USUAL = ("ahead", "crossed", "tied", "everywhere_split")
NAMES = [name if name in _USUAL else pytest.param(name, marks=pytest.mark.long) for name in CASES]


def overrides(name: str) -> tuple[str, ...]:
    """What makes the small package of a case of a ready graph."""
    case = CASES[name]
    layout = f"parallelism={json.dumps({'mesh': case.mesh, 'nodes': case.nodes})}"
    return *shrinking(case.graph), *case.changes, layout, f"name={name}"


def batches(case: Case) -> list[dict[str, torch.Tensor]]:
    """Four with labels, of other lengths and numbers of images, rows padded; alike where ranks share the tokens."""
    even = "cp" in case.mesh or any("sequence" in own for own in case.nodes.values())
    found = []
    for seed in range(4):
        graph = small(case.graph)
        known = sizes(graph, seq=8 if even else 6 + seed, images=4 if even else seed % 3 + 1)
        given = inputs(graph, known, seed=seed, padded=True)
        tokens = "decoder_input_ids" if "decoder_input_ids" in given else "input_ids"
        found.append({**given, "labels": given[tokens].clone()})
    return found


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """What the processes find in every case that is asked for."""
    own = [item for item in request.session.items if item.path == Path(__file__)]
    asked = [item for item in own if "found" in getattr(item, "fixturenames", ())]
    names = list(dict.fromkeys(getattr(item, "callspec").params["name"] for item in asked))  # noqa: B009
    return compared(tmp_path_factory.mktemp("pipeline"), names)


def imported(name: str) -> ModuleType:
    """A package of this folder: others of the name may have been imported for other tests."""
    for known in [known for known in sys.modules if known.split(".")[0] == name]:
        del sys.modules[known]
    return import_module(name)


def compared(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """What the processes of these cases find, whose packages and references go to a folder."""
    sys.path.insert(0, str(folder))
    for name in names:
        case = CASES[name]
        graphvlm.build(GRAPHS / f"{case.graph}.yaml", folder, overrides=overrides(name))
        torch.save(reference(imported(name), batches(case)), folder / f"{name}.pt")
        (folder / f"{name}.mesh.json").write_text(json.dumps(case.mesh))
        torch.manual_seed(SEED)
        randomised(import_module(name).Model()).save_pretrained(folder / f"{name}.weights")
    sys.path.remove(str(folder))
    for ranks in sorted({CASES[name].ranks for name in names}):
        launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks))
        together = [name for name in names if CASES[name].ranks == ranks]
        python(*launch, "-m", "tests.laid_out", str(folder), *together, environment={"OMP_NUM_THREADS": "1"})
    return {name: json.loads((folder / f"{name}.found.json").read_text()) for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_stages_equal_one_process(name: str, found: dict[str, dict[str, Any]]) -> None:
    """GPipe and 1F1B: losses, outputs and every gradient, to 1e-5 of the largest."""
    assert {path: off for path, off in found[name]["off"].items() if not off <= 1e-5} == {}


@pytest.mark.parametrize("name", NAMES)
def test_each_stage_reads_its_parts(name: str, found: dict[str, dict[str, Any]]) -> None:
    """Each rank has what it would have of the whole, and the whole can be written."""
    assert found[name]["loaded"] is True


@pytest.mark.parametrize("name", NAMES)
def test_a_rank_holds_what_the_plan_says(name: str, found: dict[str, dict[str, Any]]) -> None:
    case = CASES[name]
    graph = apply_all(graphvlm.load(GRAPHS / f"{case.graph}.yaml", overrides=overrides(name)))
    cut, every = cut_of(graph), weights(graph)
    assert cut
    planned = [sum(each.stored for each in of_stage(graph, cut, stage, every)[1]) for stage in range(len(cut.layers))]
    assert found[name]["by_rank"][:: case.ranks // len(planned)] == planned


def test_stages_take_equally_long() -> None:
    assert balanced([1.0] * 10, [0.0, 0.0, 2.0]) == (4.0, (4, 4, 2))
    assert balanced([5.0, 1.0, 1.0, 1.0], [0.0, 0.0]) == (5.0, (1, 3))


def layers(graph: str, *overrides: str) -> list[int]:
    found = cut_of(apply_all(graphvlm.load(GRAPHS / f"{graph}.yaml", overrides=overrides)))
    assert found
    return [len(own) for own in found.layers]


def test_images_may_have_a_stage_of_their_own() -> None:
    """Where encoding takes as long as many layers, and not where it takes as long as few."""
    assert layers("qwen2_5_vl_7b", "parallelism.mesh.pp=4")[0] == 0
    assert min(layers("llava_1_5_7b", "parallelism.mesh.pp=4")) > 0
    assert layers("llava_1_5_7b", "parallelism.mesh.pp=3", "parallelism.nodes.llm.stages=[0, 16, 16]") == [0, 16, 16]


def planned(*changes: str, batch: int = 8) -> Any:
    return plan(
        graphvlm.load(GRAPHS / "llava_1_5_7b.yaml", overrides=changes), Workload(batch=batch), device("h100-80g")
    )


def test_a_plan_counts_the_bubble_and_what_is_sent() -> None:
    """Of equal stages s and micro-batches m, (s - 1) / (m + s - 1) of the time goes by in waiting."""
    found = planned("parallelism.mesh={pp: 4, dp: 2}")
    assert found.bubble == pytest.approx(3 / 11, abs=0.04)
    assert planned("parallelism.mesh={pp: 4, dp: 2}", batch=32).bubble < found.bubble
    sent = next(each for each in found.exchanges if each.axis == "pp")
    assert (sent.calls, sent.sent) == (8, 8 * 2048 * 4096 * 2)  # the last stage: gradients of hidden states
    # The first stage keeps most: as many micro-batches as there are stages.
    assert found.memory.total == max(stage.memory for stage in found.stages) == found.stages[0].memory
    assert sum(stage.layers for stage in found.stages) == 32
    whole = planned("parallelism.mesh={dp: 2}")
    assert sum(node.parameters for node in found.nodes) == sum(node.parameters for node in whole.nodes)


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        (["mesh={dp: 2, pp: 2}"], "bad-stages", "`pp` is not the outermost axis"),
        (["mesh.dp=2", "nodes.llm.stages=[1, 1]"], "bad-stages", "the mesh has no `pp` above 1"),
        (["mesh.pp=2", "nodes.vision.stages=[1, 1]"], "bad-stages", "those of `llm` alone do"),
        (["mesh.pp=2", "nodes.text.stage=0"], "bad-stages", "`text` is not encoded ahead of the text"),
        (["mesh.pp=2", "nodes.vision.stage=2"], "bad-stages", "there are 2, the first of which is 0"),
        (["mesh.pp=2", "nodes.vision.stage=1", "nodes.projector.stage=0"], "bad-stages", "what is encoded together"),
        (["mesh.pp=2", "nodes.vision.stage=1", "nodes.llm.stages=[1, 1]"], "bad-stages", "before stage 1 has encoded"),
        (["mesh.pp=2", "nodes.llm.stages=[2, 0]"], "empty-stage", "stage 1 would have nothing"),
        (["mesh.pp=3", "nodes.llm.stages=[0, 0, 2]"], "empty-stage", "stage 1 would have nothing"),
        (["mesh.pp=4"], "empty-stage", "4 stages are too many for 2 layers"),
        (["mesh.dp=2", "nodes.vision.stage=all"], "bad-stages", "`vision` has `stage`, and the mesh has no `pp`"),
        (["mesh.pp=2", "nodes.text.stage=all"], "bad-stages", "`text` is not encoded ahead of the text"),
        (
            ["mesh.pp=2", "nodes.vision.stage=all", "nodes.projector.stage=0"],
            "bad-stages",
            "on all stages and `projector` on stage 0: what is encoded together",
        ),
        (
            ["mesh.pp=2", "nodes.vision.stage=all", "nodes.llm.stages=[0, 2]"],
            "empty-stage",
            "stage 0 would have nothing",
        ),
    ],
)
def test_what_cannot_be_staged_is_said(changes: list[str], rule: str, words: str) -> None:
    with pytest.raises(graphvlm.GraphError) as caught:
        graphvlm.load(GRAPHS / "tiny.yaml", overrides=[f"parallelism.{change}" for change in changes])
    assert [each.rule for each in caught.value.diagnostics] == [rule]
    assert words in caught.value.diagnostics[0].message
    assert caught.value.diagnostics[0].help


def test_stages_share_what_they_can_send() -> None:
    changes = ["parallelism={mesh: {pp: 2}, nodes: {vision: {stage: all}}}"]
    with pytest.raises(graphvlm.GraphError) as caught:
        graphvlm.load(GRAPHS / "llava_v1_6_mistral_7b.yaml", overrides=changes)
    assert [each.rule for each in caught.value.diagnostics] == ["features-not-sent"]
    assert "`packed` gives would go to other stages" in caught.value.diagnostics[0].message


def test_a_plan_counts_what_stages_share() -> None:
    """Each has the tower and encodes its part: less to do where images were encoded, more elsewhere."""
    nodes = "llm: {stages: [8, 8, 8, 8]}"
    one = planned(f"parallelism={{mesh: {{pp: 4}}, nodes: {{{nodes}}}}}")
    shared = planned(f"parallelism={{mesh: {{pp: 4}}, nodes: {{vision: {{stage: all}}, {nodes}}}}}")
    assert {each.encodes for each in shared.stages} == {("image",)}
    saved = one.stages[0].seconds - shared.stages[0].seconds
    added = [after.seconds - before.seconds for before, after in zip(one.stages[1:], shared.stages[1:], strict=True)]
    assert saved > 2 * max(added) > 0
    # Each has the weights; features of a quarter of the images come from each of the others.
    assert shared.stages[2].memory > one.stages[2].memory
    sent = [each for each in shared.exchanges if each.collective == "send"]
    assert sum(each.sent for each in sent) == pytest.approx(8 * 2048 * 4096 * 2 + 2 * 576 * 4096 * 2)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("albef_pretrain", "there is no decoder"),
        ("bert_base", "there is no decoder"),
        ("blip_pretrain", "needs more than its tokens"),
    ],
)
def test_graphs_that_have_no_stages(graph: str, words: str) -> None:
    with pytest.raises(graphvlm.GraphError) as caught:
        graphvlm.load(GRAPHS / f"{graph}.yaml", overrides=["parallelism.mesh.pp=2"])
    assert [each.rule for each in caught.value.diagnostics] == ["not-staged"]
    assert words in caught.value.diagnostics[0].message
