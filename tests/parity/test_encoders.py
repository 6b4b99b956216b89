"""Encoders of text against the reference: everything that they give, checkpoints, one graph when compiled."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from safetensors.torch import load_file

from .agreement import LIMIT, attended, relative_error
from .encoders import ENCODERS, GENERATING
from .reference import Padding, Reference

pytestmark = pytest.mark.slow

NEW = 12


def outputs(reference: Reference, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the reference makes of inputs, under our names."""
    case = ENCODERS[reference.name]
    with torch.no_grad():
        made = reference.fresh()(**case.reference(inputs))
    return {name: getattr(made, theirs) for name, theirs in case.theirs.items()}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def greedy(reference: Reference, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The prompt and the likeliest tokens after it, all computed anew for each.

    (`generate` of the reference makes a cache that its own cross-attention cannot use.)
    """
    inputs = dict(inputs)
    for _ in range(NEW):
        token = outputs(reference, inputs)["logits"][:, -1:].argmax(dim=-1)
        inputs["input_ids"] = torch.cat((inputs["input_ids"], token), dim=1)
        inputs["attention_mask"] = torch.cat((inputs["attention_mask"], torch.ones_like(token)), dim=1)
    return inputs["input_ids"]


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("name", ENCODERS)
def test_outputs(
    name: str, padding: Padding, reference: Callable[[str], Reference], ours: Callable[[str], Any]
) -> None:
    inputs = ENCODERS[name].inputs(padding, generator())
    expected = outputs(reference(name), inputs)
    with torch.no_grad():
        made = ours(name)(**inputs)
    assert set(made._fields) == set(expected)
    seen = attended(inputs)
    for field, tensor in expected.items():
        # padding on the left makes the first token of a row one that nobody sees: its vector is of no use
        rows = seen[:, 0] if field == "pooled" else seen
        assert relative_error(getattr(made, field)[rows], tensor[rows]) <= LIMIT


@pytest.mark.parametrize("name", ENCODERS)
def test_outputs_without_masks_and_types(
    name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any]
) -> None:
    inputs = ENCODERS[name].inputs("none", generator())
    inputs = {key: tensor for key, tensor in inputs.items() if "mask" not in key and "types" not in key}
    expected = outputs(reference(name), inputs)
    with torch.no_grad():
        made = ours(name)(**inputs)
    assert all(relative_error(getattr(made, field), tensor) <= LIMIT for field, tensor in expected.items())


@pytest.mark.parametrize("padding", ["none", "left"])
@pytest.mark.parametrize("name", GENERATING)
def test_greedy_tokens(
    name: str,
    padding: Padding,
    reference: Callable[[str], Reference],
    package: Callable[[str], Any],
    ours: Callable[[str], Any],
) -> None:
    inputs = ENCODERS[name].inputs(padding, generator())
    inputs.pop("token_type_ids", None)
    expected = greedy(reference(name), inputs)
    generate = import_module(f"{package(name).__name__}.generate").generate
    made = generate(ours(name), **inputs, max_new_tokens=NEW)
    assert torch.equal(made, expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_saved_is_the_checkpoint(
    name: str,
    reference: Callable[[str], Reference],
    ours: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    """Bit by bit, but for a second bias of a head that is not tied, which no output depends on."""
    ours(name).save_pretrained(tmp_path)
    saved, expected = (load_file(place / "model.safetensors") for place in (tmp_path, reference(name).directory))
    assert [key for key in saved if not torch.equal(saved[key], expected[key])] == []
    assert expected.keys() - saved.keys() == ({"cls.predictions.bias"} if name == "bert_untied" else set())


@pytest.mark.parametrize("name", ENCODERS)
def test_one_graph_when_compiled(name: str, ours: Callable[[str], Any]) -> None:
    inputs = ENCODERS[name].inputs("left", generator())
    compiled: Any = torch.compile(ours(name), fullgraph=True, backend="eager")
    with torch.no_grad():
        made, expected = compiled(**inputs), ours(name)(**inputs)
    assert all(torch.allclose(left, right, atol=1e-5) for left, right in zip(made, expected, strict=True))
