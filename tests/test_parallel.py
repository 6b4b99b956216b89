"""Packages over several devices equal the same package on one: real processes, every gradient."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

import graphvlm
from graphvlm.diagnostics import Source
from graphvlm.passes import apply_all
from graphvlm.planning.weights import weights

from .laid_out import SEED, batch, mixed_reference, randomised, reference
from .packages import python
from .running import GRAPHS, RUN, inputs, packaged, shrinking, sizes, small

GRAPH = """
version: 1
name: {name}
inputs: {{pixel_values: image, input_ids: tokens}}
nodes:
  vision:
    kind: encoder
    type: vit
    inputs: pixel_values
    image: {{size: 56}}
    patch: {{size: 14}}
    position: learned
    dim: 48
    layers: 2
    norm: {{type: layer, eps: 1.0e-5}}
    attention: {{heads: 4, bias: true}}
    mlp: {{hidden: 80, activation: gelu}}
  projector: {{kind: projector, type: mlp, layers: 2, activation: gelu, inputs: vision}}
  text: {{kind: encoder, type: token_embedding, inputs: input_ids}}
  fused:
    kind: fusion
    type: scatter
    inputs: {{text: text, image: projector, ids: input_ids}}
    placeholder: {{image: 99}}
  llm:
    kind: decoder
    type: transformer
    inputs: fused
    vocab: 102
    dim: 40
    max_tokens: 64
    layers: 2
    norm: {{type: rms, eps: 1.0e-5}}
    attention: {{heads: 8, kv_heads: 4, head_dim: 6, bias: false, qk_norm: rms}}
    mlp: {{hidden: 72, activation: silu, gated: true, bias: false}}
    position: {{type: rope, theta: 10000.0}}
    head: {{tied: {tied}, bias: false}}
outputs: {{logits: llm.logits}}
parallelism: {{mesh: {mesh}, nodes: {nodes}}}
"""

# What is laid over the graph: layers that attend to the image, experts, other attentions, other positions.
LLM = "nodes: {{llm: {{{}}}}}"
CHANGES = {
    "crossed": """
nodes:
  fused: null
  projector: {out: 36}
  llm:
    inputs: {features: text, image: projector}
    sublayers:
      cross: {op: attention, heads: 4, kv: image, bias: false, qk_norm: rms, residual: {gate: tanh, init: 0.2}}
    layers: {count: 2, where: [{at: [1], each: [attn, cross, mlp]}]}
""",
    "experts": LLM.format(
        "mlp: {hidden: 24, moe: {experts: 5, top: 2, shared: {hidden: 12, gate: sigmoid}}},"
        " layers: {count: 2, where: [{at: [0], mlp: {hidden: 32, moe: null}}]}"
    ),
    "sinks": LLM.format(
        "attention: {sinks: true, bias: true}, mlp: {hidden: 24, bias: true, clamp: 3.0, up_offset: 1.0,"
        " moe: {experts: 4, top: 2, router: {bias: true}}}"
    ),
    "plain_experts": LLM.format("mlp: {hidden: 24, gated: false, moe: {experts: 3, top: 1, router: {apply: input}}}"),
    "latent": LLM.format(
        "attention: {kv_heads: null, head_dim: null, qk_norm: null, latent:"
        " {q_rank: 12, kv_rank: 8, nope_dim: 6, rope_dim: 4, value_dim: 5}},"
        " layers: {count: 3, where: [{at: [1], attention: {indexer: {heads: 17, head_dim: 6, top: 5}}},"
        " {at: [2], attention: {indexer: shared}}]}"
    ),
    "all_heads": LLM.format("attention: {qk_norm: {over: all}}"),
    "few_keys": LLM.format("attention: {kv_heads: 2, bias: true}"),
    "one_key": LLM.format("attention: {kv_heads: 1, qk_norm: null}"),
    "linear": LLM.format(
        "attention: {linear: {key_heads: 4, value_heads: 8, key_dim: 6, value_dim: 4, conv: 3}},"
        " layers: {count: 2, where: [{at: [1], attention: {linear: null}}]}"
    ),
    "slopes": LLM.format("position: {type: alibi, theta: null}"),
    "relative": LLM.format("position: {type: relative, theta: null, buckets: 8, max_distance: 12}"),
    "squares": "nodes: {vision: {attention: {relative: true, mask: {grid_window: 2}}}}",
    "segments": LLM.format(
        "segments: {text: {}, image: {where: seen}}, inputs: {features: fused, seen: fused.places},"
        " attention: {weights_by: segment}, norm: {weights_by: segment}, mlp: {weights_by: segment}"
    ),
    "tokens_sandwich": LLM.format(
        "norm: {place: sandwich, unit_offset: true}, attention: {kv_heads: 2},"
        " mlp: {hidden: 24, moe: {experts: 4, top: 2}}"
    ),
    "tokens_latent": LLM.format(
        "norm: {place: post}, attention: {kv_heads: null, head_dim: null, qk_norm: null, latent:"
        " {kv_rank: 8, nope_dim: 6, rope_dim: 4, value_dim: 5}, indexer: {heads: 17, head_dim: 6, top: 5}}"
    ),
    "all_counted": "passes: {label_logits: false}",
    "choosing": """
