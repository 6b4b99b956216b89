"""The processors of directories for transformers give what those of packages give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graphvlm.rendering import render_hub

from ..packages import lint
from .loading import graph, processor_of
from .test_images import SIZES, given, picture
from .test_images import words as words_of
from .test_sounds import sound
from .test_sounds import tokenizer as heard_by

SEEN = ("internvl3_8b", "idefics3_8b_llama3", "llava_onevision_qwen2_7b", "mistral_small_3_1_24b", "qwen2_5_vl_7b")
HEARD = ("audio_flamingo_3", "qwen2_audio_7b", "voxtral_mini_3b")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_modules")]


def directory(name: str, words: Any, folder: Path) -> Any:
    """The processor of a directory without weights, as transformers loads it."""
    from transformers import AutoProcessor

    folder.mkdir()
    for file, text in render_hub(graph(name)).items():
        if "process" in file or "tokens" in file:
            (folder / file).write_text(text)
    words.save_pretrained(folder)
    return AutoProcessor.from_pretrained(folder, trust_remote_code=True)


@pytest.mark.parametrize("name", SEEN)
def test_images_are_those_of_the_package(name: str, tmp_path: Path) -> None:
    words = words_of(name)
    mark = given(name).prompt.token
    texts = [f"a {mark} b", f"{mark}c{mark}"]
    images = [[picture(*SIZES[0])], [picture(*SIZES[1]), picture(*SIZES[3])]]
    ours = processor_of(name, tmp_path).Processor(words)(texts, images)
    made = directory(name, words, tmp_path / "directory")
    theirs = made(images=images, text=texts, padding=True, padding_side="left", return_tensors="pt")
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
    with pytest.raises(ValueError, match=r"request 1 has 1 images, and .* 2 times"):
        made(images=[images[0], images[0]], text=texts)


@pytest.mark.parametrize("name", HEARD)
def test_sounds_are_those_of_the_package(name: str, tmp_path: Path) -> None:
    words = heard_by(name)
    prompt = graph(name).prompt.sound
    assert prompt is not None
    texts, sounds = [f"a {prompt.token}", f"{prompt.token}b"], [sound(7003), sound(490111)]
    ours = processor_of(name, tmp_path).Processor(words)(texts, [[each] for each in sounds])
    made = directory(name, words, tmp_path / "directory")
    theirs = made(audio=sounds, text=texts, padding=True, padding_side="left", return_tensors="pt")
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
    counts = made._get_num_multimodal_tokens(audio_lengths=[7003, 490111]).num_audio_tokens
    assert sum(counts) == int((ours["input_ids"] == made.audio_token_id).sum())


def test_their_pages_are_laid_out(tmp_path: Path) -> None:
    for name in (*SEEN, *HEARD):
        for file, text in render_hub(graph(name)).items():
            if file.startswith(("processing_", "tokens_")):
                (tmp_path / file).write_text(text)
    assert lint(tmp_path) == ""
