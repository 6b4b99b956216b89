"""Exported models against the package, on other sizes than they were traced with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..comparing import SIZES, as_long, difference
from ..plan import Plan
from ..programs import PAST, PRESENT, Encode, Prefill
from ..samples import Samples
from ..tracing import Run, Traced, cache_axes, next_step, run

STEPS = 2


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a model is from the package at one set of sizes, in parts of the largest number that comes out."""

    program: str
    shapes: Mapping[str, tuple[int, ...]]
    worst: float
    output: str


def runs(dtype: str) -> bool:
    """Whether ONNX Runtime computes in a type on a CPU."""
    return dtype != "bfloat16"


class Runtime:
    """The models of a folder in ONNX Runtime."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sessions: dict[str, Any] = {}

    def __call__(self, program: str, given: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
        """What a program gives."""
        if program not in self.sessions:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            self.sessions[program] = onnxruntime.InferenceSession(
                str(self.folder / f"{program}.onnx"), options, providers=["CPUExecutionProvider"]
            )
        session = self.sessions[program]
        taken = {each.name for each in session.get_inputs()}
        made = session.run(None, {name: tensor.numpy() for name, tensor in given.items() if name in taken})
        return dict(zip((each.name for each in session.get_outputs()), made, strict=True))


def verify(plan: Plan, model: torch.nn.Module, traced: list[Traced], runtime: Runtime) -> Iterator[Difference]:
    """Every program at all `SIZES`, with padding and without; `decode` for some steps."""
    programs = [each.run.program for each in traced if each.name != "decode"]
    axes = next((cache_axes(each) for each in traced if each.name == "prefill"), {})
    for number, wanted in enumerate(SIZES):
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
    worst, name = max((difference(found[name], tensor), name) for name, tensor in done.outputs.items())
    return Difference(done.program.name, {given: tuple(part.shape) for given, part in done.inputs.items()}, worst, name)
