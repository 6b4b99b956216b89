"""What tokens are chosen from, against the processors of the reference."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch
from transformers.generation import logits_process

VOCAB = 50


@pytest.fixture(scope="module")
def sampling(package: Callable[[str], Any]) -> ModuleType:
    """A page that is the same in all packages."""
    return import_module(f"{package('qwen2_mixed').__name__}.sampling")


def random_logits(seed: int = 1) -> torch.Tensor:
    return torch.randn(3, VOCAB, generator=torch.Generator().manual_seed(seed)) * 3


NAMES = {
    "temperature": "TemperatureLogitsWarper",
    "top_k": "TopKLogitsWarper",
    "top_p": "TopPLogitsWarper",
    "min_p": "MinPLogitsWarper",
}


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.3},
        {"temperature": 1.0, "top_k": 7},
        {"temperature": 1.0, "top_k": 700},
        {"temperature": 1.3, "top_p": 0.6},
        {"temperature": 1.3, "min_p": 0.2},
        {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
        {"temperature": 1.0, "top_p": 1e-9},
        {"temperature": 1.0, "min_p": 1.0},
    ],
    ids=str,
)
def test_what_tokens_are_drawn_from(options: dict[str, Any], sampling: ModuleType) -> None:
    """The scores that the reference's own processors leave, and the logarithm of the probability of what is drawn."""
    logits, expected = random_logits(), random_logits()
    for name, warper in NAMES.items():
        if name in options:
            expected = getattr(logits_process, warper)(options[name])(None, expected)
    history = sampling.History(torch.zeros(3, 1, dtype=torch.long), None, 1, 4)
    choice = sampling.Sampling(**options, generator=torch.Generator().manual_seed(5))
    scores = choice.scores(logits, history, torch.tensor([], dtype=torch.long))
    torch.testing.assert_close(scores, expected)
    token = choice.choose(scores)
    drawn = torch.multinomial(expected.softmax(-1), 1, generator=torch.Generator().manual_seed(5))[:, 0]
    assert torch.equal(token, drawn)
    shares = expected.log_softmax(-1)[torch.arange(3), drawn]
    torch.testing.assert_close(sampling.Step(token, logits, scores).logprob, shares)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_no_sequence_comes_twice(size: int, sampling: ModuleType) -> None:
    ids = torch.randint(0, 4, (3, 8), generator=torch.Generator().manual_seed(2))
    history = sampling.History(ids, None, 1, 2)
    scores = sampling.Sampling(no_repeat_ngram_size=size).scores(random_logits(), history, ids[0, :0])
    expected = logits_process.NoRepeatNGramLogitsProcessor(size)(ids, random_logits())
    assert torch.equal(scores, expected)
    assert expected.isinf().any() == (size < 4)


def test_ends_are_hidden_for_so_long(sampling: ModuleType) -> None:
    """Until each row has the least number of new tokens."""
    history, ends = sampling.History(torch.zeros(3, 2, dtype=torch.long), None, 1, 4), torch.tensor([3, 9])
    choice = sampling.Sampling(min_new_tokens=2)
    theirs = logits_process.MinNewTokensLengthLogitsProcessor(2, 2, [3, 9])
    for _ in range(4):
        assert torch.equal(choice.scores(random_logits(), history, ends), theirs(history.ids, random_logits()))
        history.append(torch.ones(3, dtype=torch.long))


def test_what_is_there_is_penalised(sampling: ModuleType) -> None:
    """Padding is not there; nor has a token without a score one that could be less."""
    ids = torch.tensor([[7, 7, 3, 4], [1, 2, 3, 900]])
    history = sampling.History(ids, torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]), 1, 1)
    scores = sampling.Sampling(repetition_penalty=1.7).scores(random_logits()[:2], history, ids[0, :0])
    theirs = logits_process.RepetitionPenaltyLogitsProcessor(1.7)
    rows = [theirs(row[None], random_logits()[i : i + 1])[0] for i, row in enumerate((ids[0, 2:], ids[1, :3]))]
    assert torch.equal(scores, torch.stack(rows))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -1.0}, "temperature is -1.0, and has to be at least 0"),
        ({"top_k": 0}, "top_k is 0, and has to be at least 1"),
        ({"top_p": float("nan")}, "top_p is nan"),
        ({"repetition_penalty": 0.0}, "repetition_penalty has to be above 0"),
    ],
    ids=str,
)
def test_what_is_no_option_is_said(options: dict[str, Any], said: str, sampling: ModuleType) -> None:
    with pytest.raises(ValueError, match=said):
        sampling.Sampling(**options)
