"""Loading streams: its peak memory, measured in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import graphvlm

from .packages import python
from .running import TINY, packaged

pytestmark = pytest.mark.slow

WHOLE = "model.safetensors"

PEAK = """
import json, resource, sys, torch
from big import Model, from_pretrained, checkpoint  # everything that loading imports is there already
import big.checkpoint
dtype = getattr(torch, sys.argv[2])
with torch.device("meta"):
    size = sum(p.numel() for p in Model().parameters()) * dtype.itemsize
scale = 1 if sys.platform == "darwin" else 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
model = from_pretrained(sys.argv[1], dtype)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
assert all(p.dtype == dtype for p in model.parameters())
print(json.dumps({"size": size, "grown": after - before}))
"""

BIG = (
    "name=big",
    "nodes.llm={vocab: 16384, dim: 1024, layers: 8}",
    "nodes.llm.attention={heads: 16, kv_heads: 16, head_dim: 64}",
    "nodes.llm.mlp.hidden=4096",
)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32])
def test_peak_memory(stored: torch.dtype, tmp_path: Path) -> None:
    """330 MB in bfloat16: loading takes at most 1.2 times that, also from a file that is twice as large."""
    folder = graphvlm.build(TINY, tmp_path, overrides=BIG)
    package = packaged(graphvlm.load(TINY, overrides=BIG))
    with torch.device("meta"):
        empty = package.Model().to(stored)
    weights = {key: torch.zeros(tensor.shape, dtype=stored) for key, tensor in checkpoint_of(package).references(empty)}
    (tmp_path / "weights").mkdir()
    save_file(weights, tmp_path / "weights" / WHOLE)
    del weights
    found = json.loads(python("-c", PEAK, str(tmp_path / "weights"), "bfloat16", cwd=folder.parent))
    assert found["size"] > 300e6
    assert found["grown"] <= 1.2 * found["size"], f"{found['grown'] / found['size']:.2f} times the model"


def checkpoint_of(package: Any) -> Any:
    return sys.modules[f"{package.__name__}.checkpoint"]
