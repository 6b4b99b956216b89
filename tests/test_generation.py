"""Generation in every mode for every kind of graph: static or in pages, one or several answers, ended or not."""

from __future__ import annotations

import inspect
import sys
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from graphvlm.ir import Graph

from .running import RUN, inputs, packaged, randomise, small, variant

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

# Experts that choose among all tokens; no decoder
ONE_BY_ONE = [name for name in RUN if name not in ("kempnerforge_moma_7b", "bert_base")]
KINDS = ("mixed_windows", "window", "dynamic_rope", "whole_prefix", "text_alone", "linear_attention", "marked_segments")
NEW = 9


def graph(name: str) -> Graph:
    return small(name) if name in RUN else variant(name)


@cache
def model(name: str) -> Any:
    made = packaged(graph(name)).Model()
    randomise(made)
    return made.eval()


def page(name: str, file: str = "generate") -> Any:
    """A module of a package."""
    return sys.modules[f"{packaged(graph(name)).__name__}.{file}"]


def prompt(name: str, seed: int = 0) -> dict[str, Tensor]:
    """A padded batch."""
    keywords: dict[str, Tensor] = inputs(graph(name), seed=seed, padded=True)
    return keywords


def generate(name: str, given: dict[str, Tensor], **options: Any) -> Tensor:
    """What comes behind the prompt."""
    tokens = list(inspect.signature(page(name).generate).parameters)[1]
    made: Tensor = page(name).generate(model(name), **given, **{"max_new_tokens": NEW, "eos_token_id": None, **options})
    return made[:, given[tokens].size(1) :]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, *KINDS])
def test_every_mode_gives_the_same(name: str) -> None:
    """Pages of any size, and several answers to each prompt, for all kinds of caches."""
    given = prompt(name)
    expected = generate(name, given)
    assert torch.equal(generate(name, given, page_size=3), expected)
    twice = expected.repeat_interleave(2, dim=0)
    assert torch.equal(generate(name, given, num_return_sequences=2), twice)
    assert torch.equal(generate(name, given, num_return_sequences=2, page_size=4), twice)


