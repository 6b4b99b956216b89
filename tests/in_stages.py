"""What the ranks of a pipeline find of a package, against one process: losses, outputs, every gradient.

Called by `laid_out.py` in each of the processes.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.pipelining import Schedule1F1B, ScheduleGPipe

SCHEDULES = (ScheduleGPipe, Schedule1F1B)


def compare(
    package: ModuleType, model: Any, devices: DeviceMesh, reference: dict[str, Any], whole: Any
) -> dict[str, float]:
    """How far both schedules are off, in parts of the largest; `whole` is the same model on one device."""
    pipeline = import_module(f"{package.__name__}.pipeline")
    sizes = dict(zip(devices.mesh_dim_names or (), devices.shape, strict=True))
    ranks = sizes.get("replicate", 1) * sizes.get("dp", 1) * sizes.get("ep", 1)
    split = sizes.get("cp", 1) * sizes.get("tp", 1)
    own = dist.get_rank() // split % ranks
    batches, expected = reference["batches"][own::ranks], reference["losses"][own::ranks]
    run = pipeline.Pipeline(model, devices, dtype=next(whole.parameters()).dtype)
    off = {"outputs": _outputs_off(run, batches, whole)}
    for schedule in SCHEDULES:
        name = schedule.__name__
        for _ in range(2):  # what the first leaves behind is nothing to the second
            loss = run.step(batches, schedule)
        off[f"{name} loss"] = float((loss - expected.mean()).abs() / reference["losses"].max())
        for path, parameter in model.named_parameters():
            assert parameter.requires_grad == (path in reference["gradients"]), path
            if parameter.requires_grad:
                assert parameter.grad is not None, path
                far = _whole(parameter.grad) - reference["gradients"][path]
                off[f"{name} {path}"] = float(far.abs().max() / reference["scale"])
    gradients = import_module(f"{package.__name__}.gradients")
    wanted = left = float(torch.stack([each.norm() for each in reference["gradients"].values()]).norm())
    for limit in (1.0, 0.5, 1.0):  # each finds what the one before has clipped, as `torch.nn.utils` clips
        norm = gradients.clip_grad_norm_(model, limit * wanted, devices)
        off[f"norm {left / wanted:.2f}"] = abs(float(norm) - left) / wanted
        left *= min(1.0, limit * wanted / (left + 1e-6))
    return _of_all(off, reference)


def _outputs_off(run: Any, batches: list[dict[str, Tensor]], whole: Any) -> float:
    found = run.outputs(batches)
    with torch.no_grad():
        wanted = [whole(**{name: each for name, each in batch.items() if name != "labels"}) for batch in batches]
    pairs = [
        (one, other)
        for mine, theirs in zip(found, wanted, strict=False)
        for one, other in zip(mine, theirs, strict=True)
        if isinstance(one, Tensor) and one.is_floating_point()
    ]
    return max((float((one - other).abs().max() / other.abs().max()) for one, other in pairs), default=0.0)


def _of_all(off: dict[str, float], reference: dict[str, Any]) -> dict[str, float]:
    """The worst that any rank found of each; together they have all gradients."""
    found: list[dict[str, float]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, off)
    together: dict[str, float] = {}
    for each in found:
        for name, value in each.items():
            together[name] = max(value, together.get(name, 0.0))
    for path in reference["gradients"]:
        assert all(f"{schedule.__name__} {path}" in together for schedule in SCHEDULES), path
    return together


def _whole(tensor: Tensor) -> Tensor:
    full = getattr(tensor, "full_tensor", None)
    return full() if full else tensor
