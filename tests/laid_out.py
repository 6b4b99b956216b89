"""A process of a group that lays a package over a mesh, and what it says of it.

Run by `torchrun` (real processes, gloo) from `test_parallel.py`; `measured` is for one process in a pretended group.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from . import in_stages

SEED = 0


def batch(rows: int, seq: int, images: int, vocab: int, seed: int) -> dict[str, Tensor]:
    """Prompts with an image of 16 tokens in each of the first `images` (none: no pixels), a mask, labels."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocab - 5, (rows, seq), generator=generator)
    mask = torch.ones(rows, seq, dtype=torch.long)
    mask[1:, :3] = 0
    ids[:images, 4:20] = 99
    labels = ids.masked_fill((ids == 99) | (mask == 0), -100)
    given = {"input_ids": ids, "labels": labels, "attention_mask": mask}
    return given | ({"pixel_values": torch.randn(images, 3, 56, 56, generator=generator)} if images else {})


def whole(tensor: Tensor) -> Tensor:
    """The tensor that the ranks hold the parts of."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """The part that this rank holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class Spy(TorchDispatchMode):
    """Counts collectives, and the bytes that a rank of a ring sends in them: of all but its part, twice in a sum."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()
        self.sent: defaultdict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for word, name in _COLLECTIVES.items():
            if word in str(func):
                leaves = torch.utils._pytree.tree_leaves((args, result))
                tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
                ranks = next(filter(None, map(_ranks, leaves)))
                rings = 2 if "all-reduce" in name else 1
                self.calls[name] += 1
                largest = max(tensor.numel() * tensor.element_size() for tensor in tensors)
                self.sent[name] += rings * (ranks - 1) / ranks * largest
        return result


def _ranks(leaf: object) -> int:
    """How many ranks a process group has, given itself or its name; 0 if it is none."""
    if isinstance(leaf, torch.ScriptObject) and "ProcessGroup" in str(leaf._type()):
        return dist.ProcessGroup.unbox(leaf).size()
    named = isinstance(leaf, str) and leaf.isdigit()
    return torch._C._distributed_c10d._resolve_process_group(cast("Any", leaf)).size() if named else 0


_COLLECTIVES = {
    "c10d._allgather_base_": "dp all-gather",
    "c10d._reduce_scatter_base_": "dp reduce-scatter",
    "c10d.allreduce_": "dp all-reduce",
    "c10d.alltoall_base_": "cp all-to-all",
    "_c10d_functional.all_reduce": "tp all-reduce",
    "_c10d_functional.all_gather_into_tensor": "tp all-gather",
    "_c10d_functional.reduce_scatter_tensor": "tp reduce-scatter",
}


def laid(package: ModuleType, mesh: dict[str, int], dtype: torch.dtype = torch.float32) -> Any:
    """A model with seeded weights over a mesh; the process group is there."""
    model = alone(package)
    devices = init_device_mesh("cpu", tuple(mesh.values()), mesh_dim_names=tuple(mesh))
    return package.parallelize(model, devices, dtype=dtype)


def alone(package: ModuleType) -> Any:
    """The model with seeded weights on one device."""
    torch.manual_seed(SEED)
    return randomised(package.Model())


def randomised(model: nn.Module) -> Any:
    """Every parameter random, norms and gates included."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def stored(model: Any, package: ModuleType, mesh: dict[str, int], weights: Path) -> bool | None:
    """Whether a model built on meta gets the parts of `model` from files, and gives them back; None without files."""
    if not weights.exists():
        return None
    with torch.device("meta"):
        other = package.Model()
    devices = init_device_mesh("cpu", tuple(mesh.values()), mesh_dim_names=tuple(mesh))
    package.parallelize(other, devices, dtype=torch.float32)
    sharded = import_module(f"{package.__name__}.sharded")
    sharded.load_sharded(other, weights)
    parts = dict(model.named_parameters())
    same = all(torch.equal(local(parts[path]), local(each)) for path, each in other.named_parameters())
    sharded.save_whole(other, weights.with_suffix(".back"))
    given, back = (load_file(path / "model.safetensors") for path in (weights, weights.with_suffix(".back")))
    return same and given.keys() == back.keys() and all(torch.equal(given[key], back[key]) for key in given)


