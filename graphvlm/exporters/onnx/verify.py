"""Exported models against the package, on other sizes than they were traced with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..comparing import TOLERANCE, as_long, difference, sizes
from ..exact import exact
from ..plan import Plan
from ..programs import PAST, PRESENT, Encode, Prefill
from ..samples import Samples
from ..tracing import Run, Traced, cache_axes, next_step, run

STEPS = 2
# Where weights have eight bits, ONNX Runtime would round what is multiplied with them too; `run_onnx.py` does the same.
WEIGHTS_ALONE = ("session.qdq_matmulnbits_accuracy_level", "1")


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a model is from the package at one set of sizes, in parts of the largest number that comes out.

    Where that is more than the tolerance, `exact` is how far the model, and how far the package, is from the package in
    double precision: roundings may be that large.
    """

    program: str
    shapes: Mapping[str, tuple[int, ...]]
    worst: float
    output: str
    exact: tuple[float, float] | None = None

    @property
    def rounded(self) -> bool:
        """Whether it is told apart by roundings: the model is no farther from the exact numbers than the package is.

        That is said, and excuses nothing: what is deployed differs from what was trained all the same.
        """
        return self.exact is not None and self.exact[0] <= self.exact[1]


def runs(dtype: str) -> bool:
    """Whether ONNX Runtime computes in a type on a CPU."""
    return dtype != "bfloat16"


class Runtime:
    """The models of a folder in ONNX Runtime, which keeps copies of weights in its own order only with `prepack`."""

    def __init__(self, folder: Path, *, prepack: bool = True) -> None:
        self.folder, self.prepack = folder, prepack
        self.sessions: dict[str, Any] = {}

    def __call__(self, program: str, given: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
        """What a program gives."""
        if program not in self.sessions:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.add_session_config_entry("session.disable_prepacking", str(int(not self.prepack)))
            options.add_session_config_entry(*WEIGHTS_ALONE)
            self.sessions[program] = onnxruntime.InferenceSession(
                str(self.folder / f"{program}.onnx"), options, providers=["CPUExecutionProvider"]
            )
        session = self.sessions[program]
        taken = {each.name for each in session.get_inputs()}
        made = session.run(None, {name: tensor.detach().numpy() for name, tensor in given.items() if name in taken})
        return dict(zip((each.name for each in session.get_outputs()), made, strict=True))


def verify(
    plan: Plan, model: torch.nn.Module, traced: list[Traced], runtime: Runtime, count: int
) -> Iterator[Difference]:
    """Every program at the first `count` of all `sizes`, with padding and without; `decode` for some steps."""
    programs = [each.run.program for each in traced if each.name != "decode"]
    axes = next((cache_axes(each) for each in traced if each.name == "prefill"), {})
    for number, wanted in enumerate(islice(sizes(plan.graph), count)):
        samples = Samples(plan, model, wanted, number + 1, padded=number != 0)
        for program in programs:
            done = run(program, samples.given)
            yield compare(done, runtime(program.name, done.inputs))
            if isinstance(program, Prefill):
                yield from _steps(program, done, axes, runtime)


def _steps(prefill: Prefill, first: Run, axes: Any, runtime: Runtime) -> Iterator[Difference]:
    step = next_step(prefill, first, axes)
    for left in reversed(range(STEPS)):
        yield compare(step, runtime("decode", step.inputs))
        if left:
            token = step.outputs[prefill.plan.view.logits].argmax(dim=-1, keepdim=True)
            new = {name: step.outputs.get(PRESENT + name.removeprefix(PAST), old) for name, old in step.inputs.items()}
            step = run(step.program, new | {prefill.plan.view.tokens: token})


def compare(done: Run, made: Mapping[str, np.ndarray[Any, Any]]) -> Difference:
    """What ONNX Runtime gave against what the package gave.

    Features of an encoder may have a tail: the package leaves out what only fills images up, and a model cannot.
    """
    found = {name: torch.from_numpy(made[name]) for name in done.outputs}
    if isinstance(done.program, Encode):
        found = {name: as_long(tensor, done.outputs[name]) for name, tensor in found.items()}
    worst, name = _worst(found, done.outputs)
    shapes = {given: tuple(part.shape) for given, part in done.inputs.items()}
    single = next(done.program.model.parameters()).dtype == torch.float32
    if worst <= TOLERANCE["float32"] or not math.isfinite(worst) or not single:
        return Difference(done.program.name, shapes, worst, name)
    right = exact(done)
    apart = tuple(_worst(_doubled(each), _doubled(right))[0] for each in (found, done.outputs))
    return Difference(done.program.name, shapes, worst, name, (apart[0], apart[1]))


def _worst(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, str]:
    return max((difference(found[name], tensor), name) for name, tensor in expected.items())


def _doubled(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: each.double() if each.is_floating_point() else each for name, each in tensors.items()}
