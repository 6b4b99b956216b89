"""Two steps of a package under the engines that people use, alone or as one of two processes; run from `test_engines`.

accelerate shards with FSDP2 on accelerators alone. So that it does here, it is told that processors are some.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import torch
import torch.distributed as dist
from accelerate import Accelerator, FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from .laid_out import SEED, randomised, whole

RATE = 0.1


class WithLoss(nn.Module):
    """What a `Trainer` calls: inputs and labels in, a loss out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, labels: Tensor, pixel_values: Tensor, attention_mask: Tensor
    ) -> dict[str, Tensor]:
        return {"loss": self.model.loss(input_ids, labels, pixel_values, attention_mask)}


def samples() -> list[dict[str, Tensor]]:
    """Four prompts of as many labels each."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(4):
        ids = torch.randint(3, 90, (24,), generator=generator)
        ids[2:18] = 99
        image = torch.randn(3, 56, 56, generator=generator)
        labels = ids.masked_fill(ids == 99, -100)
        found.append(
            {"input_ids": ids, "labels": labels, "pixel_values": image, "attention_mask": torch.ones_like(ids)}
        )
    return found


def trained(name: str, folder: Path, ranks: int, fsdp: dict[str, Any] | None) -> nn.Module:
    """After two steps of four samples in all under the `Trainer` of transformers."""
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        max_steps=2,
        per_device_train_batch_size=2 // ranks,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        **({"fsdp": "full_shard auto_wrap", "fsdp_config": fsdp} if fsdp else {"use_cpu": True}),
    )
    trainer = Trainer(model=WithLoss(fresh(name)), args=arguments, train_dataset=samples())
    trainer.train()
    model: nn.Module = trainer.model
    return model


def accelerated(name: str, ranks: int, *, own: bool) -> nn.Module:
    """After two steps with `accelerate`, which shards the model itself, or is given what `parallelize` made."""
    units = {"auto_wrap_policy": "transformer_based_wrap", "transformer_cls_names_to_wrap": ["Block"]}
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, **({"auto_wrap_policy": "no_wrap"} if own else units))
    accelerator = Accelerator(fsdp_plugin=plugin if ranks > 1 else None)
    model = WithLoss(fresh(name))
    if own and ranks > 1:
        mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("dp",))
        import_module(name).parallelize(model.model, mesh, dtype=torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    loader: Any = DataLoader(cast("Any", samples()), batch_size=2 // ranks)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for given in loader:
        accelerator.backward(prepared(**given)["loss"])
        optimizer.step()
        optimizer.zero_grad()
    return cast("nn.Module", prepared)


def fresh(name: str) -> Any:
    torch.manual_seed(SEED)
    return randomised(import_module(name).Model())


def state(model: nn.Module) -> dict[str, Tensor]:
    """All weights, whole, by their names in the package."""
    found = {}
    for name, each in model.named_parameters():
        found[name.removeprefix("module.").removeprefix("model.")] = whole(each.detach()).clone()
    return found


def main(folder: str, name: str, engine: str) -> None:
    sys.path.insert(0, folder)
    torch.set_num_threads(1)
    ranks = int(PartialState(cpu=True).num_processes)
    path = Path(folder)
    if engine == "trainer":
        model = trained(name, path, ranks, None)
    elif engine == "trainer_fsdp":
        fsdp = {"fsdp_version": 2, "transformer_layer_cls_to_wrap": ["Block"]} if ranks > 1 else None
        model = trained(name, path, ranks, fsdp)
    else:
        model = accelerated(name, ranks, own=engine == "accelerate_own")
    found = state(model)
    sharded = any(type(each.data).__name__ == "DTensor" for each in model.parameters())
    if not dist.is_initialized() or dist.get_rank() == 0:
        torch.save({"weights": found, "sharded": sharded}, path / f"{engine}.{ranks}.pt")
    if dist.is_initialized():
        dist.barrier()
        os._exit(0)  # threads of gloo abort a process that ends in order


def on_processors(self: PartialState, *_: object, **__: object) -> tuple[str, DistributedType]:
    """What accelerate makes of GPUs."""
    return "gloo", DistributedType.MULTI_GPU


def set_processor(self: PartialState) -> None:
    self.device = torch.device("cpu")


if __name__ == "__main__":
    if len(sys.argv) > 4:
        dist.init_process_group("gloo")
        with (
            patch.object(PartialState, "_prepare_backend", on_processors),
            patch.object(PartialState, "set_device", set_processor),
        ):
            main(*sys.argv[1:4])
    else:
        main(*sys.argv[1:4])
