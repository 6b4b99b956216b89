"""Each operation that exported programs have in another form gives what torch gives."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F

from graphvlm.exporters import rewrites

from ..running import packaged, variant


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def test_features_take_their_places() -> None:
    where = torch.tensor([[True, False, True, True], [False, False, True, False]])
    text, rows = random(2, 4, 6), random(1, 4, 6)
    expected = text.masked_scatter(where.unsqueeze(-1), rows)
    assert torch.equal(rewrites.masked_scatter(text, where.unsqueeze(-1), rows), expected)


def test_more_features_than_places() -> None:
    where, text, rows = torch.zeros(2, 4, 1, dtype=torch.bool), random(2, 4, 6), random(3, 6)
    assert torch.equal(rewrites.masked_scatter(text, where, rows), text)


def test_a_slot_of_a_cache() -> None:
    cache, new, slot = random(2, 3, 5, 4), random(2, 3, 1, 4), torch.tensor([2])
    expected = cache.clone().index_copy_(2, slot, new)
    assert torch.equal(rewrites.index_copy_(cache, 2, slot, new), expected)
    assert torch.equal(cache, expected)


@pytest.mark.parametrize("value", [True, False])
def test_a_flag_of_a_cache(value: bool) -> None:
    flags, slot = torch.tensor([[True, False, True], [False, False, True]]), torch.tensor([1])
    expected = flags.clone().index_fill_(1, slot, value)
    assert torch.equal(rewrites.index_fill_(flags, 1, slot, value), expected)
    assert torch.equal(flags, expected)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_parts_several_times(dim: int) -> None:
    x = random(2, 3, 4)
    assert torch.equal(rewrites.repeat_interleave(x, 3, dim=dim), x.repeat_interleave(3, dim=dim))


def test_parts_as_often_as_counted() -> None:
    flags, counts = torch.tensor([True, False, True]), torch.tensor([2, 0, 3])
    expected = flags.repeat_interleave(counts)
    assert torch.equal(rewrites.repeat_interleave(flags, counts, output_size=5), expected)


@pytest.mark.parametrize("right", [True, False])
def test_places_between_edges(right: bool) -> None:
    edges, numbers = torch.tensor([1, 3, 3, 7]), torch.tensor([[0, 1, 2], [3, 7, 9]])
    assert torch.equal(
        rewrites.searchsorted(edges, numbers, right=right), torch.searchsorted(edges, numbers, right=right)
    )
    assert torch.equal(rewrites.bucketize(numbers, edges, right=right), torch.bucketize(numbers, edges, right=right))


@pytest.mark.parametrize("descending", [True, False])
def test_the_order_of_flags(descending: bool) -> None:
    flags = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    expected = flags.argsort(descending=descending, stable=True)
    assert torch.equal(rewrites.argsort(flags, descending=descending, stable=True), expected)


@pytest.mark.parametrize("kv_heads", [6, 2, 1])
@pytest.mark.parametrize("masked", ["none", "causal", "flags", "numbers"])
def test_attention(kv_heads: int, masked: str) -> None:
    q, k, v = random(2, 6, 5, 8), random(2, kv_heads, 5, 8), random(2, kv_heads, 5, 10)
    flags = torch.ones(5, 5, dtype=torch.bool).tril().expand(2, 1, 5, 5)
    mask = {"flags": flags, "numbers": random(2, 1, 5, 5)}.get(masked)
    options = {"attn_mask": mask, "is_causal": masked == "causal", "enable_gqa": kv_heads != 6, "scale": 0.3}
    made = rewrites.attention(q, k, v, **options)  # type: ignore[arg-type]
    torch.testing.assert_close(made, F.scaled_dot_product_attention(q, k, v, **options))  # type: ignore[arg-type]


def test_attention_that_sees_nothing_is_finite() -> None:
    """Rows of padding: what comes of them is not looked at, but it must not spread."""
    q = random(1, 2, 3, 4)
    assert rewrites.attention(q, q, q, attn_mask=torch.zeros(1, 1, 3, 3, dtype=torch.bool)).isfinite().all()


def test_one_token_a_row_is_picked_by_its_place() -> None:
    hidden, last = random(2, 4, 3), torch.tensor([1, 3])
    keep = torch.arange(4) == last[:, None]
    with rewrites.Rewritten({id(keep): last}):
        assert torch.equal(hidden[keep], torch.stack([hidden[0, 1], hidden[1, 3]]))


def test_every_expert_within() -> None:
    class Experts(torch.nn.Module):
        def through_chosen(self) -> str:
            return "chosen"

        def through_all(self) -> str:
            return "all"

    experts = Experts()
    with rewrites.all_experts(torch.nn.Sequential(experts)):
        assert experts.through_chosen() == "all"
    assert experts.through_chosen() == "chosen"


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_the_order_of_flags_along_an_axis(dim: int) -> None:
    flags = random(4, 5) > 0
    for descending in (True, False):
        expected = flags.int().argsort(dim=dim, descending=descending, stable=True)
        assert torch.equal(rewrites.argsort(flags.int(), dim, descending, stable=True), expected)


def test_rows_are_added_to_the_rows_they_belong_to() -> None:
    x, index, rows = random(4, 3), torch.tensor([2, 0, 2]), random(3, 3)
    assert torch.allclose(rewrites.index_add(x, 0, index, rows), x.index_add(0, index, rows))


@pytest.mark.parametrize("size", [1, 2, 13, 64])
@pytest.mark.parametrize("alike", [True, False])
def test_a_triangle(size: int, alike: bool) -> None:
    """Rows that are alike make powers that grow without bound."""
    a = torch.ones(2, size, size) if alike else random(2, size, size)
    b = random(2, size, 3)
    expected = torch.linalg.solve_triangular(a.double(), b.double(), upper=False, unitriangular=True)
    made = rewrites.solve_triangular(a, b, upper=False, unitriangular=True)
    assert torch.allclose(made.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("alike", [True, False])
def test_chunks_without_a_loop(alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear attention in an exported program, over more chunks than one, reads what the loop reads."""
    package = packaged(variant("linear_attention"))
    delta = sys.modules[f"{package.__name__}.llm"]
    q, k, v = (torch.ones(1, 2, 200, 6) if alike else random(2, 3, 200, 6) for _ in range(3))
    k = k / k.norm(dim=-1, keepdim=True)
    decay, beta = -torch.rand(q.shape[:3]) / 50, torch.rand(q.shape[:3])
    read, state = delta.delta_chunks(q, k, v, decay, beta)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    with rewrites.Rewritten():
        other, last = delta.delta_chunks(q, k, v, decay, beta)
    assert torch.allclose(other, read, atol=1e-5 * float(read.abs().max()))
    assert torch.allclose(last, state, atol=1e-5 * float(state.abs().max()))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_of_tokens(smoothing: float) -> None:
    logits, tokens = random(3, 11, 5), torch.randint(11, (3, 5))
    expected = torch.nn.functional.cross_entropy(logits, tokens, reduction="none", label_smoothing=smoothing)
    made = rewrites.cross_entropy(logits, tokens, reduction="none", label_smoothing=smoothing)
    assert torch.allclose(made, expected, atol=1e-6)