def compare(package: ModuleType, model: Any, mesh: dict[str, int], reference: dict[str, Any]) -> dict[str, float]:
    """How far losses and gradients are from those of one process, in parts of the largest."""
    split = mesh.get("cp", 1) * mesh.get("tp", 1)
    ranks = dist.get_world_size() // split
    losses = [step(model, each) for each in reference["batches"][dist.get_rank() // split :: ranks]]
    torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
    off = {}
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name in reference["gradients"]), name
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, name
        off[name] = float((whole(parameter.grad) - reference["gradients"][name]).abs().max() / reference["scale"])
    off |= clipped(model, import_module(f"{package.__name__}.gradients"), reference)
    gathered = [torch.empty(len(losses)) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, torch.stack([loss.detach() for loss in losses]))
    in_order = torch.stack(gathered[::split], 1).flatten()
    with torch.no_grad():
        output = first_output(model, reference["batches"][dist.get_rank() // split])
    return {
        **off,
        "loss": float((in_order - reference["losses"]).abs().max() / reference["losses"].max()),
        "output": float((output - reference["output"]).abs().max() / output.abs().max()) if dist.get_rank() == 0 else 0,
    }


def clipped(model: Any, gradients: Any, reference: dict[str, Any]) -> dict[str, float]:
    """How far the norm of all gradients is off, and of one of them when it is clipped to half of that."""
    wanted = float(torch.stack([each.norm() for each in reference["gradients"].values()]).norm())
    norm = gradients.clip_grad_norm_(model, wanted / 2)
    name, after = next((name, each.grad) for name, each in model.named_parameters() if each.grad is not None)
    scale = wanted / 2 / (wanted + 1e-6)  # as `torch.nn.utils` has it
    far = (whole(after) - scale * reference["gradients"][name]).abs().max()
    return {"norm": abs(float(norm) - wanted) / wanted, "clipped": float(far / reference["scale"])}


def step(model: Any, given: dict[str, Tensor]) -> Tensor:
    """The loss of labels, or else the mean square of the first output that is no number of anything."""
    if "labels" in given:
        loss: Tensor = model.loss(**given)
    else:
        loss = first_output(model, given).pow(2).mean()
    return loss


def first_output(model: Any, given: dict[str, Tensor]) -> Tensor:
    """The first output that is no number of anything."""
    inputs = {name: each for name, each in given.items() if name != "labels"}
    found: Tensor = next(each for each in model(**inputs) if each.is_floating_point())
    return found


def mixed_reference(package: ModuleType, batches: list[dict[str, Tensor]]) -> dict[str, Any]:
    """The same where everything is calculated in bfloat16, and gradients of batches are added up in float32."""
    torch.manual_seed(SEED)
    model = randomised(package.Model())
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    halves = [{k: v.bfloat16() if v.is_floating_point() else v for k, v in each.items()} for each in batches]
    gradients = {name: torch.zeros_like(each, dtype=torch.float32) for name, each in model.named_parameters()}
    losses = [step(model, each) for each in halves]
    for loss in losses:
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for name, each in model.named_parameters():
            gradients[name] += each.grad.float() / len(batches)
    found = {"losses": torch.stack(losses).detach(), "gradients": gradients, "batches": batches}
    with torch.no_grad():
        output = first_output(model, halves[0])
    return {**found, "scale": max(float(each.abs().max()) for each in gradients.values()), "output": output}


def reference(package: ModuleType, batches: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Losses and gradients of one process: the mean over batches."""
    model = alone(package)
    losses = [step(model, each) for each in batches]
    torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
    gradients = {name: each.grad for name, each in model.named_parameters() if each.requires_grad}
    scale = max(float(gradient.abs().max()) for gradient in gradients.values())
    with torch.no_grad():
        output = first_output(model, batches[0])
    found = {"losses": torch.stack(losses).detach(), "gradients": gradients, "scale": scale, "batches": batches}
    return {**found, "output": output}


def main(folder: str, *names: str) -> None:
    """Compare packages, each with its mesh and its reference in files beside it; write what was found."""
    sys.path.insert(0, folder)
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for name in names:
        dtype = {"mixed": torch.bfloat16, "double": torch.float64}.get(name.split("_")[0], torch.float32)
        torch.set_default_dtype(torch.float64 if dtype is torch.float64 else torch.float32)
        mesh = json.loads(Path(folder, f"{name}.mesh.json").read_text())
        model = laid(import_module(name), mesh, dtype)
        assert {each.dtype for each in model.parameters()} == {torch.get_default_dtype()}
        held = sum(local(each).numel() for each in model.parameters())
        by_rank: list[int] = [0] * dist.get_world_size()
        dist.all_gather_object(by_rank, held)
        package, expected = import_module(name), torch.load(Path(folder, f"{name}.pt"))
        loaded = stored(model, package, mesh, Path(folder, f"{name}.weights"))
        if "pp" in mesh:
            devices = init_device_mesh("cpu", tuple(mesh.values()), mesh_dim_names=tuple(mesh))
            off = in_stages.compare(package, model, devices, expected, alone(package).to(dtype))
        else:
            off = compare(package, model, mesh, expected)
        found = {"held": held, "by_rank": by_rank, "off": off, "loaded": loaded}
        if dist.get_rank() == 0:
            Path(folder, f"{name}.found.json").write_text(json.dumps(found))
    dist.barrier()
    # Not in order: gloo's threads abort a process that ends while a weight fetched ahead for nothing is on its way.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
