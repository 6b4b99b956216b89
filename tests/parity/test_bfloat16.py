"""bfloat16: no further from the float32 result than the reference's own two attention implementations are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from torch import Tensor

from .agreement import attended, to_bfloat16
from .reference import Reference
from .test_gradients import BLOCKS, one_of_each_type

pytestmark = pytest.mark.slow

LUCK = 1.25  # two roundings of one computation differ by a few per cent in this mean; a wrong cast costs a multiple
# Models with routers: a rounding can choose another expert for a token, which costs either side that row.
_ROUTER = ".router."


def distance(logits: Tensor, exact: Tensor, routed: bool) -> float:
    """The root of the mean square over all rows, or that of the row in the middle."""
    rows = (logits - exact).float().square().mean(dim=-1)
    return float((rows.median() if routed else rows.mean()).sqrt())


def references(case: Reference, inputs: dict[str, Tensor]) -> Iterator[Tensor]:
    """The logits of the reference in bfloat16, with each attention implementation that its class has."""
    for kind in ("eager", "sdpa"):
        try:
            model = case.fresh(kind, torch.bfloat16)
        except ValueError:  # sinks and softcaps are not in sdpa
            continue
        if hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")  # the others want widths that are multiples of eight
        with torch.no_grad():
            yield model(**case.theirs(inputs)).logits


@pytest.mark.parametrize("name", [*one_of_each_type(), "clip_llama", "siglip_qwen3", *BLOCKS, "mistral", "mixtral"])
def test_bfloat16(name: str, reference: Callable[[str], Reference], package: Callable[[str], Any]) -> None:
    case = reference(name)
    inputs = case.inputs("left")
    halved, seen = to_bfloat16(inputs), attended(inputs)
    model = package(name).from_pretrained(case.directory, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        logits = model(**halved).logits
    assert logits.dtype == torch.bfloat16
    exact = case.logits(inputs)[seen]
    routed = any(_ROUTER in key for key in model.state_dict())
    theirs = [distance(other[seen], exact, routed) for other in references(case, halved)]
    assert distance(logits[seen], exact, routed) <= LUCK * max(theirs)
