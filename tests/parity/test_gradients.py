"""Gradients of every parameter against the reference, compared under the key names of checkpoint files.

Both sides write their gradients as if they were weights: the name map is part of what is tested. One configuration of
every multimodal type, and of every kind of block that text models have.
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
from .multimodal import MULTIMODAL
from .reference import Reference

pytestmark = pytest.mark.slow


def gradients(
    model: Any, inputs: dict[str, torch.Tensor], folder: Path, save: Callable[[Any, Path], object]
) -> dict[str, torch.Tensor]:
    """The gradient of a random sum of the attended logits, by the key of each parameter in a file."""
    logits = model(**inputs).logits[attended(inputs)]
    probe = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3))
    (logits * probe).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
            parameter.grad = None
    save(model, folder)
    return {key: tensor for file in folder.glob("*.safetensors") for key, tensor in load_file(file).items()}


BLOCKS = (
    *(
        "llama_biased",
        "qwen2_mixed",
        "llama_yarn",
        "olmo2",
        "gemma2",
        "qwen2_moe_dense_window",
    ),  # norms, gates, windows
    *(
        "deepseek_v3",
        "qwen3_next",
        "gpt_oss",
        "minimax_m2",
        "cohere2",
        "granite",
        "glm4_moe",
        "glm_moe_dsa",
        "minimax",
    ),  # attention and experts
    *("gemma3_text", "opt", "opt_post", "phi3_long", "gpt_neox", "exaone4", "olmo", "smollm3", "llama4_text"),
)


def one_of_each_type() -> list[str]:
    """The first configuration of every multimodal type."""
    found: dict[str, str] = {}
    for name, case in MULTIMODAL.items():
        found.setdefault(case.config().model_type, name)
    return list(found.values())


@pytest.mark.parametrize("name", [*one_of_each_type(), "siglip_qwen2", *BLOCKS])
def test_gradients(
    name: str, reference: Callable[[str], Reference], package: Callable[[str], Any], tmp_path: Path
) -> None:
    case = reference(name)
    inputs = case.inputs("left")
    model = package(name).from_pretrained(case.directory).requires_grad_(True)  # tables of sound are frozen otherwise
    ours = import_module(f"{package(name).__name__}.checkpoint").save_pretrained
    theirs = case.theirs(inputs)
    expected = gradients(case.fresh(), theirs, tmp_path / "theirs", lambda made, folder: made.save_pretrained(folder))
    made = gradients(model, inputs, tmp_path / "ours", ours)
    assert made.keys() <= expected.keys()
    constant = {name for name, _ in case.model.named_buffers()}  # written as they are, and worked out here
    for key in expected.keys() - made.keys() - constant:
        assert not expected[key].any(), f"{key} is missing, and the logits depend on it"
    for key, gradient in made.items():
        if key.endswith("e_score_correction_bias"):  # a buffer there, which training moves by a rule of its own
            continue
        # A bias is measured by its module: that of keys without rotary positions has no gradient but rounding.
        module, _, _ = key.rpartition(".")
        family = [other for other in expected if other == key or (module and other.startswith(f"{module}."))]
        scale = max(float(expected[other].abs().max()) for other in family)
        assert float((gradient - expected[key]).abs().max()) <= LIMIT * scale, key
