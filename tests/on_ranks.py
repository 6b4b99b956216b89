"""Steps of training graphs on one of several processes, against one process; run from `test_training_ranks`."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from .laid_out import whole


def step(model: Any, given: dict[str, Tensor]) -> Tensor:
    """The loss of a step in float64, with its gradients; of others the likeliest are drawn, in any order of them."""
    with patch.object(Tensor, "float", Tensor.double), patch("torch.multinomial", likeliest):
        loss: Tensor = model(**given).loss
        torch.autograd.backward(loss)
    return loss.detach()


def likeliest(weights: Tensor, _count: int) -> Tensor:
    """In place of a draw."""
    return weights.argmax(dim=1, keepdim=True)


def state(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """The loss, all that is saved, and every gradient."""
    found = {name: whole(tensor).detach().clone() for name, tensor in model.state_dict().items()}
    gradients = {f"gradient of {n}": whole(p.grad).clone() for n, p in model.named_parameters() if p.grad is not None}
    return found | gradients | {"loss": loss}


def in_parts(package: Any, folder: Path, mesh: DeviceMesh) -> Any:
    """The model of a package with its weights read in parts, after they were written from parts."""
    name = package.__name__
    sharded = import_module(f"{name}.sharded")
    for source, target in ((folder / name, folder / f"{name}_again"), (folder / f"{name}_again", None)):
        with torch.device("meta"):
            model = package.Model().double().train()
        package.parallelize(model, mesh, dtype=torch.float64)
        sharded.load_sharded(model, source)
        if target:
            sharded.save_whole(model, target)
    return model


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(1)
    sys.path.insert(0, str(folder))
    found: dict[str, dict[str, float]] = {}
    for name in ("shared_keys", "kept_keys", "shared_others", "laid_out_parts"):
        package = import_module(name)
        expected, given = torch.load(folder / f"{name}.pt")
        if name == "laid_out_parts":  # the same batch everywhere, weights in parts
            model = in_parts(package, folder, init_device_mesh("cpu", (ranks,), mesh_dim_names=("dp",)))
        else:
            model = package.from_pretrained(folder / name).double().train()
        begin = getattr(model, "begin_step", lambda *_: None)
        begin(*((700,) if name == "laid_out_parts" else ()))
        if name == "laid_out_parts":
            made = state(model, step(model, given))
        else:  # each its part of the batch
            part = {key: value.chunk(ranks)[rank] for key, value in given.items()}
            loss = step(DistributedDataParallel(model), part)
            dist.all_reduce(loss)
            made = state(model, loss / ranks)
        # of the largest gradient: those of key biases are zero but for rounding
        largest = max(value.abs().max() for key, value in expected.items() if key.startswith("gradient"))
        found[name] = {
            key: float((made[key] - value).abs().max() / (largest if "gradient" in key else value.abs().max()))
            for key, value in expected.items()
        }
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