nodes:
  fused: null
  llm:
    inputs: {image: projector, text: text}
    segments: {image: {}, text: {}}
    attention: {weights_by: segment}
    norm: {weights_by: segment}
    layers: {count: 2, each: [attn, [mlp, image_mlp]]}
    mlp: {scope: text, hidden: 24, moe: {experts: 3, router: {chooses: expert, score: sigmoid}}}
    sublayers:
      image_mlp: {op: mlp, hidden: 28, activation: silu, gated: false, scope: image, norm: {place: shared}}
""",
}

CHANGES |= {
    "context_experts": CHANGES["experts"],
    "context_latent": LLM.format(
        "attention: {kv_heads: null, head_dim: null, qk_norm: null, latent:"
        " {q_rank: 12, kv_rank: 8, nope_dim: 6, rope_dim: 4, value_dim: 5}}"
    ),
    "fading": LLM.format(
        "norm: {place: through}, attention: {linear: {rule: fading, key_heads: 4, key_dim: 6, value_dim: 10}},"
        " layers: {count: 2, where: [{at: [1], attention: {linear: null}}]}"
    ),
    "spread": CHANGES["experts"].replace("experts: 5", "experts: 6"),
    "spread_wide": CHANGES["sinks"],
    "spread_split": CHANGES["sinks"],
    "spread_hybrid": CHANGES["experts"].replace("experts: 5", "experts: 6"),
    "spread_deep": CHANGES["experts"].replace("experts: 5", "experts: 6"),
    "spread_eight": CHANGES["sinks"],
}

CHANGES["added"] = """
nodes:
  more: {kind: fusion, type: spread, inputs: {ids: input_ids, image_1: projector}, placeholder: {image: 99}, depths: 1}
  llm: {inputs: {features: fused, inject_0: more.depth_1, inject_1: more.depth_1}, inject: [0, 1]}
