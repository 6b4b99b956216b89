"""Encoder-decoders of text against the reference: logits, greedy tokens with both caches, checkpoints, one graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

import graphvlm
from graphvlm.diagnostics import Source
from graphvlm.importers import import_config

from .agreement import LIMIT, relative_error
from .encoder_decoders import CASES, SIZES, as_queries_start, inputs
from .reference import Padding, Reference, saved
from .test_families import check_saved

pytestmark = pytest.mark.slow

NEW = 14


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Reference, Any, Any]]:
    """The reference of a case, the package made of its config, and the model of that with its weights."""
    folder = tmp_path_factory.mktemp("encoder_decoders")
    found: dict[str, tuple[Reference, Any, Any]] = {}

    def make(name: str) -> tuple[Reference, Any, Any]:
        if name not in found:
            reference = saved(name, CASES[name](), folder)
            as_queries_start(reference)
            if name == "t5_untied":  # what the class writes is always true; published files say what they hold
                path = reference.directory / "config.json"
                path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": False}))
            source = Source(f"{name}.yaml", import_config(reference.directory))
            package: Any = graphvlm.compile(source, overrides=[f"name={name}"])
            found[name] = reference, package, package.from_pretrained(reference.directory).eval()
        return found[name]

    return make


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("name", CASES)
def test_logits(name: str, padding: Padding, made: Callable[[str], Any]) -> None:
    reference, _, ours = made(name)
    given = inputs(padding, name)
    seen = given["decoder_attention_mask"].bool()
    with torch.no_grad():
        expected, logits = reference.fresh()(**given).logits, ours(**given).logits
    assert relative_error(logits[seen], expected[seen]) <= LIMIT


@pytest.mark.parametrize("name", CASES)
def test_logits_without_masks(name: str, made: Callable[[str], Any]) -> None:
    reference, _, ours = made(name)
    given = {key: tensor for key, tensor in inputs("none", name).items() if "mask" not in key}
    with torch.no_grad():
        assert relative_error(ours(**given).logits, reference.fresh()(**given).logits) <= LIMIT
        ids = given.pop("decoder_input_ids")
        (stage,) = (found for found in dir(ours) if found.startswith("encode_"))
        features = stage.replace("encode_", "") + "_features"
        again = ours(decoder_input_ids=ids, **{features: getattr(ours, stage)(**given)}).logits
        assert torch.equal(again, ours(decoder_input_ids=ids, **given).logits)


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", CASES)
def test_greedy_tokens(name: str, padding: Padding, made: Callable[[str], Any]) -> None:
    """The text is encoded once; without a prompt the decoder begins with its first token."""
    reference, package, ours = made(name)
    given = {key: tensor for key, tensor in inputs(padding, name).items() if "decoder" not in key}
    expected = reference.fresh().generate(**given, max_new_tokens=NEW, do_sample=False)
    generate = import_module(f"{package.__name__}.generate").generate
    assert torch.equal(generate(ours, **given, max_new_tokens=NEW), expected)


@pytest.mark.parametrize("name", ["t5"])
def test_greedy_tokens_after_a_prompt(name: str, made: Callable[[str], Any]) -> None:
    reference, package, ours = made(name)
    given = inputs("none", name)
    given["decoder_input_ids"][:, 0] = SIZES["decoder_start_token_id"]  # else the reference puts it before
    expected = reference.fresh().generate(**given, max_new_tokens=NEW, do_sample=False)
    generate = import_module(f"{package.__name__}.generate").generate
    assert torch.equal(generate(ours, **given, max_new_tokens=NEW), expected)


@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_is_the_checkpoint(name: str, made: Callable[[str], Any], tmp_path: Path) -> None:
    reference, package, ours = made(name)
    check_saved(
        ours, reference, tmp_path, tuple(getattr(import_module(f"{package.__name__}.checkpoint"), "UNUSED", ()))
    )


@pytest.mark.parametrize("name", CASES)
def test_one_graph_when_compiled(name: str, made: Callable[[str], Any]) -> None:
    _, _, ours = made(name)
    given = inputs("left", name)
    compiled: Any = torch.compile(ours, fullgraph=True, backend="eager")
    seen = given["decoder_attention_mask"].bool()
    with torch.no_grad():
        assert relative_error(compiled(**given).logits[seen], ours(**given).logits[seen]) <= LIMIT
