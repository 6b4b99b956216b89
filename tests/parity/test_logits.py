"""Logits of generated packages against the reference in float32: every case, every way to pad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

from .agreement import LIMIT, attended, relative_error
from .families import FAMILIES
from .multimodal import MULTIMODAL
from .reference import TEXT_CASES, Padding, Reference

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("name", [*TEXT_CASES, *MULTIMODAL, *FAMILIES])
def test_logits(name: str, padding: Padding, reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    inputs = reference(name).inputs(padding)
    expected = reference(name).logits(inputs)
    with torch.no_grad():
        logits = ours(name)(**inputs).logits
    seen = attended(inputs)
    assert relative_error(logits[seen], expected[seen]) <= LIMIT


@pytest.mark.parametrize("name", [*TEXT_CASES, *MULTIMODAL])
def test_logits_without_a_mask(name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    inputs = reference(name).inputs("none")
    del inputs["attention_mask"]
    expected = reference(name).logits(inputs)
    with torch.no_grad():
        assert relative_error(ours(name)(**inputs).logits, expected) <= LIMIT


@pytest.mark.parametrize("name", MULTIMODAL)
def test_text_without_images(name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    ids = torch.arange(3, 25).reshape(2, 11)
    expected = reference(name).logits({"input_ids": ids})
    with torch.no_grad():
        assert relative_error(ours(name)(input_ids=ids).logits, expected) <= LIMIT


ALONE = [(name, kind) for name, case in MULTIMODAL.items() for kind in case.alone]


@pytest.mark.parametrize(("name", "kind"), ALONE)
def test_one_kind_of_input(
    name: str, kind: str, reference: Callable[[str], Reference], ours: Callable[[str], Any]
) -> None:
    """Images without videos, and videos without images."""
    config, generator = reference(name).model.config, torch.Generator().manual_seed(5)
    inputs = MULTIMODAL[name].alone[kind](config, "left", generator)
    expected = reference(name).logits(inputs)
    with torch.no_grad():
        logits = ours(name)(**inputs).logits
    seen = attended(inputs)
    assert relative_error(logits[seen], expected[seen]) <= LIMIT


def test_dynamic_positions_forget(reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    """A short sequence after a long one is as if it came first; the reference remembers the long one."""
    inputs = reference("llama_dynamic").inputs("none")
    short = {name: tensor[:, :18] for name, tensor in inputs.items()}
    with torch.no_grad():
        ours("llama_dynamic")(**inputs)
        after = ours("llama_dynamic")(**short).logits
        expected = reference("llama_dynamic").fresh()(**short).logits
    assert relative_error(after, expected) <= LIMIT
