"""Decoders of more families as settings of blocks: logits, greedy tokens, and checkpoints both ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from safetensors.torch import load_file

import graphvlm
from graphvlm.diagnostics import Source

from .agreement import LIMIT, attended, relative_error
from .families import FAMILIES
from .reference import Padding, Reference

pytestmark = pytest.mark.slow

NEW = 12


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    folder = tmp_path_factory.mktemp("families")
    return cache(lambda name: FAMILIES[name].reference(name, folder))


@pytest.fixture(scope="module")
def package() -> Callable[[str], Any]:
    """The package of the graph, as it stands in `families`."""
    return cache(lambda name: graphvlm.compile(Source(f"{name}.yaml", FAMILIES[name].graph(name))))


@pytest.fixture(scope="module")
def ours(reference: Callable[[str], Reference], package: Callable[[str], Any]) -> Callable[[str], Any]:
    return cache(lambda name: package(name).from_pretrained(reference(name).directory).eval())


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("name", FAMILIES)
def test_logits(name: str, padding: Padding, reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    inputs = reference(name).inputs(padding)
    with torch.no_grad():
        expected = reference(name).fresh()(**inputs).logits
        logits = ours(name)(**inputs).logits
    seen = attended(inputs)
    assert relative_error(logits[seen], expected[seen]) <= LIMIT


@pytest.mark.parametrize("padding", ["none", "left"])
@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_tokens(
    name: str,
    padding: Padding,
    reference: Callable[[str], Reference],
    package: Callable[[str], Any],
    ours: Callable[[str], Any],
) -> None:
    inputs = reference(name).inputs(padding)
    expected = reference(name).fresh().generate(**inputs, max_new_tokens=NEW, do_sample=False)
    generate = import_module(f"{package(name).__name__}.generate").generate
    assert torch.equal(generate(ours(name), **inputs, max_new_tokens=NEW), expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_saved_is_the_checkpoint(
    name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any], tmp_path: Path
) -> None:
    ours(name).save_pretrained(tmp_path)
    saved, expected = (
        load_file(tmp_path / "model.safetensors"),
        load_file(reference(name).directory / "model.safetensors"),
    )
    assert saved.keys() == expected.keys()
    assert [key for key in saved if not torch.equal(saved[key], expected[key])] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_one_graph_when_compiled(name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    inputs = reference(name).inputs("left")
    with torch.no_grad():
        expected = ours(name)(**inputs).logits
        compiled: Any = torch.compile(ours(name), fullgraph=True, backend="eager")
        made = compiled(**inputs).logits
    seen = attended(inputs)
    assert relative_error(made[seen], expected[seen]) <= LIMIT
