"""Scores that lose something for every token between (ALiBi), against the formula of its paper; decoders in parity/."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

import graphvlm
from graphvlm.diagnostics import Source

from .running import packaged, randomise

GRAPH = """
version: 1
name: words
inputs: {input_ids: tokens}
nodes:
  text: {kind: encoder, type: token_embedding, vocab: 60, dim: 24, inputs: input_ids}
  words:
    kind: encoder
    type: transformer
    dim: 24
    max_tokens: 64
    layers: 2
    attention: {heads: HEADS, bias: true}
    mlp: {hidden: 20, activation: gelu, gated: false}
    norm: {type: layer, eps: 0.001}
    position: {type: alibi, max_bias: 5}
    inputs: text
outputs: {features: words}
"""


def slopes(heads: int) -> list[float]:
    """2 ** -(max_bias / n), its square and so on for n a power of two; others take from the series of two such."""
    if heads & (heads - 1) == 0:
        return [2.0 ** (-5 * (head + 1) / heads) for head in range(heads)]
    least = 2 ** (heads.bit_length() - 1)
    return slopes(least) + slopes(2 * least)[::2][: heads - least]


def expected(model: Any, heads: int, x: Tensor, mask: Tensor) -> Tensor:
    """What the layers make of embeddings, with a bias for both directions."""
    place = torch.arange(x.size(1))
    bias = -torch.tensor(slopes(heads))[:, None, None] * (place - place[:, None]).abs()
    bias = bias.masked_fill(~mask[:, None, None, :], -torch.inf)
    for layer in model.words.layers:
        normed = F.layer_norm(x, (24,), layer.attn_norm.weight, layer.attn_norm.bias, 0.001)
        q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in layer.attn.wqkv(normed).chunk(3, dim=-1))
        weights = (q @ k.mT / q.size(-1) ** 0.5 + bias).softmax(dim=-1)
        x = x + layer.attn.wo((weights @ v).transpose(1, 2).flatten(2))
        normed = F.layer_norm(x, (24,), layer.mlp_norm.weight, layer.mlp_norm.bias, 0.001)
        x = x + layer.mlp.down(F.gelu(layer.mlp.up(normed)))
    return F.layer_norm(x, (24,), model.words.norm.weight, model.words.norm.bias, 0.001)


@pytest.mark.parametrize("heads", [4, 6, 3])
def test_an_encoder(heads: int) -> None:
    plain = yaml.safe_load(GRAPH.replace("HEADS", str(heads)))
    plain["inputs"]["attention_mask"] = "mask"
    plain["nodes"]["words"]["inputs"] = {"features": "text", "mask": "attention_mask"}
    model = packaged(graphvlm.load(Source("words.yaml", yaml.safe_dump(plain)))).Model()
    randomise(model)
    ids = torch.arange(22).view(2, 11)
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[1, 8:] = False
    with torch.no_grad():
        made = model(input_ids=ids, attention_mask=mask.long()).features
        wanted = expected(model, heads, model.text(ids), mask)
    torch.testing.assert_close(made[mask], wanted[mask], rtol=1e-5, atol=1e-5)
