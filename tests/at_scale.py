"""One rank of a large mesh whose other ranks do not exist: `python -m tests.at_scale FOLDER PACKAGE MESH` says what it
holds, and what that took of memory."""

from __future__ import annotations

import json
import resource
import sys
from importlib import import_module
from math import prod

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore

from .laid_out import local


def main(folder: str, name: str, axes: str) -> None:
    sys.path.insert(0, folder)
    package, mesh = import_module(name), json.loads(axes)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=prod(mesh.values()))
    devices = init_device_mesh("cpu", tuple(mesh.values()), mesh_dim_names=tuple(mesh))
    with torch.device("meta"):
        model = package.Model()
    parts = [local(each) for each in package.parallelize(model, devices).parameters()]
    held = sum(each.numel() * each.element_size() for each in parts)
    print(json.dumps({"held": held, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
