"""What checkpoints and blocks of more families ask besides equal logits and tokens."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from safetensors.torch import load_file

import graphvlm
from graphvlm.diagnostics import Source
from graphvlm.importers import import_config

from .agreement import LIMIT, attended, relative_error
from .families import FAMILIES
from .multimodal import MULTIMODAL
from .multimodal.llava import CASES as LLAVA_CASES
from .reference import VOCAB, Reference

pytestmark = pytest.mark.slow

IMPORTED = ("mixtral", "qwen2_moe_dense_window", "qwen3_moe", "olmo2", "gemma", "gemma2")
COMPILED = [*FAMILIES, *IMPORTED, *(name for name in MULTIMODAL if name not in LLAVA_CASES)]
LINEAR = ("qwen3_next", "qwen3_5_text")
JOINED = ("phi3", "glm4", "gpt_neox")


def check_saved(model: Any, reference: Reference, folder: Path, unused: tuple[str, ...] = ()) -> None:
    """What a model writes is the checkpoint of the reference, bit by bit, but for keys that are of no use to it."""
    model.save_pretrained(folder)
    saved, expected = (load_file(place / "model.safetensors") for place in (folder, reference.directory))
    expected = {key: tensor for key, tensor in expected.items() if not any(fnmatchcase(key, each) for each in unused)}
    assert saved.keys() == expected.keys()
    assert [key for key in saved if not torch.equal(saved[key], expected[key])] == []


@pytest.mark.parametrize("name", [*FAMILIES, *IMPORTED])
def test_what_is_saved_is_the_checkpoint(
    name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any], tmp_path: Path
) -> None:
    check_saved(ours(name), reference(name), tmp_path, TABLES.get(name, ()))


# What the reference keeps in its files though it is computed from the config.
TABLES = {"minimax": ("*.self_attn.*_decay", "*.self_attn.slope_rate")}


@pytest.mark.parametrize("name", JOINED)
def test_joined_matrices_load_into_parameters_of_their_own(
    name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any], tmp_path: Path
) -> None:
    """Where the package keeps apart what the reference joins."""
    source = Source(f"{name}.yaml", import_config(reference(name).directory))
    package: Any = graphvlm.compile(source, overrides=[f"name={name}_apart", "passes.merge_projections=false"])
    model, inputs = package.from_pretrained(reference(name).directory).eval(), reference(name).inputs("left")
    assert len(list(model.parameters())) > len(list(ours(name).parameters()))
    with torch.no_grad():
        made, expected = model(**inputs).logits, reference(name).logits(inputs)
    seen = attended(inputs)
    assert relative_error(made[seen], expected[seen]) <= LIMIT
    check_saved(model, reference(name), tmp_path)


@pytest.mark.parametrize("name", LINEAR)
def test_sequences_longer_than_a_chunk(
    name: str, reference: Callable[[str], Reference], package: Callable[[str], Any], ours: Callable[[str], Any]
) -> None:
    """Linear attention goes chunk by chunk through a prompt, and on from there token by token."""
    generator = torch.Generator().manual_seed(3)
    inputs = {
        "input_ids": torch.randint(3, VOCAB, (2, 150), generator=generator),
        "attention_mask": torch.ones(2, 150, dtype=torch.long),
    }
    inputs["attention_mask"][0, :70] = 0
    with torch.no_grad():
        made, expected = ours(name)(**inputs).logits, reference(name).logits(inputs)
    seen = attended(inputs)
    assert relative_error(made[seen], expected[seen]) <= LIMIT
    tokens = reference(name).fresh().generate(**inputs, max_new_tokens=8, do_sample=False)
    generate = import_module(f"{package(name).__name__}.generate").generate
    assert torch.equal(generate(ours(name), **inputs, max_new_tokens=8), tokens)


@pytest.mark.parametrize("name", COMPILED)
def test_one_graph_when_compiled(name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    inputs = reference(name).inputs("left")
    compiled: Any = torch.compile(ours(name), fullgraph=True, backend="eager")
    with torch.no_grad():
        made, expected = compiled(**inputs).logits, ours(name)(**inputs).logits
    seen = attended(inputs)
    assert relative_error(made[seen], expected[seen]) <= LIMIT
