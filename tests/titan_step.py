"""A package for torchtitan on two processes, as its trainer builds and lays it out: run from `test_titan`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.nn.functional as F

from .laid_out import whole


def main(folder: str, name: str, shard: str, split: str) -> None:
    sys.path.insert(0, folder)
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    import torchtitan.tools.utils
    from torchtitan.distributed import ParallelDims

    torchtitan.tools.utils.device_type = "cpu"  # which it takes for none
    titan = import_module(f"{name}.titan")
    spec = titan.model_registry()
    expected = torch.load(Path(folder, "expected.pt"))
    with torch.device("meta"):
        model = spec.model.build()
    model.verify_module_protocol()
    assert spec.model.get_nparams_and_flops(model, 24)[0] == sum(each.numel() for each in model.parameters())
    dims = ParallelDims(
        dp_replicate=1,
        dp_shard=int(shard),
        cp=1,
        tp=int(split),
        pp=1,
        ep=1,
        world_size=2,
        spmd_backend="partial_dtensor",
    )
    model = spec.parallelize_fn(
        model,
        parallel_dims=dims,
        training=SimpleNamespace(mixed_precision_param="float32"),
        parallelism=None,
        compile_config=SimpleNamespace(enable=False, components=[]),
        ac_config=None,
        dump_folder=folder,
    )
    model.to_empty(device="cpu")
    model.init_states(buffer_device=None)
    adapter = spec.state_dict_adapter(spec.model, None)
    weights = adapter.from_hf(expected["weights"])
    with torch.no_grad():
        for path, each in model.named_parameters():
            part = weights[path]
            if hasattr(each, "placements"):
                from torch.distributed.tensor import distribute_tensor

                part = distribute_tensor(part, each.device_mesh, each.placements)
            each.copy_(part)
    assert adapter.to_hf(dict(model.named_parameters())).keys() == expected["weights"].keys()
    rank = dist.get_rank() if int(shard) > 1 else 0
    given = {key: value.chunk(int(shard))[rank] for key, value in expected["given"].items()}
    labels = given.pop("labels")
    logits = model(given.pop("input_ids"), **given)
    valid = (expected["given"]["labels"] != -100).sum()  # of all ranks
    loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum") / valid
    loss.backward()
    off = {
        path: float((whole(each.grad) - expected["gradients"][path.removeprefix("model.")]).abs().max())
        for path, each in model.named_parameters()
        if each.grad is not None
    }
    assert off.keys() == {f"model.{path}" for path in expected["gradients"]}
    if dist.get_rank() == 0:
        torch.save(off, Path(folder, "off.pt"))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
