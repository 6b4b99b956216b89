"""Plans against what torch counts: parameters and exchanges to the byte, operations, and what is kept for backward."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import graphvlm
from graphvlm.catalog import graphs
from graphvlm.diagnostics import Source
from graphvlm.ir import Graph
from graphvlm.passes import apply_all
from graphvlm.planning import Plan, Workload, device, plan
from graphvlm.planning.arithmetic import work
from graphvlm.planning.report import as_text
from graphvlm.planning.weights import weights
from graphvlm.planning.workload import sizes as open_sizes

from .laid_out import Spy, batch, laid, local
from .open_sizes import open_terms
from .packages import ROOT
from .running import inputs, packaged, sizes, small

GRAPH = """
version: 1
name: planned
inputs: {pixel_values: image, input_ids: tokens}
nodes:
  vision:
    kind: encoder
    type: vit
    inputs: pixel_values
    image: {size: 56}
    patch: {size: 14}
    position: learned
    dim: 96
    layers: 2
    norm: {type: layer, eps: 1.0e-5}
    attention: {heads: 4, bias: true}
    mlp: {hidden: 200, activation: gelu}
  projector: {kind: projector, type: mlp, layers: 2, activation: gelu, inputs: vision}
  text: {kind: encoder, type: token_embedding, inputs: input_ids}
  fused:
    kind: fusion
    type: scatter
    inputs: {text: text, image: projector, ids: input_ids}
    placeholder: {image: 99}
  llm:
    kind: decoder
    type: transformer
    inputs: fused
    vocab: 504
    dim: 128
    max_tokens: 512
    layers: 3
    norm: {type: layer, eps: 1.0e-5}
    attention: {heads: 8, kv_heads: 4, head_dim: 24, bias: false}
    mlp: {hidden: 352, activation: silu, gated: true, bias: false}
    position: {type: rope, theta: 10000.0}
    head: {tied: false, bias: false}
outputs: {logits: llm.logits}
"""
WORK = Workload(batch=2, seq=192, compute=4)
TIED, FROZEN = "nodes.llm.head.tied=true", "freeze=[vision, text, 'llm.layers.0.*']"
MESHES = [{"dp": 4}, {"tp": 4}, {"dp": 3, "tp": 2}]


def graph(*changes: str) -> Graph:
    return graphvlm.load(Source("planned.yaml", GRAPH), overrides=changes)


def planned(*changes: str) -> Plan:
    return plan(graph(*changes), WORK, device("h100-80g"))


def step(model: Any) -> Any:
    """A loss in which every token but the first counts, as plans assume."""
    given = batch(rows=2, seq=192, images=2, vocab=504, seed=1)
    given["labels"] = given["input_ids"]
    del given["attention_mask"]
    return model.loss(**given)


def on(mesh: dict[str, int]) -> str:
    return "parallelism.mesh={" + ", ".join(f"{axis}: {degree}" for axis, degree in mesh.items()) + "}"


@pytest.fixture
def pretended() -> Iterator[None]:
    """Whoever asks for a process group gets one whose other members do not exist."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("mesh", MESHES, ids=str)
@pytest.mark.parametrize("changes", [(), (TIED,), (FROZEN,)], ids=["trained", "tied", "frozen"])
def test_parameters_and_exchanges_to_the_byte(mesh: dict[str, int], changes: tuple[str, ...], pretended: None) -> None:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    changes = (*changes, on(mesh))
    found = planned(*changes)
    package = graphvlm.compile(Source("planned.yaml", GRAPH), overrides=changes)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=found.ranks)
    model = laid(package, mesh)
    assert sum(node.stored for node in found.nodes) == sum(local(each).numel() for each in model.parameters())
    with Spy() as spy:
        step(model).backward()
    for exchange in found.exchanges:
        name = f"{exchange.axis} {exchange.collective}"
        assert exchange.calls == spy.calls[name], name
        # the last token has no label: its logits are not there
        assert exchange.sent == pytest.approx(spy.sent[name], rel=0.01), name
    assert set(spy.calls) == {f"{each.axis} {each.collective}" for each in found.exchanges if each.calls}


