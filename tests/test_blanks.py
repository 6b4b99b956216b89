"""Ranks whose batches lack what others encode: the same exchanges in the same order, and what one process finds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode

import graphvlm
from graphvlm.components.fusion.scatter import Scatter
from graphvlm.ir import Graph
from graphvlm.passes import apply_all
from graphvlm.stages import Stage, split

from .laid_out import reference
from .packages import python
from .running import GRAPHS, inputs, packaged, shrinking, sizes, small

# One of each way to encode, and of each way to read it.
_USUAL = ("llava_v1_6_mistral_7b", "llama_3_2_vision_11b")
_LONG = (
    "qwen2_5_vl_7b",
    *("idefics3_8b_llama3", "ovis2_1b", "llava_onevision_qwen2_7b", "video_llava_7b", "instructblip_vicuna_7b"),
    *("deepseek_vl2_small", "ernie_4_5_vl_28b_a3b", "gemma_3_4b", "glm_5_2_moon_vit", "got_ocr2", "idefics2_8b"),
    *("kempnerforge_mot_7b", "kempnerforge_moma_7b", "lighton_ocr_1b", "llama_4_scout", "minicpm_v_4_6", "mllama_11b"),
    *("mistral_small_3_1_24b", "paddleocr_vl_0_9b", "phi_3_vision_128k", "prefix_clip_llama", "qwen2_audio_7b"),
    *("qwen3_vl_8b", "siglip2_qwen3_8b", "smolvlm2_2_2b", "voxtral_mini_3b", "audio_flamingo_3", "blip2_opt_2_7b"),
    *("blip2_opt_training", "blip_vqa", "llava_next_video_7b", "tiny"),
)
NAMES = [*_USUAL, *(pytest.param(name, marks=pytest.mark.long) for name in _LONG)]


def without(graph: Graph, given: dict[str, Tensor], stages: list[Stage]) -> dict[str, Tensor]:
    """Inputs without those of some stages, and with ordinary tokens in the place of what they fill."""
    gone = {name for stage in stages for name in stage.inputs}
    left = {name: each for name, each in given.items() if name not in gone}
    made = {ref for stage in stages for ref in stage.values}
    for node in graph.nodes.values():
        if isinstance(node.spec, Scatter) and node.inputs["ids"].name in left:
            tokens = [token for port, token in node.spec.placeholder if node.inputs[port] in made]
            ids = left[node.inputs["ids"].name]
            left[node.inputs["ids"].name] = ids.masked_fill(torch.isin(ids, torch.tensor(tokens)), 5)
    return left


class Exchanges(TorchDispatchMode):
    """What is exchanged, in order: the operation and how much."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if str(func).startswith(("c10d.", "_c10d_functional.")):
            leaves = torch.utils._pytree.tree_leaves((args, result))
            self.found.append((str(func), max(leaf.numel() for leaf in leaves if isinstance(leaf, Tensor))))
        return result


