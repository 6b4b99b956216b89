"""bfloat16: no further from the float32 result than the reference's own two attention implementations are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

from .agreement import attended, rms, to_bfloat16
from .reference import Reference

pytestmark = pytest.mark.slow

LUCK = 1.25  # two roundings of one computation differ by a few per cent in this mean; a wrong cast costs a multiple


@pytest.mark.parametrize(
    "name", ["clip_llama", "siglip_qwen3", "qwen2_mixed", "llama_yarn", "mistral", "mixtral", "olmo2"]
)
def test_bfloat16(name: str, reference: Callable[[str], Reference], package: Callable[[str], Any]) -> None:
    case = reference(name)
    inputs = case.inputs("left")
    halved = to_bfloat16(inputs)
    seen = attended(inputs)
    model = package(name).from_pretrained(case.directory, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        exact = case.fresh()(**inputs).logits[seen]
        theirs = [case.fresh(kind, torch.bfloat16)(**halved).logits[seen] for kind in ("eager", "sdpa")]
        logits = model(**halved).logits[seen]
    assert logits.dtype == torch.bfloat16
    assert rms(logits - exact) <= LUCK * max(rms(other - exact) for other in theirs)
