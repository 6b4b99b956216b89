"""torch.compile: seconds of compilation, graphs, and latency of what comes out; prefill and static-cache decode.

python -m benchmarks.compile --rounds 20 --configs tiny_img,small
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # in this process, where its time is seen

import torch
import torch._dynamo
from torch import Tensor
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache
from transformers import DynamicCache, StaticCache

from .common import SIZES, Package, Pair, pair
from .options import Options, parse
from .report import Goal, Table, write
from .timing import Contender, OtherLoad, cpu_seconds, rounds

CONFIGS = ("tiny_img", "small")
STEPS = 16
TOLERANCE = 1e-4  # of the largest logit: compiled code may order sums differently


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled contender, the CPU seconds its first calls took, and in how many graphs it came out."""

    contender: Contender
    seconds: float
    graphs: int


@contextmanager
def scalar_outputs(on: bool) -> Iterator[None]:
    """Dynamo's flag with which the reference is one graph; off by default."""
    with torch._dynamo.config.patch(capture_scalar_outputs=on):
        yield


def compiled(contender: Contender, expected: Tensor, prepared: Callable[[], None] = lambda: None) -> Compiled:
    """Run a contender until it is compiled, with cold caches; its result must be the expected one."""
    torch._dynamo.reset()
    counters.clear()
    prepared()
    with fresh_cache():
        start = cpu_seconds()
        contender.prepare()
        first = contender.run()
        contender.prepare()
        contender.run()
        taken = cpu_seconds() - start
    difference = float((first - expected).abs().max() / expected.abs().max())
    if difference > TOLERANCE:
        raise SystemExit(f"compiled logits differ by {difference:.1e} of the largest")
    return Compiled(contender, taken, counters["stats"]["unique_graphs"])


# ---- prefill


def prefill_contenders(reference: Pair, package: Package) -> dict[str, Contender]:
    """All logits of the prompt, without a cache, eager."""
    inputs = reference.inputs()
    return {
        "transformers": Contender(lambda: reference.reference(**inputs, use_cache=False).logits),
        "ours": Contender(lambda: package.model(**inputs).logits),
    }


def compile_layers(package: Package) -> Any:
    """Regional compilation: the layers of tower and decoder, each class once; the rest stays eager."""
    for stack in (package.model.vision, package.model.llm):
        for layer in stack.layers:
            layer.compile()
    return package.model


def compile_prefill(reference: Pair, package: Package, options: Options, table: Table, name: str) -> None:
    """Compile both sides, whole and by region, then time all."""
    inputs = reference.inputs()
    contenders = prefill_contenders(reference, package)
    expected = contenders["transformers"].run()
    made: dict[str, Compiled] = {}
    for flag, label in ((False, "transformers, default flags"), (True, "transformers, scalar outputs")):
        with scalar_outputs(flag):
            model = torch.compile(reference.reference)
            run = Contender(lambda model=model: model(**inputs, use_cache=False).logits)
            made[label] = compiled(run, expected)
            times = rounds({"eager": contenders["transformers"], label: run}, options.rounds)
        _row(table, name, label, made[label], times.speedup(label, over="eager").median)
    whole = torch.compile(package.model, fullgraph=True)
    run = Contender(lambda: whole(**inputs).logits)
    made["ours"] = compiled(run, expected)
    both = {"eager": contenders["transformers"], "ours eager": contenders["ours"], "ours": run}
    times = rounds(both, options.rounds)
    _row(table, name, "ours", made["ours"], times.speedup("ours", over="eager").median)
