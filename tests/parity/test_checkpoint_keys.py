"""Keys and shapes of checkpoints: every spelling that the reference reads, what we write, the full sizes on meta."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.core_model_loading import revert_weight_conversion

from .multimodal import MULTIMODAL
from .reference import TEXT_CASES, Reference

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WEIGHTS = "model.safetensors"


def in_memory(key: str) -> str:
    """A key of a LLaVA file as transformers 5 holds it."""
    if key.startswith("language_model.lm_head."):
        return key.removeprefix("language_model.")
    return "model." + key.replace("language_model.model.", "language_model.")


def nested(key: str) -> str:
    """A key as transformers 4 wrote the tower."""
    return key.replace("vision_tower.", "vision_tower.vision_model.")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "files of version 4": nested,
    "memory of version 5": in_memory,
    "both": lambda key: nested(in_memory(key)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["clip_llama", "siglip_qwen2"])
def test_spellings(
    name: str, spelling: str, reference: Callable[[str], Reference], package: Callable[[str], Any], tmp_path: Path
) -> None:
    """Every spelling that the reference loads, loads the same weights here."""
    source = reference(name).directory
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    weights = load_file(source / WEIGHTS)
    save_file({SPELLINGS[spelling](key): tensor for key, tensor in weights.items()}, tmp_path / WEIGHTS)
    expected = package(name).from_pretrained(source).state_dict()
    loaded = package(name).from_pretrained(tmp_path).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in expected.items())


@pytest.mark.parametrize("name", [name for name in MULTIMODAL if "moe" not in name])  # whose experts are joined there
def test_names_in_memory(
    name: str, reference: Callable[[str], Reference], package: Callable[[str], Any], tmp_path: Path
) -> None:
    """The names that the modules of the reference have load too: whoever saves a state dict writes these."""
    save_file({key: tensor.clone() for key, tensor in reference(name).model.state_dict().items()}, tmp_path / WEIGHTS)
    expected = package(name).from_pretrained(reference(name).directory).state_dict()
    loaded = package(name).from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in expected.items())


@pytest.mark.parametrize("name", [*TEXT_CASES, *MULTIMODAL])
def test_what_is_saved_was_there(
    name: str, reference: Callable[[str], Reference], package: Callable[[str], Any], tmp_path: Path
) -> None:
    """Saving writes the keys and the numbers that were read; what it leaves out is named as unused."""
    checkpoint = import_module(f"{package(name).__name__}.checkpoint")
    theirs = load_file(reference(name).directory / WEIGHTS)
    checkpoint.save_pretrained(package(name).from_pretrained(reference(name).directory), tmp_path)
    saved = load_file(tmp_path / WEIGHTS)
    assert saved.keys() <= theirs.keys()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in saved.items())
    assert unnamed(checkpoint, theirs.keys() - saved.keys()) == set()


def test_saved_weights_load_in_the_reference(
    reference: Callable[[str], Reference], package: Callable[[str], Any], tmp_path: Path
) -> None:
    name = "siglip_qwen3"
    checkpoint = import_module(f"{package(name).__name__}.checkpoint")
    checkpoint.save_pretrained(package(name).from_pretrained(reference(name).directory), tmp_path)
    shutil.copy(reference(name).directory / "config.json", tmp_path)
    _, report = LlavaForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert unnamed(checkpoint, {key.removeprefix("model.") for key in report["missing_keys"]}) == set()


@pytest.mark.parametrize(("size", "sizes"), [("7b", (4096, 11008, 32, 32)), ("13b", (5120, 13824, 40, 40))])
def test_full_size(size: str, sizes: tuple[int, int, int, int]) -> None:
    """Both directions: our keys are the reference's, of the same shapes; its keys are ours, or named as unused."""
    import graphvlm

    package = graphvlm.compile(ROOT / "graphs" / f"llava_1_5_{size}.yaml")
    checkpoint = import_module(f"{package.__name__}.checkpoint")
    dim, hidden, layers, heads = sizes
    text = LlamaConfig(
        vocab_size=32064,
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    )
    with torch.device("meta"):
        theirs = LlavaForConditionalGeneration(LlavaConfig(text_config=text))
        model = package.Model()
    files = revert_weight_conversion(theirs, theirs.state_dict())
    expected = {key: tuple(tensor.shape) for key, tensor in files.items()}
    made = {key: tuple(tensor.shape) for key, tensor in checkpoint.references(model)}
    assert {key: shape for key, shape in made.items() if expected.get(key) != shape} == {}
    left_out = expected.keys() - made.keys()
    assert unnamed(checkpoint, left_out) == set()
    dead = sum(files[key].numel() for key in left_out)
    assert dead == 12_598_272  # the last layer of the tower and its final norm
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in theirs.parameters()) - dead


def unnamed(checkpoint: Any, keys: set[str]) -> set[str]:
    """Keys that the package neither has nor says that nothing depends on."""
    patterns = getattr(checkpoint, "UNUSED", ())
    return {key for key in keys if not any(fnmatchcase(key, pattern) for pattern in patterns)}