def test_a_node_of_a_lower_degree(pretended: None) -> None:
    test_parameters_and_exchanges_to_the_byte({"tp": 4}, ("parallelism.nodes.vision.tp=2",), pretended)


def test_tokens_shared_between_sublayers(pretended: None) -> None:
    test_parameters_and_exchanges_to_the_byte({"tp": 4}, ("parallelism.nodes.llm.sequence=true",), pretended)


@pytest.mark.parametrize("degree", [1, 2])
def test_images_on_different_ranks(degree: int, pretended: None) -> None:
    """Parameters on a rank, and the number of collectives of each kind over both axes together."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    mesh = {"dp": 3, "tp": 2 * degree}
    changes = (on(mesh), f"parallelism.nodes.vision={{images: shard, tp: {degree}}}")
    found = planned(*changes)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=6 * degree)
    model = laid(graphvlm.compile(Source("planned.yaml", GRAPH), overrides=changes), mesh)
    assert sum(node.stored for node in found.nodes) == sum(local(each).numel() for each in model.parameters())
    with Spy() as spy:
        step(model).backward()
    counted, planned_calls = Counter[str](), Counter[str]()
    for name, calls in spy.calls.items():
        counted[name.split()[1]] += calls
    for exchange in found.exchanges:
        planned_calls[exchange.collective] += exchange.calls
    assert planned_calls == counted
    split = planned(on(mesh), f"parallelism.nodes.vision.tp={degree}")
    assert found.nodes[0].forward < 0.6 * split.nodes[0].forward


LINEAR = "nodes.llm.attention.linear={key_heads: 4, value_heads: 8, key_dim: 12, value_dim: 16, conv: 4}"
FADING = "nodes.llm.attention.linear={rule: fading, key_heads: 4, key_dim: 12, value_dim: 16}"


@pytest.mark.parametrize(
    ("mesh", "more"),
    [
        ({"dp": 1, "cp": 4}, ()),
        ({"replicate": 2, "dp": 3}, ()),
        ({"replicate": 2, "dp": 1, "cp": 2, "tp": 2}, ()),
        ({"dp": 2, "cp": 2}, (LINEAR,)),
        ({"dp": 1, "cp": 4}, (FADING,)),
    ],
    ids=str,
)
def test_exchanges_of_all_axes_together(mesh: dict[str, int], more: tuple[str, ...], pretended: None) -> None:
    """Groups with the same parts, and tokens that are shared out: how many of each kind, and their bytes."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    changes = (on(mesh), TIED, *more)
    found = planned(*changes)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=found.ranks)
    model = laid(graphvlm.compile(Source("planned.yaml", GRAPH), overrides=changes), mesh)
    assert sum(node.stored for node in found.nodes) == sum(local(each).numel() for each in model.parameters())
    with Spy() as spy:
        step(model).backward()
    calls, sent = Counter[str](), Counter[str]()
    for exchange in found.exchanges:
        calls[exchange.collective] += exchange.calls
        sent[exchange.collective] += round(exchange.sent)
    counted = {name.split()[1] for name in spy.calls}
    assert {kind: sum(n for name, n in spy.calls.items() if name.endswith(f" {kind}")) for kind in counted} == calls
    for kind in counted:
        assert sent[kind] == pytest.approx(
            sum(n for name, n in spy.sent.items() if name.endswith(f" {kind}")), rel=0.02
        )


