"""Prompts with sounds against the processors of transformers: tokens, counts and spectrograms of odd lengths."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from transformers import VoxtralConfig, WhisperFeatureExtractor

import graphvlm
from graphvlm.counting import sound_counter
from graphvlm.diagnostics import GraphError
from graphvlm.prompts import sounds

from .families import processor
from .loading import ROOT, graph, processor_of
from .tokenizing import bytes_and

PROCESSORS = {
    "qwen2_audio_7b": ("qwen2_audio", "Qwen2AudioProcessor"),
    "audio_flamingo_3": ("audioflamingo3", "AudioFlamingo3Processor"),
}


def tokenizer(name: str) -> Any:
    heard = sounds(graph(name))
    assert heard is not None
    return bytes_and([heard.prompt.token], {heard.prompt.token: heard.token_id})


def extractor() -> Any:
    return WhisperFeatureExtractor(feature_size=128)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModuleType]:
    return cache(lambda name: processor_of(name, tmp_path_factory.mktemp(name)))


def sound(samples: int) -> Any:
    return np.random.default_rng(samples).standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_processor_is_that_of_transformers(name: str, module: Callable[[str], ModuleType]) -> None:
    """Requests with one sound, one of which is longer than a clip: ids, masks and spectrograms."""
    heard = sounds(graph(name))
    assert heard is not None
    mark, words = heard.prompt.token, tokenizer(name)
    texts, given = [f"what {mark}", f"{mark}, and more"], [sound(7003), sound(490111)]
    ours = module(name).Processor(words)(texts, [[each] for each in given])
    theirs = processor(*PROCESSORS[name])(extractor(), words)(
        text=texts, audio=given, return_tensors="pt", padding=True, padding_side="left", sampling_rate=16000
    )
    assert {*ours} == {*theirs}
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_numbers_are_those_of_transformers(name: str) -> None:
    """Of hundreds of lengths: the mask that the spectrogram of so many samples has, counted as theirs."""
    draw, count = random.Random(0), sound_counter(graph(name))
    assert count is not None
    apart = name == "audio_flamingo_3"
    most = 9600000 if apart else 480000
    for samples in [*(draw.randrange(640, 2 * most) for _ in range(300)), 480000, 480001, 960000, 641]:
        frames = -(-min(samples, most) // 160)
        assert count(samples / 16000) == ((frames - 1) // 2 + 1 - 2) // 2 + 1, samples


def test_sounds_of_several_clips_have_one_spectrogram(module: Callable[[str], ModuleType]) -> None:
    """Their tokenizer is not installed: its spectrograms, and as many tokens as theirs gives features for a clip."""
    name = "voxtral_mini_3b"
    words, given = tokenizer(name), [sound(20011), sound(490111)]
    ours = module(name).Processor(words)(["[AUDIO] a", "b [AUDIO]"], [[given[0]], [given[1]]])
    theirs = processor("voxtral", "VoxtralProcessor")
    made = theirs.__new__(theirs)
    made.feature_extractor = extractor()
    settings = {"padding": True, "truncation": False, "pad_to_multiple_of": 480000, "return_tensors": "pt"}
    wanted = made._retrieve_input_features(given, 3000, sampling_rate=16000, **settings)
    assert torch.equal(ours["input_features"], wanted)
    heard = sounds(graph(name))
    assert heard is not None
    assert (ours["input_ids"] == heard.token_id).sum(dim=1).tolist() == [375, 750]
    tower = VoxtralConfig().audio_config
    assert 3000 // 2 * tower.hidden_size // tower.intermediate_size == 375  # as its model puts them together


def test_a_request_whose_sounds_are_not_as_many_as_its_placeholders_is_named(
    module: Callable[[str], ModuleType],
) -> None:
    made = module("qwen2_audio_7b").Processor(tokenizer("qwen2_audio_7b"))
    with pytest.raises(ValueError, match=r"request 1 has 0 sounds, and <\|AUDIO\|> 1 times in its text"):
        made(["<|AUDIO|>", "<|AUDIO|>"], [[sound(900)], []])
    assert {*made(["nothing to hear"])} == {"input_ids", "attention_mask"}


def heard(*settings: str) -> Any:
    return graphvlm.load(ROOT / "graphs" / "qwen2_audio_7b.yaml", overrides=settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["prompt.audio.seconds=9"], "`prompt.audio.seconds` is not read"),
        (["prompt.audio.long=together"], "the encoder reads a mask"),
        (["prompt.audio.rate=7000"], "at 7000 a second no whole seconds"),
        (["prompt.image.token=x"], "speaks of both"),
        (["nodes.audio.audio.frames=2999", "prompt.audio={long: apart, rate: 479840}"], "does not end where"),
    ],
)
def test_what_does_not_fit_is_said(settings: list[str], says: str) -> None:
    with pytest.raises(GraphError, match=says):
        heard(*settings)


def test_a_graph_without_sounds_has_no_form_for_them() -> None:
    with pytest.raises(GraphError, match="no encoder here takes clips of one length"):
        graphvlm.load(ROOT / "graphs" / "tiny.yaml", overrides=["prompt.audio.token=x"])
