"""Recorded outputs of references that cannot be installed here: read from `../shared/oracles`, beside the repository.

Each case says in its `config.json` what was run.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

import graphvlm
from graphvlm.diagnostics import Source

from .running import ROOT, packaged

ORACLES = ROOT.parent / "shared" / "oracles"

# As the recordings suggest: of the largest value of a tensor; of a norm, and of the largest norm of the case.
VALUES, NORM, NORMS = 2e-5, 1e-4, 1e-6


def marks(system: str) -> list[pytest.MarkDecorator]:
    """What a file with cases of a system is marked with: without the recordings nothing is compared, and it says so."""
    there = (ORACLES / system).is_dir()
    reason = f"NOT COMPARED: the recordings of {system} are not in {ORACLES}"
    return [pytest.mark.usefixtures("one_thread"), pytest.mark.skipif(not there, reason=reason)]


class Case(NamedTuple):
    """What was recorded."""

    config: dict[str, Any]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    weights: Path


def recorded(name: str, folder: Path) -> Case:
    """One case, `system/case`; its weights alone in `folder`, as a checkpoint directory."""
    place = ORACLES / name
    shutil.copy(place / "weights.safetensors", folder / "model.safetensors")
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    return Case(config, load_file(place / "inputs.safetensors"), load_file(place / "outputs.safetensors"), folder)


def loaded(graph: dict[str, Any], case: Case) -> Any:
    """The package of a graph with the recorded weights."""
    resolved = graphvlm.load(Source("recorded.yaml", yaml.safe_dump(graph, sort_keys=False)))
    return packaged(resolved).from_pretrained(case.weights)


def agree(made: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal as far as the recordings are exact."""
    return made.shape == expected.shape and float((made.detach() - expected).abs().max()) <= VALUES * float(
        expected.abs().max()
    )


def check_gradients(model: Any, case: Case, unread: frozenset[str] = frozenset(), frozen: tuple[str, ...] = ()) -> None:
    """The norm of the gradient of every parameter, under the reference's names; `unread` are not in our model.

    What begins with `frozen` learned nothing in the reference.
    """
    expected = {
        key.removeprefix("grad_norm/"): float(value) for key, value in case.outputs.items() if "grad_norm/" in key
    }
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
    references = sys.modules[f"{type(model).__module__.rpartition('.')[0]}.checkpoint"].references
    made = {key: float(gradient.norm()) for key, gradient in references(model) if not key.startswith(frozen)}
    assert made.keys() == expected.keys() - unread
    largest = max(expected.values())
    for key, norm in made.items():
        assert abs(norm - expected[key]) <= NORM * expected[key] + NORMS * largest, key
