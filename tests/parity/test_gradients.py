"""Gradients of every parameter against the reference, compared under the key names of checkpoint files.

Both sides write their gradients as if they were weights: the name map is part of what is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from safetensors.torch import load_file

from .agreement import LIMIT, attended
from .reference import VOCAB, Reference

pytestmark = pytest.mark.slow


def gradients(
    model: Any, inputs: dict[str, torch.Tensor], folder: Path, save: Callable[[Any, Path], object]
) -> dict[str, torch.Tensor]:
    """The gradient of a random sum of the attended logits, by the key of each parameter in a file."""
    seen = attended(inputs)
    probe = torch.randn(int(seen.sum()), VOCAB, generator=torch.Generator().manual_seed(3))
    (model(**inputs).logits[seen] * probe).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
            parameter.grad = None
    save(model, folder)
    return {key: tensor for file in folder.glob("*.safetensors") for key, tensor in load_file(file).items()}


@pytest.mark.parametrize("name", ["clip_qwen3", "siglip_qwen2", "llama_biased", "qwen2_mixed", "llama_yarn"])
def test_gradients(
    name: str, reference: Callable[[str], Reference], package: Callable[[str], Any], tmp_path: Path
) -> None:
    case = reference(name)
    inputs = case.inputs("left")
    model = package(name).from_pretrained(case.directory)
    ours = import_module(f"{package(name).__name__}.checkpoint").save_pretrained
    expected = gradients(case.fresh(), inputs, tmp_path / "theirs", lambda made, folder: made.save_pretrained(folder))
    made = gradients(model, inputs, tmp_path / "ours", ours)
    assert made.keys() <= expected.keys()
    for key in expected.keys() - made.keys():
        assert not expected[key].any(), f"{key} is missing, and the logits depend on it"
    for key, gradient in made.items():
        # A bias is measured by its module: that of keys without rotary positions has no gradient but rounding.
        module = key.rpartition(".")[0] + "."
        scale = max(float(tensor.abs().max()) for other, tensor in expected.items() if other.startswith(module))
        assert float((gradient - expected[key]).abs().max()) <= LIMIT * scale, key