"""
# Those in which ranks of `tp`, and of `cp` beside `tp`, share the tokens too.
_TOKENS = ("added", "segments", "choosing", "crossed", "linear", "sinks", "experts")
_CONTEXT = ("added", "segments", "choosing", "crossed", "linear", "sinks", "relative", "all_heads", "fading")
CHANGES |= {f"tokens_{name}": CHANGES[name] for name in _TOKENS}
CHANGES |= {f"context_{name}": CHANGES[name] for name in _CONTEXT}

_AGAIN = {"recompute": "block", "images": "shard"}

# Name -> the mesh, how nodes are laid over it, and whether the head is the token embedding again.
CASES = {
    "sharded": ({"dp": 4}, {}, False),
    "sharded_tied": ({"dp": 4}, {"vision": {"fsdp": "none"}}, True),
    "split": ({"tp": 4}, {}, False),
    "both": ({"dp": 2, "tp": 2}, {"vision": {"tp": 1}}, False),
    "both_tied": ({"dp": 2, "tp": 2}, {"projector": {"tp": 1}}, True),
    "shared": ({"tp": 4}, {"vision": {"images": "shard"}}, False),
    "shared_both": ({"dp": 2, "tp": 2}, {"vision": {"images": "shard"}, "projector": {"tp": 1}}, False),
    "blank": ({"dp": 4}, {}, False),
    "blank_empty": ({"dp": 2, "tp": 2}, {"vision": {"images": "shard"}}, False),
    "blank_shared": ({"dp": 2, "tp": 2}, {"vision": {"images": "shard"}}, True),
    "crossed": ({"dp": 2, "tp": 2}, {}, False),
    "experts": ({"dp": 2, "tp": 2}, {}, False),
    "sinks": ({"tp": 4}, {}, False),
    "plain_experts": ({"dp": 2, "tp": 2}, {}, True),
    "latent": ({"dp": 2, "tp": 2}, {}, False),
    "all_heads": ({"tp": 4}, {}, False),
    "few_keys": ({"tp": 4}, {}, False),
    "one_key": ({"dp": 2, "tp": 2}, {}, False),
    "linear": ({"dp": 2, "tp": 2}, {}, False),
    "relative": ({"tp": 4}, {}, False),
    "slopes": ({"dp": 2, "tp": 2}, {}, False),
    "squares": ({"dp": 2, "tp": 2}, {}, False),
    "segments": ({"dp": 2, "tp": 2}, {}, False),
    "choosing": ({"tp": 4}, {}, False),
    "tokens": ({"dp": 2, "tp": 2}, {"llm": {"sequence": True}}, False),
    "tokens_sandwich": ({"tp": 4}, {"llm": {"sequence": True}, "projector": {"tp": 1}}, False),
    "tokens_latent": ({"dp": 2, "tp": 2}, {"llm": {"sequence": True}}, True),
    "all_counted": ({"dp": 1, "tp": 2}, {}, True),
    "narrow": ({"tp": 4}, {"vision": {"tp": 2}}, False),
    "narrow_shared": ({"dp": 1, "tp": 4}, {"vision": {"tp": 2, "images": "shard"}, "projector": {"tp": 1}}, False),
    "narrow_decoder": ({"dp": 1, "tp": 4}, {"llm": {"tp": 2, "sequence": True}, "projector": {"tp": 2}}, True),
    "narrow_eight": ({"dp": 2, "tp": 4}, {"vision": {"tp": 2, "images": "shard"}, "projector": {"tp": 1}}, False),
    "hybrid": ({"replicate": 2, "dp": 2}, {"llm": {"recompute": "block"}}, True),
    "mixed": ({"replicate": 2, "dp": 2}, {}, False),
    "hybrid_split": ({"replicate": 2, "dp": 1, "tp": 2}, {"vision": {"images": "shard"}}, False),
    "context": ({"dp": 1, "cp": 4}, {"llm": {"recompute": "block"}}, False),
    "context_both": ({"dp": 2, "cp": 2}, {}, True),
    "context_split": ({"dp": 1, "cp": 2, "tp": 2}, {"vision": {"images": "shard"}}, True),
    "context_experts": ({"dp": 1, "cp": 2, "tp": 2}, {"projector": {"tp": 1}}, False),
    "context_latent": ({"dp": 2, "cp": 2}, {}, False),
    "fading": ({"tp": 4}, {}, False),
    **{f"tokens_{name}": ({"dp": 2, "tp": 2}, {"llm": {"sequence": True}}, False) for name in _TOKENS},
    **{f"context_{name}": ({"dp": 1, "cp": 2, "tp": 2}, {}, False) for name in _CONTEXT},
    "again": ({"dp": 2, "tp": 2}, {"llm": {"recompute": "block", "sequence": True}, "vision": _AGAIN}, False),
    "spread": ({"dp": 2, "ep": 2}, {"llm": {"recompute": "block"}}, False),
    "spread_wide": ({"dp": 1, "ep": 4}, {}, True),
    "spread_split": ({"dp": 1, "ep": 2, "tp": 2}, {}, False),
    "spread_hybrid": ({"replicate": 2, "dp": 1, "ep": 2}, {}, False),
    "spread_deep": ({"replicate": 2, "dp": 2, "ep": 2}, {}, False),
    "spread_eight": ({"replicate": 2, "dp": 1, "ep": 2, "tp": 2}, {}, False),
}
# What others show nearly as well.
_LONG = {
    *(
        "spread_eight",
        "spread_deep",
        "sharded_tied",
        "split",
        "shared",
        "plain_experts",
        "one_key",
        "squares",
        "blank_shared",
        "spread_wide",
    ),
    *("narrow_eight", "narrow_decoder", "context_both", "context_split", "hybrid", "all_counted", "narrow", "context"),
    *("tokens_latent", "slopes", "both_tied", "sinks", "context_sinks", "context_relative", "context_all_heads"),
    *("context_fading", "linear", "context_crossed", "tokens_linear", "tokens_sinks", "tokens_experts", "segments"),
    *("tokens_crossed", "choosing", "crossed", "tokens_added", "context_added"),
}
NAMES = [pytest.param(name, marks=pytest.mark.long) if name in _LONG else name for name in CASES]
# Cases with as many images in each batch; others have one, or one for each prompt, in turn. Some ranks may have none.
IMAGES = {"crossed": [2, 2, 2, 2], "choosing": [2, 2, 2, 2], "blank": [0, 1, 0, 2], "blank_shared": [0, 1, 0, 0]}
IMAGES |= {f"{how}_{name}": [2, 2, 2, 2] for how in ("tokens", "context") for name in ("crossed", "choosing")}
IMAGES["blank_empty"] = [0, 1, 0, 0]
IMAGES["spread_deep"] = [1, 2, 1, 2, 1, 2, 1, 2]


# Cases that are also loaded from files and saved to files.
STORED = ("both", "experts", "few_keys", "linear", "spread", "spread_split", "context_experts")


def sources(name: str) -> tuple[Source, ...]:
    """The graph of a case, and what is laid over it."""
    mesh, nodes, tied = CASES[name]
    text = GRAPH.format(name=name, mesh=json.dumps(mesh), nodes=json.dumps(nodes), tied=json.dumps(tied))
    changes = [Source(f"{name}_changes.yaml", CHANGES[name])] if name in CHANGES else []
    return Source(f"{name}.yaml", text), *changes


def batches(name: str) -> list[dict[str, torch.Tensor]]:
    """Four batches, as many as there may be ranks that see different ones."""
    counts = IMAGES.get(name, [1, 2, 1, 2])
    more = 4 if "tokens" in name or "context" in name or name == "again" else 2
    found = [batch(2, 24 + more * index, images, vocab=102, seed=index) for index, images in enumerate(counts)]
    empty = {"pixel_values": torch.zeros(0, 3, 56, 56)} if name == "blank_empty" else {}
    return [empty | each for each in found]


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """What four (or eight) processes find in every case that is asked for."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    asked = [item for item in here if "found" in getattr(item, "fixturenames", ())]
    cases = list(dict.fromkeys(getattr(item, "callspec").params["name"] for item in asked))  # noqa: B009
    folder = tmp_path_factory.mktemp("parallel")
    sys.path.insert(0, str(folder))
    for name, (mesh, _, _) in ((name, CASES[name]) for name in cases):
        first, *changes = sources(name)
        graphvlm.build(first, folder, *changes)
        expected = mixed_reference if name.startswith("mixed") else reference
        torch.save(expected(import_module(name), batches(name)), folder / f"{name}.pt")
        (folder / f"{name}.mesh.json").write_text(json.dumps(mesh))
        if name in STORED:
            torch.manual_seed(SEED)
            randomised(import_module(name).Model()).save_pretrained(folder / f"{name}.weights")
    sys.path.remove(str(folder))
    for ranks in sorted({prod(CASES[name][0].values()) for name in cases}):
        launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks))
        own = [name for name in cases if prod(CASES[name][0].values()) == ranks]
        python(*launch, "-m", "tests.laid_out", str(folder), *own, environment={"OMP_NUM_THREADS": "1"})
    return {name: json.loads((Path(folder) / f"{name}.found.json").read_text()) for name in cases}


