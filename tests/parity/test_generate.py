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


def test_a_token_without_a_score_is_not_penalised(package: Callable[[str], Any]) -> None:
    penalise = import_module(f"{package('qwen2_mixed').__name__}.generate").penalise
    made = penalise(torch.tensor([[2.0, -2.0, 4.0]]), torch.tensor([[3, 1, 7, 1, 2, 900]]), 2.0)
    assert torch.equal(made, torch.tensor([[2.0, -4.0, 2.0]]))


@pytest.mark.parametrize("penalty", [1.3, 0.8])
@pytest.mark.parametrize("name", ["qwen2_mixed", "siglip_mistral"])
def test_tokens_that_are_there_are_penalised(
    name: str,
    penalty: float,
    reference: Callable[[str], Reference],
    package: Callable[[str], Any],
    ours: Callable[[str], Any],
) -> None:
    inputs = reference(name).inputs("none")
    settings = {"max_new_tokens": NEW, "do_sample": False}
    expected = reference(name).fresh().generate(**inputs, **settings, repetition_penalty=penalty)
    assert not torch.equal(expected, reference(name).fresh().generate(**inputs, **settings))
    assert torch.equal(generate(package(name), ours(name), inputs, repetition_penalty=penalty), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 7},
        {"top_p": 0.6},
        {"min_p": 0.2},
        {"top_k": 20, "top_p": 0.9, "min_p": 0.05, "temperature": 0.7},
        {"top_p": 1e-9},
        {"min_p": 1.0},
    ],
    ids=str,
)
def test_what_tokens_are_drawn_from(
    options: dict[str, Any], package: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probabilities that the reference's own processors leave."""
    from transformers.generation import logits_process

    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * 3
    temperature = options.get("temperature", 1.3)
    expected = logits_process.TemperatureLogitsWarper(temperature)(None, logits)
    for name, warper in (("top_k", "TopKLogitsWarper"), ("top_p", "TopPLogitsWarper"), ("min_p", "MinPLogitsWarper")):
        if name in options:
            expected = getattr(logits_process, warper)(options[name])(None, expected)
    drawn_from: list[torch.Tensor] = []

    def draw(shares: torch.Tensor, count: int, generator: object) -> torch.Tensor:
        drawn_from.append(shares)
        return shares[:, :count].long()

    monkeypatch.setattr(torch, "multinomial", draw)
    sample = import_module(f"{package('qwen2_mixed').__name__}.generate").sample
    given = {name: options.get(name) for name in ("top_k", "top_p", "min_p")}
    sample(logits, temperature, **given, generator=None)
    torch.testing.assert_close(drawn_from[0], expected.softmax(dim=-1))


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
