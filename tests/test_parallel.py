"""Packages over several devices equal the same package on one: real processes, every gradient."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

import graphvlm
from graphvlm.diagnostics import Source

from .laid_out import batch, reference
from .packages import python
from .running import RUN, inputs, packaged, small

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
    vocab: 104
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

# Instead of placeholders: layers that attend to the image, some of them, with a gate.
CROSSED = """
nodes:
  fused: null
  projector: {out: 36}
  llm:
    inputs: {features: text, image: projector}
    sublayers:
      cross: {op: attention, heads: 4, kv: image, bias: false, qk_norm: rms, residual: {gate: tanh, init: 0.2}}
    layers: {count: 2, where: [{at: [1], each: [attn, cross, mlp]}]}
"""

# Name -> the mesh, how nodes are laid over it, and whether the head is the token embedding again.
CASES = {
    "sharded": ({"dp": 4}, {}, False),
    "sharded_tied": ({"dp": 4}, {"vision": {"fsdp": "none"}}, True),
    "split": ({"tp": 4}, {}, False),
    "both": ({"dp": 2, "tp": 2}, {"vision": {"tp": 1}}, False),
    "both_tied": ({"dp": 2, "tp": 2}, {"projector": {"tp": 1}}, True),
    "shared": ({"tp": 4}, {"vision": {"images": "shard"}}, False),
    "shared_both": ({"dp": 2, "tp": 2}, {"vision": {"images": "shard"}, "projector": {"tp": 1}}, False),
    "crossed": ({"dp": 2, "tp": 2}, {}, False),
}


def source(name: str) -> Source:
    mesh, nodes, tied = CASES[name]
    return Source(
        f"{name}.yaml", GRAPH.format(name=name, mesh=json.dumps(mesh), nodes=json.dumps(nodes), tied=json.dumps(tied))
    )


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """What four processes find in every case."""
    folder = tmp_path_factory.mktemp("parallel")
    sys.path.insert(0, str(folder))
    batches = {
        images: [
            batch(rows=2, seq=24 + 2 * each, images=images or 1 + each % 2, vocab=104, seed=each) for each in range(4)
        ]
        for images in (0, 2)
    }
    for name, (mesh, _, _) in CASES.items():
        graphvlm.build(source(name), folder, *([Source("crossed", CROSSED)] if name == "crossed" else []))
        torch.save(reference(import_module(name), batches[2 if name == "crossed" else 0]), folder / f"{name}.pt")
        (folder / f"{name}.mesh.json").write_text(json.dumps(mesh))
    sys.path.remove(str(folder))
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4")
    python(*launch, "-m", "tests.laid_out", str(folder), *CASES, environment={"OMP_NUM_THREADS": "1"})
    return {name: json.loads((Path(folder) / f"{name}.found.json").read_text()) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_four_processes_equal_one(name: str, found: dict[str, dict[str, float]]) -> None:
    """Loss and every gradient, to 1e-5 of the largest; some prompts are padded, some have no image."""
    assert {path: off for path, off in found[name].items() if off > 1e-5} == {}


@pytest.mark.parametrize("name", RUN)
def test_a_step_when_sharded(name: str) -> None:
    """Small forms of ready graphs as one of two ranks, the other pretended: no weight is read while it is in parts."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        package = packaged(small(name))
        devices = init_device_mesh("cpu", (2,), mesh_dim_names=("dp",))
        model = package.parallelize(package.Model(), devices, dtype=torch.float32)
        output = model(**inputs(small(name)))
        next(each for each in output if each.is_floating_point()).pow(2).mean().backward()
    finally:
        dist.destroy_process_group()
    assert [path for path, each in model.named_parameters() if each.requires_grad and each.grad is None] == []