def test_parameters_of_a_large_model(pretended: None) -> None:
    """88 billion, cross-attention included, over 512 ranks: laid out on the meta device."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    mesh = {"dp": 64, "tp": 8}
    found = plan(graphvlm.load(graphs()["llama_3_2_vision_90b"], overrides=[on(mesh)]), Workload(), device("h100-80g"))
    package = graphvlm.compile(graphs()["llama_3_2_vision_90b"], overrides=[on(mesh)])
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=512)
    with torch.device("meta"):
        model = package.Model()
    devices = init_device_mesh("cpu", tuple(mesh.values()), mesh_dim_names=tuple(mesh))
    held = sum(local(each).numel() for each in package.parallelize(model, devices).parameters())
    assert sum(node.stored for node in found.nodes) == held


@pytest.mark.parametrize("changes", [(), (TIED,), (FROZEN,)], ids=["trained", "tied", "frozen"])
def test_operations_and_what_is_kept(changes: tuple[str, ...]) -> None:
    found = planned(*changes)
    model = graphvlm.compile(Source("planned.yaml", GRAPH), overrides=changes).Model()
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = step(model)
    with sdpa_kernel(SDPBackend.MATH), counter:  # only its products are counted on this device
        step(model).backward()
    assert counter.get_total_flops() == pytest.approx(
        sum(node.forward + node.backward for node in found.nodes), rel=0.02
    )
    normalised = 2 * 191 * 504 * 4
    bytes_kept = sum(size for pointer, size in kept.items() if pointer not in weights) - normalised
    assert found.memory.activations == pytest.approx(bytes_kept, rel=0.1)
    loss.backward()


@pytest.mark.parametrize(
    ("mesh", "changes"),
    [({"tp": 4}, ()), ({"tp": 4}, ("parallelism.nodes.llm.sequence=true",)), ({"dp": 1, "cp": 4}, ()), ({"dp": 4}, ())],
    ids=str,
)
def test_what_a_rank_keeps(mesh: dict[str, int], changes: tuple[str, ...], pretended: None) -> None:
    """For the backward pass, within a tenth: what ranks share is kept in parts."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    changes = (on(mesh), *changes)
    found = planned(*changes)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=found.ranks)
    model = laid(graphvlm.compile(Source("planned.yaml", GRAPH), overrides=changes), mesh)
    kept: dict[int, int] = {}
    weights: dict[int, torch.UntypedStorage] = {}  # which stay, though FSDP takes their memory away: no two are alike

    def before(module: torch.nn.Module, _: object) -> None:
        storages = [local(each).untyped_storage() for each in module.parameters(recurse=False)]
        weights.update((storage._cdata, storage) for storage in storages)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = local(tensor).untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    for module in model.modules():
        module.register_forward_pre_hook(before)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = step(model)
    normalised = 2 * 191 * 504 * 4 / mesh.get("tp", 1)
    numbers = sum(size for pointer, size in kept.items() if pointer not in weights) - normalised
    assert numbers == pytest.approx(found.memory.activations, rel=0.1)
    loss.backward()


@pytest.mark.parametrize("name", graphs())
def test_every_shipped_graph_has_a_plan(name: str) -> None:
    found = plan(graphvlm.load(graphs()[name]), Workload(), device("h100-80g"))
    assert as_text(name, found)
    assert found.memory.total > 0
    assert sum(node.parameters for node in found.nodes) == apply_all(graphvlm.load(graphs()[name])).parameter_count


# Experts that tokens choose and that choose tokens, segments, two texts, patches of several images, latent attention.
SEVERAL = (
    *("kempnerforge_mot_7b", "kempnerforge_moma_7b", "t5_base", "qwen2_5_vl_7b", "deepseek_v3", "llama_4_scout"),
    *("gemma_3_4b", "blip2_opt_2_7b", "bert_base"),
)


@pytest.mark.parametrize("name", SEVERAL)
def test_operations_of_other_blocks(name: str) -> None:
    """Of one forward pass of a small form; what is no product with a weight or of attention is within 5%."""
    graph = apply_all(small(name))
    known = sizes(graph)
    ports = [port for node in graph.nodes.values() for port in node.signature.inputs.values()]
    dims = [var for port in ports for dim in port.shape for var in open_terms(dim) if var.key in known.of]
    named = {**open_sizes(graph, Workload()), **{var.name: known.of[var.key] for var in dims}}
    planned_work = work(graph, weights(graph), named)
    model = packaged(small(name)).Model().eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(**inputs(small(name), known))
    assert sum(each.forward for each in planned_work.values()) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_recomputed_layers_keep_their_inputs() -> None:
    whole, again = planned(), plan(graph(), Workload(batch=2, seq=192, compute=4, recompute=True), device("h100-80g"))
    assert again.memory.activations < 0.6 * whole.memory.activations
    assert again.operations > whole.operations
    assert again.mfu < whole.mfu


def test_torch_is_not_imported() -> None:
    program = (
        "import sys; from graphvlm.cli import main; code = main(['plan', 'llava_1_5_7b', '--world', '8', '--search']); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "dp 8" in ended.stdout
