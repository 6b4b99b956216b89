"""The directory for transformers of models that read several texts or kinds of tokens, and of positions by distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import graphvlm
from graphvlm.diagnostics import GraphError
from graphvlm.exporters.hub import Exported, Options, export
from graphvlm.exporters.hub.export import copy_processor
from graphvlm.rendering import render_hub

from ..packages import lint
from ..running import GRAPHS, shrinking
from . import contract
from .directories import golden, loaded

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "own_modules")]

# Also: an encoder of images that reads an instruction, in a vocabulary of its own; slopes for distances; a text that is
# written to another and images; experts of images.
LONG = ("instructblip_vicuna_7b", "mpt_7b", "instructblip_flan_t5_xl", "ernie_4_5_vl_28b_a3b", "kempnerforge_mot_7b")
KINDS = ("text_to_text", "marked_tokens", *(pytest.param(name, marks=pytest.mark.long) for name in LONG))


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


@pytest.mark.parametrize("name", ["text_to_text", "marked_tokens", *LONG])
def test_the_code_is_laid_out(name: str, tmp_path: Path) -> None:
    for file, text in render_hub(golden(name)).items():
        (tmp_path / file).write_text(text)
    said = [line for line in lint(tmp_path).splitlines() if "RUF012" not in line]
    assert [line for line in said if not line.startswith("Found ")] == []


def read() -> dict[str, torch.Tensor]:
    """Two texts to read, one of them padded, and what is written so far."""
    torch.manual_seed(0)
    ids, mask = torch.randint(3, 97, (2, 6)), torch.ones(2, 6, dtype=torch.long)
    mask[0, :2] = 0
    return {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": torch.tensor([[0, 5, 6], [0, 7, 8]])}


def test_what_was_read_is_kept(made: Callable[[str], Exported]) -> None:
    """Greedy text and beams with every cache are those of whole forwards without one."""
    model, given = loaded(made("text_to_text").folder, "AutoModelForSeq2SeqLM"), read()
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    whole = model.generate(**given, **options, use_cache=False)
    assert torch.equal(model.generate(**given, **options), whole)
    assert torch.equal(model.generate(**given, **options, cache_implementation="static"), whole)
    beams = model.generate(**given, **options, num_beams=2, use_cache=False)
    assert torch.equal(model.generate(**given, **options, num_beams=2), beams)
    alone = model.generate(input_ids=given["input_ids"], attention_mask=given["attention_mask"], **options)
    assert alone[:, 0].tolist() == [0, 0]


def test_labels_are_what_is_to_be_written(made: Callable[[str], Exported]) -> None:
    """The decoder reads them one later, and those that do not count as padding; both halves have one embedding."""
    model, given = loaded(made("text_to_text").folder, "AutoModelForSeq2SeqLM"), read()
    del given["decoder_input_ids"]
    labels = torch.tensor([[5, 6, 1], [7, 1, -100]])
    with torch.no_grad():
        loss = model(**given, labels=labels).loss
        logits = model(**given, decoder_input_ids=torch.tensor([[0, 5, 6], [0, 7, 1]])).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(loss, expected, rtol=0, atol=1e-6)
    assert model.model.encoder.embed_tokens.weight is model.get_input_embeddings().weight


def test_an_encoder_decoder_is_saved_and_loaded(made: Callable[[str], Exported], tmp_path: Path) -> None:
    model, given = loaded(made("text_to_text").folder, "AutoModelForSeq2SeqLM"), read()
    model.save_pretrained(tmp_path / "again")
    again = loaded(tmp_path / "again", "AutoModelForSeq2SeqLM")
    with torch.no_grad():
        assert torch.equal(again(**given).logits, model(**given).logits)


def test_texts_begin_with_a_token() -> None:
    graph = golden("text_to_text")
    silent = replace(graph, generation=replace(graph.generation, start=None, bos=None, pad=None))
    with pytest.raises(GraphError, match=r"texts that begin with no token: `generation.start_token_id` says which"):
        render_hub(silent)


def test_the_processor_makes_both_texts(tmp_path: Path) -> None:
    """One with the places of images, and one in the words of the encoder that reads it; texts are padded together."""
    from PIL import Image
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoProcessor, PreTrainedTokenizerFast

    def words(**numbers: int) -> PreTrainedTokenizerFast:
        made = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1} | numbers, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")

    name = "instructblip_vicuna_7b"
    overrides = (*shrinking(name), 'prompt.image.token="<image>"')
    graph = graphvlm.load(GRAPHS / f"{name}.yaml", overrides=overrides)
    folder, beside = tmp_path / "x", tmp_path / "weights"
    words(what=5, now=6, **{"<image>": 97}).save_pretrained(beside)
    words(what=8).save_pretrained(beside / "qformer_tokenizer")
    export(graph, folder, Options(verify=False), lambda _: None)
    copy_processor(beside, folder)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    image = Image.effect_noise((100, 80), 64).convert("RGB")
    texts = ["<image> what now", "<image> what"]
    # No space between the tokens of an image: this tokenizer has words alone.
    processor.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split("<image>", "isolated")
    batch = processor(images=[[image], [image]], text=texts, return_tensors="pt", padding=True)
    assert (batch["input_ids"] == 97).sum(dim=1).tolist() == [4, 4]
    assert batch["qformer_input_ids"].tolist() == [[8, 1], [8, 0]]
    assert batch["qformer_attention_mask"].tolist() == [[1, 1], [1, 0]]
    with torch.no_grad():
        made = loaded(folder)(**batch).logits
    assert made.shape[:2] == batch["input_ids"].shape