@pytest.fixture(scope="module")
def one_of_two() -> Iterator[DeviceMesh]:
    """A mesh of two ranks, of which the other is pretended."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield init_device_mesh("cpu", (2,), mesh_dim_names=("dp",))
    dist.destroy_process_group()


def exchanged(package: Any, devices: DeviceMesh, given: dict[str, Tensor]) -> list[tuple[str, int]]:
    """The exchanges of a step, after which every weight that learns has a gradient."""
    model = package.parallelize(package.Model(), devices, dtype=torch.float32)
    with Exchanges() as seen:
        output = next(each for each in model(**given) if each.is_floating_point())
        torch.autograd.backward(output.pow(2).mean())
    assert [path for path, each in model.named_parameters() if each.requires_grad and each.grad is None] == []
    found: list[tuple[str, int]] = seen.found
    return found


@pytest.mark.parametrize("name", NAMES)
def test_ranks_exchange_the_same_whatever_they_have(name: str, one_of_two: DeviceMesh) -> None:
    """Also where only what lies between what is encoded and the decoder learns."""
    graph = small(name)
    ahead = split(apply_all(graph)).encoders
    given, free = inputs(graph), [stage for stage in ahead if stage.optional]
    for each in (graph, *frozen(graph, {node for stage in ahead for node in stage.nodes})):
        package = packaged(each)
        expected = exchanged(package, one_of_two, given)
        for absent in (free, *([stage] for stage in free if len(free) > 1)):
            assert exchanged(package, one_of_two, without(graph, given, absent)) == expected


def frozen(graph: Graph, ahead: set[str]) -> Iterator[Graph]:
    """The graph where encoders and decoders do not learn, if what is encoded goes through something else."""
    weighty = [node for node in graph.owners if node.spec.parameters()]
    still = [node.name for node in weighty if node.kind in ("encoder", "decoder")]
    if any(node.name in ahead and node.name not in still for node in weighty):
        yield graphvlm.load(
            GRAPHS / f"{graph.name}.yaml", overrides=(*shrinking(graph.name), f"freeze={json.dumps(still)}")
        )


@dataclass(frozen=True)
class Case:
    """A ready graph at a tiny size over a mesh of four; what its batches lack, by the names of stages."""

    graph: str
    mesh: dict[str, int]
    lacking: tuple[tuple[str, ...], ...]
    changes: tuple[str, ...] = ()


_IMAGE: tuple[str, ...] = ("image",)
_BOTH = ("image", "video")
CASES = {
    "tiles": Case("llava_v1_6_mistral_7b", {"dp": 4}, ((), _IMAGE, (), _IMAGE), ("freeze=[vision, text, llm]",)),
    "attended": Case("llama_3_2_vision_11b", {"dp": 4}, (_IMAGE, (), _IMAGE, ())),
    "attended_split": Case(
        "llama_3_2_vision_11b",
        {"dp": 2, "tp": 2},
        ((), _IMAGE, _IMAGE, ()),
        (
            *("nodes.llm.attention.heads=4", "nodes.llm.attention.kv_heads=2"),
            *("nodes.llm.sublayers.cross.heads=4", "nodes.llm.sublayers.cross.kv_heads=2"),
            "parallelism.nodes={vision: {tp: 1}}",
        ),
    ),
    "videos": Case("llava_onevision_qwen2_7b", {"dp": 4}, (("video",), _BOTH, (), _IMAGE)),
    "two_towers": Case("video_llava_7b", {"dp": 4}, (_IMAGE, ("video",), _BOTH, ())),
    "learned_marks": Case("ovis2_1b", {"dp": 4}, ((), _IMAGE, (), ())),
    "open_sizes": Case("lighton_ocr_1b", {"dp": 4}, ((), _IMAGE, (), _IMAGE)),
    "asked": Case("instructblip_vicuna_7b", {"dp": 4}, ((), _IMAGE, (), _IMAGE)),
    "staged_tiles": Case("llava_v1_6_mistral_7b", {"pp": 2, "dp": 2}, (_IMAGE, (), _IMAGE, ())),
    "staged_attended": Case("llama_3_2_vision_11b", {"pp": 2, "dp": 2}, ((), _IMAGE, (), _IMAGE)),
    "staged_frozen": Case(
        "llama_3_2_vision_11b", {"pp": 2, "dp": 2}, (_IMAGE, (), (), ()), ("freeze=[vision, text, llm]",)
    ),
    "staged_towers": Case("video_llava_7b", {"pp": 2, "dp": 2}, (_IMAGE, ("video",), _BOTH, _BOTH)),
}
_EVERYWHERE = "parallelism.nodes={vision: {stage: all}}"
CASES |= {
    "everywhere": Case("llama_3_2_vision_11b", {"pp": 2, "dp": 2}, (_IMAGE, (), _IMAGE, _IMAGE), (_EVERYWHERE,)),
    "everywhere_scattered": Case("llava_1_5_7b", {"pp": 2, "dp": 2}, ((), _IMAGE, (), _IMAGE), (_EVERYWHERE,)),
}
_SHORT = ("tiles", "staged_attended")
SPREAD = [name if name in _SHORT else pytest.param(name, marks=pytest.mark.long) for name in CASES]


def batches(case: Case) -> list[dict[str, Tensor]]:
    """One for each rank, or two for each in stages, with labels."""
    graph, found = small(case.graph), []
    stages = split(apply_all(graph)).encoders
    for seed, lacking in enumerate(case.lacking):
        given = inputs(graph, sizes(graph, seq=6 + seed), seed=seed)
        given |= {"labels": given["input_ids"].clone()}
        found.append(without(graph, given, [stage for stage in stages if stage.name in lacking]))
    return found


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """What four processes find in every case that is asked for."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    asked = [item for item in here if "found" in getattr(item, "fixturenames", ())]
    names = list(dict.fromkeys(getattr(item, "callspec").params["name"] for item in asked))  # noqa: B009
    folder = tmp_path_factory.mktemp("blanks")
    sys.path.insert(0, str(folder))
    for name in names:
        case = CASES[name]
        layout = f"parallelism.mesh={json.dumps(case.mesh)}"
        over = (*shrinking(case.graph), *case.changes, layout, f"name={name}")
        graphvlm.build(GRAPHS / f"{case.graph}.yaml", folder, overrides=over)
        torch.save(reference(import_module(name), batches(case)), folder / f"{name}.pt")
        (folder / f"{name}.mesh.json").write_text(json.dumps(case.mesh))
    sys.path.remove(str(folder))
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4")
    python(*launch, "-m", "tests.laid_out", str(folder), *names, environment={"OMP_NUM_THREADS": "1"})
    return {name: json.loads((folder / f"{name}.found.json").read_text()) for name in names}


@pytest.mark.parametrize("name", SPREAD)
def test_some_ranks_have_no_images(name: str, found: dict[str, dict[str, Any]]) -> None:
    """Losses and every gradient equal those of one process, to 1e-5 of the largest."""
    assert {path: off for path, off in found[name]["off"].items() if not off <= 1e-5} == {}
