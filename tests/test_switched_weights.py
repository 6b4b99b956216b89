"""Weights that the kind of each token switches, in attention and in the feed-forward (CogVLM), against plain torch.

No class of `transformers` switches those of attention. The reference makes everything of all tokens twice and chooses.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import graphvlm
from graphvlm.diagnostics import Source

from .running import packaged, randomise

pytestmark = pytest.mark.usefixtures("one_thread")

GRAPH = """
version: 1
name: switched
inputs: {input_ids: tokens, attention_mask: mask, vision: mask}
nodes:
  text: {kind: encoder, type: token_embedding, inputs: input_ids}
  llm:
    kind: decoder
    type: transformer
    inputs: {features: text, mask: attention_mask, vision: vision}
    segments: {words: {}, seen: {where: vision}}
    vocab: 31
    dim: 36
    max_tokens: 32
    norm: {type: rms, eps: 2.0e-3}
    position: {type: rope, theta: 500.0}
    attention: {heads: 3, bias: false, weights_by: segment}
    mlp: {hidden: 20, activation: silu, gated: true, bias: false, scope: words}
    sublayers:
      seen_mlp: {op: mlp, hidden: 20, activation: silu, gated: true, bias: false, scope: seen, norm: {place: shared}}
    layers: {count: 2, each: [attn, [mlp, seen_mlp]]}
    head: {tied: false, bias: false}
outputs: {logits: llm.logits}
passes: {merge_projections: false}
"""


def turned(x: Tensor) -> Tensor:
    """Queries or keys [batch, heads, seq, 12] by their places."""
    rates = 500.0 ** -(torch.arange(6) / 6)
    angle = torch.arange(x.size(2))[:, None] * rates
    cos, sin = torch.cat((angle.cos(),) * 2, 1), torch.cat((angle.sin(),) * 2, 1)
    halves = x.chunk(2, dim=3)
    return x * cos + torch.cat((-halves[1], halves[0]), dim=3) * sin


def reference(model: Any, ids: Tensor, vision: Tensor) -> Tensor:
    where = vision.bool()[..., None]
    x: Tensor = model.text(ids)

    def switched(pair: Any, x: Tensor) -> Tensor:
        return torch.where(where, F.linear(x, pair.seen.weight), F.linear(x, pair.words.weight))

    def feed_forward(each: Any, x: Tensor) -> Tensor:
        return F.linear(F.silu(F.linear(x, each.gate.weight)) * F.linear(x, each.up.weight), each.down.weight)

    for layer in model.llm.layers:
        h = F.rms_norm(x, (36,), layer.attn_norm.weight, 2e-3)
        maps = (layer.attn.wq, layer.attn.wk, layer.attn.wv)
        q, k, v = (switched(each, h).reshape(3, -1, 3, 12).transpose(1, 2) for each in maps)
        found = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        x = x + switched(layer.attn.wo, found.transpose(1, 2).flatten(2))
        h = F.rms_norm(x, (36,), layer.mlp_norm.weight, 2e-3)
        x = x + torch.where(where, feed_forward(layer.seen_mlp, h), feed_forward(layer.mlp, h))
    x = F.rms_norm(x, (36,), model.llm.norm.weight, 2e-3)
    return F.linear(x, model.llm.head.weight)


def test_each_kind_of_token_goes_through_its_own_weights() -> None:
    """Also a row of one kind alone, and padding on the left, which is of neither."""
    model: Any = packaged(graphvlm.load(Source("switched.yaml", GRAPH))).Model().eval()
    randomise(model)
    ids = torch.randint(31, (3, 9), generator=torch.Generator().manual_seed(4))
    vision = torch.tensor([[0, 1, 1, 1, 0, 0, 1, 0, 0], [0] * 9, [1] * 9])
    with torch.no_grad():
        expected = reference(model, ids, vision)
        made = model(ids, vision=vision).logits
        assert torch.allclose(made, expected, rtol=0, atol=2e-5)
        assert not torch.allclose(made, reference(model, ids, 1 - vision), atol=1e-2)
        padded, marks = F.pad(ids, (2, 0)), F.pad(vision, (2, 0))
        made = model(padded, attention_mask=F.pad(torch.ones_like(ids), (2, 0)), vision=marks).logits
        assert torch.allclose(made[:, 2:], expected, rtol=0, atol=2e-5)
