"""Greedy generation against the reference, token for token, with the key-value cache of both."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

from .families import FAMILIES
from .multimodal import MULTIMODAL
from .reference import TEXT_CASES, Padding, Reference

pytestmark = pytest.mark.slow

NEW = 20


def generate(package: Any, model: Any, inputs: dict[str, torch.Tensor], **settings: Any) -> torch.Tensor:
    made = import_module(f"{package.__name__}.generate").generate(model, **inputs, max_new_tokens=NEW, **settings)
    assert isinstance(made, torch.Tensor)
    return made


@pytest.mark.parametrize("padding", ["none", "left"])
@pytest.mark.parametrize("name", [*TEXT_CASES, *MULTIMODAL, *FAMILIES])
def test_greedy_tokens(
    name: str,
    padding: Padding,
    reference: Callable[[str], Reference],
    package: Callable[[str], Any],
    ours: Callable[[str], Any],
) -> None:
    inputs = reference(name).inputs(padding)
    expected = reference(name).fresh().generate(**reference(name).theirs(inputs), max_new_tokens=NEW, do_sample=False)
    assert torch.equal(generate(package(name), ours(name), inputs), expected)


@pytest.mark.parametrize("name", ["qwen2_mixed", "siglip_mistral"])
def test_stop_tokens(
    name: str, reference: Callable[[str], Reference], package: Callable[[str], Any], ours: Callable[[str], Any]
) -> None:
    """Each row ends with the first stop token that the reference makes there; what stands behind it is padding."""
    inputs = reference(name).inputs("left")
    free = reference(name).fresh().generate(**inputs, max_new_tokens=NEW, do_sample=False)
    start = inputs["input_ids"].shape[1]
    stops = [int(free[0, start + 3]), int(free[1, start + 6])]
    settings = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": stops, "pad_token_id": 0}
    expected = reference(name).fresh().generate(**inputs, **settings)
    made = generate(package(name), ours(name), inputs, eos_token_id=stops)
    for ours_row, row in zip(made, expected, strict=True):
        ends = [place for place in range(start, len(row)) if int(row[place]) in stops][:1]
        end = ends[0] + 1 if ends else len(row)
        assert torch.equal(ours_row[:end], row[:end])