@pytest.mark.parametrize("name", NAMES)
def test_processes_equal_one(name: str, found: dict[str, dict[str, Any]]) -> None:
    """Loss and every gradient, to 1e-5 of the largest; some prompts are padded, some have no image.

    In bfloat16 to two roundings.
    """
    bound = 2**-7 if name.startswith("mixed") else 1e-5
    assert {path: off for path, off in found[name]["off"].items() if off > bound} == {}


@pytest.mark.parametrize("name", STORED)
def test_each_rank_reads_its_parts(name: str, found: dict[str, dict[str, Any]]) -> None:
    """What it holds is what it would have of the whole, and the whole can be written."""
    assert found[name]["loaded"] is True


@pytest.mark.parametrize("name", NAMES)
def test_a_rank_holds_what_the_plan_says(name: str, found: dict[str, dict[str, Any]]) -> None:
    first, *changes = sources(name)
    planned = weights(apply_all(graphvlm.load(first, *changes)))
    assert found[name]["held"] == sum(weight.stored for weight in planned)


@pytest.mark.long
def test_linear_attention_is_off_by_roundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes its queries and keys, vectors of length one made of tiny ones, is 2e-4 off in float32, and not in
    float64."""
    monkeypatch.syspath_prepend(str(tmp_path))
    graph, mesh = small("qwen3_next_80b_a3b"), {"dp": 2, "tp": 2}
    changes = (*shrinking("qwen3_next_80b_a3b"), "parallelism.mesh={dp: 2, tp: 2}", "name=double")
    for path in graphvlm.build(GRAPHS / "qwen3_next_80b_a3b.yaml", tmp_path, overrides=changes).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace("torch.float32", "torch.float64").replace(".float()", ".double()"), encoding="utf-8"
        )
    torch.set_default_dtype(torch.float64)
    try:
        given = [inputs(graph, sizes(graph), seed=seed) for seed in range(4)]
        torch.save(reference(import_module("double"), given), tmp_path / "double.pt")
    finally:
        torch.set_default_dtype(torch.float32)
    (tmp_path / "double.mesh.json").write_text(json.dumps(mesh))
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4")
    python(*launch, "-m", "tests.laid_out", str(tmp_path), "double", environment={"OMP_NUM_THREADS": "1"})
    off = json.loads((tmp_path / "double.found.json").read_text())["off"]
    assert max(off.values()) < 1e-12


@pytest.mark.parametrize("name", ["deepseek_v3", "gpt_oss_20b", "qwen3_next_80b_a3b"])
def test_packages_that_are_split_read_the_same_files(name: str, tmp_path: Path) -> None:
    """Matrices that are apart or have more axes there: the same outputs, and the same file back."""
    plain, over = packaged(small(name)), (*shrinking(name), "parallelism.mesh.tp=2")
    split = graphvlm.compile(GRAPHS / f"{name}.yaml", overrides=over)
    model = randomised(plain.Model())
    model.save_pretrained(tmp_path / "plain")
    other = split.from_pretrained(tmp_path / "plain")
    given = inputs(small(name))
    with torch.no_grad():
        torch.testing.assert_close(other(**given), model(**given), rtol=1e-5, atol=1e-5)
    other.save_pretrained(tmp_path / "split")
    names = ["plain/model.safetensors", "split/model.safetensors"]
    one, two = (load_file(tmp_path / each) for each in names)
    assert {key: value for key, value in two.items() if not torch.equal(value, one[key])} == {}
    assert one.keys() == two.keys()


@pytest.fixture
def one_of_two() -> Iterator[DeviceMesh]:
    """A mesh of two ranks, of which the other is pretended."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield init_device_mesh("cpu", (2,), mesh_dim_names=("dp",))
    dist.destroy_process_group()


def without_gradient(name: str, given: dict[str, torch.Tensor], devices: DeviceMesh) -> list[str]:
    """The parameters of the small form of a ready graph that get no gradient in a step."""
    package = packaged(small(name))
    model = package.parallelize(package.Model(), devices, dtype=torch.float32)
    output = model(**given)
    next(each for each in output if each.is_floating_point()).pow(2).mean().backward()
    return [path for path, each in model.named_parameters() if each.requires_grad and each.grad is None]


@pytest.mark.parametrize("name", RUN)
def test_a_step_when_sharded(name: str, one_of_two: DeviceMesh) -> None:
    """No weight is read while it is in parts."""
    assert without_gradient(name, inputs(small(name)), one_of_two) == []


@pytest.mark.parametrize("name", ["qwen2_5_vl_7b", "qwen2_audio_7b", "prefix_clip_llama"])
def test_a_step_without_images(name: str, one_of_two: DeviceMesh) -> None:
    """Towers run all the same, as they do on other ranks."""
    assert without_gradient(name, {"input_ids": torch.full((2, 9), 5)}, one_of_two) == []
