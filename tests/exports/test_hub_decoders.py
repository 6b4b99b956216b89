"""The directory for transformers of decoders of several kinds: what caches keep, beams, what layers are told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graphvlm.exporters.hub import Exported, Options, export
from graphvlm.rendering import render_hub

from ..packages import lint
from . import contract
from .directories import golden, loaded, tiny

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "own_modules")]

# Layers that attend to images beside their tokens, or instead of them; states in place of keys and values; indexers.
USUAL = ("gated_cross", "linear_hybrid")
LONG = ("mllama_11b", "qwen3_next_80b_a3b", "minimax_text_01", "qwen3_5_9b", "deepseek_v3_2", "glm_5_2")
KINDS = (*USUAL, *(pytest.param(name, marks=pytest.mark.long) for name in LONG))


@pytest.mark.parametrize("name", KINDS)
def test_a_process_without_graphvlm_gives_what_the_package_gives(made: Callable[[str], Exported], name: str) -> None:
    found = made(name).checked
    assert found is not None
    assert found.difference <= 1e-5
    assert found.same
    assert found.tokens >= 2


@pytest.mark.parametrize("name", KINDS)
def test_every_clause_of_the_contract(made: Callable[[str], Exported], name: str) -> None:
    assert contract.broken(contract.Directory(made(name).folder)) == {}


@pytest.mark.parametrize("name", [*USUAL, *LONG])
def test_the_code_is_laid_out(name: str, tmp_path: Path) -> None:
    for file, text in render_hub(golden(name)).items():
        (tmp_path / file).write_text(text)
    said = [line for line in lint(tmp_path).splitlines() if "RUF012" not in line]
    assert [line for line in said if not line.startswith("Found ")] == []


def crossed() -> dict[str, Any]:
    """Two texts, the first padded on its left, each with two images of two tiles, of which tokens see some."""
    torch.manual_seed(0)
    ids = torch.randint(3, 97, (2, 6))
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    seen = torch.randint(0, 2, (2, 6, 2, 2))
    seen[:, -1] = torch.tensor([[1, 0], [1, 1]])
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.randn(2, 2, 2, 3, 21, 21),
        "aspect_ratios": torch.tensor([[[1, 1], [1, 2]], [[1, 2], [1, 1]]]),
        "cross_attention_mask": seen,
    }


def test_what_layers_attend_to_is_kept(made: Callable[[str], Exported]) -> None:
    """Greedy text and beams are those of whole forwards without a cache, in which tokens see what the last one saw."""
    model, given = loaded(made("gated_cross").folder), crossed()
    ids, mask, seen = given["input_ids"], given["attention_mask"], given["cross_attention_mask"]
    with torch.no_grad():
        for _ in range(4):
            rest = {**given, "input_ids": ids, "attention_mask": mask, "cross_attention_mask": seen}
            following = model(**rest, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
            ids, mask = torch.cat((ids, following), dim=1), torch.nn.functional.pad(mask, (0, 1), value=1)
            seen = torch.cat((seen, seen[:, -1:]), dim=1)
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    assert torch.equal(model.generate(**given, **options), ids)
    assert torch.equal(model.generate(**given, **options, cache_implementation="static"), ids)
    assert torch.equal(model.generate(**given, **options, use_cache=False), ids)
    beams = model.generate(**given, **options, num_beams=2)
    assert torch.equal(model.generate(**given, **options, num_beams=2, use_cache=False), beams)
    blind = given | {"pixel_values": given["pixel_values"] + 1}
    with torch.no_grad():
        assert not torch.equal(model(**blind).logits, model(**given).logits)


def test_what_comes_in_is_scaled(own_cache: None, tmp_path: Path) -> None:
    del own_cache
    found = export(tiny(["nodes.llm.input_scale=1.5"]), tmp_path / "x", Options(), lambda _: None).checked
    assert found is not None
    assert found.difference <= 1e-5
    assert found.same


def test_texts_without_images_need_none(made: Callable[[str], Exported]) -> None:
    model = loaded(made("gated_cross").folder)
    given = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    made_of = model.generate(**given, max_new_tokens=3, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert made_of.shape == (1, 6)


def in_double(folder: Path, place: Path) -> Any:
    """A model that computes nothing in float32: vectors of length one made of tiny ones magnify roundings."""
    shutil.copytree(folder, place)
    for file in place.glob("*.py"):
        file.write_text(file.read_text().replace(".float()", ".double()"))
    model = loaded(place, "AutoModelForCausalLM").double()
    model.set_experts_implementation("eager")  # the kernels of transformers have no double precision
    return model


def test_states_go_on_from_where_they_are(made: Callable[[str], Exported], tmp_path: Path) -> None:
    """One token at a time, several at once, beams and a static cache: all are as a forward of the whole is.

    Of the layers some keep states of two kinds, one the keys that it chooses by, and one goes by its choice.
    """
    model = in_double(made("linear_hybrid").folder, tmp_path / "double")
    torch.manual_seed(0)
    ids = torch.randint(3, 90, (2, 24))  # more than are chosen
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    with torch.no_grad():
        whole = model(ids, attention_mask=mask, use_cache=False).logits
        first = model(ids[:, :4], attention_mask=mask[:, :4], use_cache=True)
        cache, found = first.past_key_values, [first.logits]
        for start, end in ((4, 5), (5, 23), (23, 24)):
            made_of = model(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache)
            found.append(made_of.logits)
    torch.testing.assert_close(torch.cat(found, dim=1)[mask.bool()], whole[mask.bool()], rtol=1e-9, atol=1e-9)
    options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0, "attention_mask": mask}
    greedy = model.generate(ids, **options)
    assert torch.equal(model.generate(ids, **options, use_cache=False), greedy)
    assert torch.equal(model.generate(ids, **options, cache_implementation="static"), greedy)
    beams = model.generate(ids, **options, num_beams=2)
    assert torch.equal(model.generate(ids, **options, num_beams=2, use_cache=False), beams)
