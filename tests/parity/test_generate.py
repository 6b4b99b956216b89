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
from .reference import IMAGE_TOKEN, TEXT_CASES, Padding, Reference, pad

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


@pytest.mark.parametrize(
    "options", [{"repetition_penalty": 1.3}, {"repetition_penalty": 0.8}, {"no_repeat_ngram_size": 2}]
)
@pytest.mark.parametrize("name", ["qwen2_mixed", "siglip_mistral"])
def test_tokens_that_are_there_count(
    name: str,
    options: dict[str, Any],
    reference: Callable[[str], Reference],
    package: Callable[[str], Any],
    ours: Callable[[str], Any],
) -> None:
    """Padding on the left is not there."""
    inputs = reference(name).inputs("left")
    settings = {"max_new_tokens": NEW, "do_sample": False}
    expected = reference(name).fresh().generate(**inputs, **settings, **options)
    assert not torch.equal(expected, reference(name).fresh().generate(**inputs, **settings))
    assert torch.equal(generate(package(name), ours(name), inputs, **options), expected)


def test_rows_end_after_the_least_number_of_tokens(
    reference: Callable[[str], Reference], package: Callable[[str], Any], ours: Callable[[str], Any]
) -> None:
    inputs = reference("llama").inputs("left")
    free = reference("llama").fresh().generate(**inputs, max_new_tokens=NEW, do_sample=False)
    settings = {"eos_token_id": int(free[0, -NEW]), "min_new_tokens": 6}
    expected = (
        reference("llama").fresh().generate(**inputs, **settings, max_new_tokens=NEW, do_sample=False, pad_token_id=0)
    )
    assert torch.equal(generate(package("llama"), ours("llama"), inputs, **settings), expected)


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", ["llama", "qwen2_mixed", "gemma2", "deepseek_v3", "qwen3_next", "llama4_text"])
def test_a_row_is_what_it_is_alone(
    name: str,
    padding: Padding,
    reference: Callable[[str], Reference],
    package: Callable[[str], Any],
    ours: Callable[[str], Any],
) -> None:
    """Requests of very different lengths, in a static cache and in pages; the reference generates each alone."""
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(3, IMAGE_TOKEN, (length,), generator=generator) for length in (29, 2, 11)]
    free = [alone(reference(name), row) for row in rows]
    stops = [int(free[0][5]), int(free[1][9])]
    ids, mask = pad(rows, padding)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "eos_token_id": stops}
    static = generate(package(name), ours(name), inputs)[:, ids.size(1) :]
    paged = generate(package(name), ours(name), inputs, page_size=4)[:, ids.size(1) :]
    for row, expected in zip([*static, *paged], [*free, *free], strict=True):
        ends = [place for place, token in enumerate(expected.tolist()) if token in stops][:1]
        end = ends[0] + 1 if ends else NEW
        assert torch.equal(row[:end], expected[:end])
        assert not row[end:].any()  # padding


def alone(reference: Reference, row: torch.Tensor) -> torch.Tensor:
    """What the reference adds to one prompt."""
    made = reference.fresh().generate(row[None], max_new_tokens=NEW, do_sample=False)
    assert isinstance(made, torch.Tensor)
    return made[0, len(row) :]


def test_criteria_of_the_reference(
    reference: Callable[[str], Reference], package: Callable[[str], Any], ours: Callable[[str], Any]
) -> None:
    """Its own stopping criteria and processors of logits can be given."""
    from transformers.generation import SuppressTokensLogitsProcessor
    from transformers.generation.stopping_criteria import EosTokenCriteria

    inputs = reference("llama").inputs("left")
    free = reference("llama").fresh().generate(**inputs, max_new_tokens=NEW, do_sample=False)
    hidden, stop = int(free[0, -NEW]), int(free[0, -1])
    given: dict[str, Any] = {
        "logits_processor": [SuppressTokensLogitsProcessor([hidden])],
        "stopping_criteria": [EosTokenCriteria(stop)],
    }
    settings = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    expected = reference("llama").fresh().generate(**inputs, **settings, **given)
    assert not torch.equal(free[:, : expected.size(1)], expected)
    assert torch.equal(generate(package("llama"), ours("llama"), inputs, **given), expected)


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