def test_rows_pay_for_their_own_tokens() -> None:
    """Pages are those of the tokens that a row has; who has ended gives them back, and others take them."""
    paged, given = page("tiny", "paged"), prompt("tiny")
    ids = given["input_ids"][:1].repeat(3, 1)
    mask = torch.ones_like(ids)
    mask[1, :-1] = mask[2, :-5] = 0
    long = -(-ids.size(1) // 4)
    cache = paged.PagedCache(2, 3, 64, ids.device, page_size=4, max_pages=long + 5)
    cache.admit(ids.size(1), mask)
    held = [int((row > 0).sum()) for row in cache.table]
    assert held[0] == long
    assert held[1] <= 2
    assert held[2] <= 3
    ended = torch.tensor([True, False, False])
    for _ in range(12):  # more than would fit, were the pages of the first row not free
        cache.reserve(ended)
        cache.admit(1, None)
    assert not cache.table[0].any()
    used = cache.table[cache.table > 0].tolist()
    assert len(used) == len({*used})
    assert sorted([*used, *cache.free]) == list(range(1, long + 6))


def test_copies_share_the_pages_of_a_prompt() -> None:
    paged = page("tiny", "paged")
    cache = paged.PagedCache(2, 2, 64, torch.device("cpu"), 4, None, 3)
    cache.admit(10, None)
    assert len(cache.users) - 1 == 2 * 3 + 2 * 2 + 6 * 13
    cache.repeat(3)
    assert torch.equal(cache.table[0, :2], cache.table[2, :2])
    assert len({*cache.table[:, 2].tolist()}) == 6
    for row in range(6):
        cache.release(row)
    assert len(cache.free) == len(cache.users) - 1


def test_a_pool_that_is_too_small_is_said() -> None:
    with pytest.raises(ValueError, match="give more max_pages"):
        generate("tiny", prompt("tiny"), page_size=4, max_pages=2)
    with pytest.raises(ValueError, match="page_size is 0"):
        generate("tiny", prompt("tiny"), page_size=0)


def test_whether_rows_have_ended_is_looked_at_when_asked() -> None:
    """Every token, or after several: what comes behind an end is padding."""
    given = prompt("tiny")
    free = generate("tiny", given)
    stops = free[:, 2].tolist()
    made = generate("tiny", given, eos_token_id=stops)
    later = generate("tiny", given, eos_token_id=stops, check_every=4)
    assert made.size(1) == 3
    assert later.size(1) == 4
    assert torch.equal(later[:, :3], made)
    assert not later[:, 3].any()


def test_probabilities_come_with_the_tokens() -> None:
    """Those of a whole sequence, read again."""
    given = prompt("tiny")
    ids = given.pop("input_ids")
    steps = list(page("tiny").steps(model("tiny"), ids, **given, max_new_tokens=4, eos_token_id=None))
    whole = torch.cat([ids, *(step.token[:, None] for step in steps)], dim=1)
    mask = torch.nn.functional.pad(given["attention_mask"], (0, 4), value=1)
    with torch.no_grad():
        logits = model("tiny")(whole, given["pixel_values"], mask).logits
    shares = logits.log_softmax(-1)[:, -5:-1].gather(2, whole[:, -4:, None]).squeeze(2)
    torch.testing.assert_close(torch.stack([step.logprob for step in steps], dim=1), shares)


def test_drawn_again_with_the_same_seed() -> None:
    given = prompt("tiny")
    made = [
        generate("tiny", given, temperature=1.0, num_return_sequences=3, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert len({tuple(row) for row in made[0][:3].tolist()}) == 3


# ---- a step that a device can record

# What waits for the device, or has a size that only it knows.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_all_true")


@pytest.mark.parametrize(
    ("name", "page_size"),
    [*((name, None) for name in (*ONE_BY_ONE, *KINDS)), ("tiny", 4), ("linear_attention", 4), ("mixed_windows", 4)],
)
def test_a_step_never_waits(name: str, page_size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One graph of operations with sizes known beforehand, which writes where the cache lies from the start.

    The step of the first token is compiled; the others, and those of a second prompt as long, are not.
    """
    from torch._dynamo.backends.common import aot_autograd

    seen: list[str] = []
    graphs: list[torch.fx.GraphModule] = []
    wrote: list[bool] = []

    def keep(traced: torch.fx.GraphModule, given: list[Tensor]) -> Any:
        graphs.append(traced)
        seen.extend(str(node.target) for node in traced.graph.nodes if node.op == "call_function")
        for node in traced.graph.nodes:
            sizes = getattr(node.meta.get("val"), "shape", ())
            assert all(isinstance(size, int) for size in sizes), node
        return traced.forward

    real: Any = torch.compile
    backend = aot_autograd(fw_compiler=keep)

    def compile_(step: Any, **_: Any) -> Any:
        def watched(*args: Any, **keywords: Any) -> Any:
            cache, before = keywords["cache"], [tensor.data_ptr() for tensor in keywords["cache"].tensors()]
            out = inner(*args, **keywords)
            wrote.append([tensor.data_ptr() for tensor in cache.tensors()] == before)
            return out

        inner = real(step, fullgraph=True, dynamic=False, backend=backend)
        return watched

    monkeypatch.setattr(torch, "compile", compile_)
    torch._dynamo.reset()
    options = {"page_size": page_size} if page_size else {}
    for seed in range(2):
        given = prompt(name, seed)
        with torch._dynamo.config.patch(error_on_recompile=True):
            made = generate(name, given, compile=True, **options)
        assert torch.equal(made, generate(name, given))
    assert len(graphs) == 1
    assert [each for each in seen if any(word in each for word in WAITING)] == []
    assert all(wrote)
