"""A package under torchtitan's own trainer, on processors: run from `test_titan`.

The trainer wants a GPU, and of torch a function that 2.13 has not; these are stood in for here, the rest is its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

ROWS, SEQ, STEPS, RATE = 4, 24, 3, 1e-2


def batch(step: int) -> tuple[dict[str, Tensor], Tensor]:
    """Rows with an image each, and the token that follows each token."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(3, 90, (ROWS, SEQ), generator=generator)
    ids[:, 2:18] = 99
    labels = ids.roll(-1, 1)
    labels[:, -1] = -100
    pixels = torch.randn(ROWS, 3, 56, 56, generator=generator)
    return {"input": ids, "pixel_values": pixels}, labels.masked_fill(labels == 99, -100)


def no_gpu() -> None:
    """Let torchtitan take processors for its devices."""
    import torchtitan.tools.utils as tools

    def nothing(*_: object) -> None:
        """Nothing."""

    properties = SimpleNamespace(total_memory=1 << 30)
    tools.device_type = "cpu"
    tools.device_module = SimpleNamespace(
        set_device=nothing,
        memory_stats=lambda _: {},
        reset_peak_memory_stats=nothing,
        empty_cache=nothing,
        synchronize=nothing,
        get_device_name=lambda _: "processor",
        current_device=lambda: 0,
        get_device_properties=lambda _: properties,
    )
    tools.get_local_device = lambda: torch.device("cpu")
    if not hasattr(dist, "set_timeout"):
        dist.set_timeout = nothing  # type: ignore[attr-defined]


def configured(spec: Any, folder: Path, shard: int, split: int) -> Any:
    """The trainer's configuration: three steps from the weights in `folder`, as a run would begin from a checkpoint."""
    from torchtitan.components.checkpointer import CheckpointManager
    from torchtitan.components.dataloader import BaseDataLoader
    from torchtitan.components.loss import CrossEntropyLoss
    from torchtitan.components.optimizer import LRSchedulersContainer, default_adamw
    from torchtitan.components.tokenizer import BaseTokenizer
    from torchtitan.config.configs import ParallelismConfig, TrainingConfig
    from torchtitan.trainer import Trainer

    class Batches(BaseDataLoader):  # type: ignore[misc]
        """The rows of this rank."""

        @dataclass(kw_only=True, slots=True)
        class Config(BaseDataLoader.Config):  # type: ignore[misc]
            """Nothing to set."""

        def __init__(self, config: Config, *, dp_rank: int, local_batch_size: int, **_: Any) -> None:
            self.rows = slice(dp_rank * local_batch_size, (dp_rank + 1) * local_batch_size)

        def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
            for step in range(STEPS):
                given, labels = batch(step)
                yield {name: each[self.rows] for name, each in given.items()}, labels[self.rows]

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            """Nothing is kept."""

    class NoText(BaseTokenizer):  # type: ignore[misc]
        """The batches are tokens."""

        @dataclass(kw_only=True, slots=True)
        class Config(BaseTokenizer.Config):  # type: ignore[misc]
            """Nothing to set."""

        def __init__(self, config: Config, **_: Any) -> None:
            super().__init__()

        encode = decode = get_vocab_size = None

    return Trainer.Config(
        model_spec=spec,
        tokenizer=NoText.Config(),
        dataloader=Batches.Config(),
        dump_folder=str(folder / f"run_{shard}_{split}"),
        training=TrainingConfig(
            local_batch_size=ROWS // shard,
            seq_len=SEQ,
            steps=STEPS,
            mixed_precision_param="float32",
            disable_cuda_graphs=True,
        ),
        parallelism=ParallelismConfig(
            data_parallel_shard_degree=shard, tensor_parallel_degree=split, spmd_backend="partial_dtensor"
        ),
        loss=CrossEntropyLoss.Config(),
        optimizer=default_adamw(lr=RATE, fused=False),
        lr_scheduler=LRSchedulersContainer.Config(warmup_steps=STEPS),
        activation_checkpoint=None,
        checkpoint=CheckpointManager.Config(
            enable=True, interval=100, initial_load_path=str(folder / "weights"), initial_load_in_hf=True
        ),
    )


def main(folder: str, name: str, shard: str, split: str) -> None:
    sys.path.insert(0, folder)
    torch.set_num_threads(1)
    no_gpu()
    spec = import_module(f"{name}.titan").model_registry()
    trainer = configured(spec, Path(folder), int(shard), int(split)).build()
    seen: list[tuple[float, float]] = []
    trainer.metrics_processor.should_log = lambda _: True
    trainer.metrics_processor.log = lambda _step, mean, _most, norm, **_: seen.append((float(mean), norm))
    trainer.train()
    trainer.close()
    if dist.get_rank() == 0:
        torch.save(seen, Path(folder, "seen.pt"))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
