"""Packages under the Trainer of transformers and under accelerate: two processes, two steps, the weights of one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import graphvlm

from .packages import python
from .running import TINY

pytest.importorskip("accelerate", reason="the Trainer of transformers needs accelerate")


def run(folder: Path, engine: str, ranks: int, *rest: str) -> dict[str, object]:
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)) if ranks > 1 else ()
    python(*launch, "-m", "tests.engines", str(folder), "tiny", engine, *rest, environment={"OMP_NUM_THREADS": "1"})
    found: dict[str, object] = torch.load(folder / f"{engine}.{ranks}.pt")
    return found


@pytest.mark.parametrize(
    ("engine", "alone"),
    [
        ("trainer_fsdp", "trainer"),
        pytest.param("trainer", "trainer", marks=pytest.mark.long),
        pytest.param("accelerate", "accelerate", marks=pytest.mark.long),
        pytest.param("accelerate_own", "accelerate", marks=pytest.mark.long),
    ],
)
def test_two_processes_equal_one(engine: str, alone: str, tmp_path: Path) -> None:
    graphvlm.build(TINY, tmp_path)
    one = run(tmp_path, alone, 1)
    two = run(tmp_path, engine, 2, *(() if engine == "trainer" else ("fsdp",)))
    assert two["sharded"] is (engine != "trainer")
    torch.testing.assert_close(two["weights"], one["weights"], rtol=1e-5, atol=1e-6)
