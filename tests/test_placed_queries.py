"""Learned tokens and what they read with fixed positions by row and column, against torch's own attention.

No class of `transformers` has such a resampler (Qwen-VL, MiniCPM-V): the reference here is written from its
description, with the attention of torch.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphvlm
from graphvlm.diagnostics import GraphError, Source

from .running import packaged

pytestmark = pytest.mark.usefixtures("one_thread")

GRAPH = """
version: 1
name: placed
inputs: {{seen: {{type: features, dim: 24, tokens: {tokens}}}}}
nodes:
  queries:
    kind: projector
    type: transformer
    inputs: {{image: seen}}
    segments: {{query: {{learned: {queries}}}}}
    position: {{type: sincos, {position}}}
    {grid}
    dim: 24
    layers: {{count: 1, each: [cross]}}
    norm: {{type: layer, eps: 1.0e-3}}
    sublayers:
      cross: {{op: attention, heads: 3, bias: true, kv: image, kv_norm: layer, residual: {{skip: false}}}}
outputs: {{features: queries}}
"""


def positions(rows: int, columns: int, dim: int = 24) -> Tensor:
    """One place after the other: sines and cosines of its column, then of its row."""
    found = []
    for row in range(rows):
        for column in range(columns):
            halves = []
            for place in (column, row):
                angles = [place / 10000 ** (index / (dim // 4)) for index in range(dim // 4)]
                turned = torch.tensor(angles, dtype=torch.float64)
                halves += [turned.sin(), turned.cos()]
            found.append(torch.cat(halves))
    return torch.stack(found).float()


def stretched(side: int, rows: int, columns: int) -> Tensor:
    square = positions(side, side).reshape(1, side, side, 24).permute(0, 3, 1, 2)
    wide = nn.functional.interpolate(square, size=(rows, columns), mode="bicubic", align_corners=False)
    return wide.permute(0, 2, 3, 1).reshape(rows * columns, 24)


CASES = {
    "both": ("of: both", "", 16, positions(3, 3), positions(4, 4)),
    "keys": ("of: keys", "grid: [2, 5]", 10, torch.zeros(9, 24), positions(2, 5)),
    "stretched": ("stretched: true", "", 25, positions(3, 3), stretched(3, 5, 5)),
}


@pytest.mark.parametrize("name", CASES)
def test_positions_are_those_of_keys_and_queries_alone(name: str) -> None:
    position, grid, tokens, of_queries, of_keys = CASES[name]
    text = GRAPH.format(tokens=tokens, queries=9, position=position, grid=grid)
    ours: Any = packaged(graphvlm.load(Source("placed.yaml", text))).Model().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        seen = torch.randn(2, tokens, 24, generator=generator)
        block, attention = ours.queries.layers[0], nn.MultiheadAttention(24, 3, batch_first=True)
        own = block.cross
        attention.in_proj_weight.copy_(torch.cat([own.wq.weight, own.wk.weight, own.wv.weight]))
        attention.in_proj_bias.copy_(torch.cat([own.wq.bias, own.wk.bias, own.wv.bias]))
        attention.out_proj.load_state_dict(own.wo.state_dict())
        source, x = own.kv_norm(seen), block.cross_norm(ours.queries.query).expand(2, -1, -1)
        expected, _ = attention(x + of_queries, source + of_keys, source)
        assert torch.allclose(ours(seen).features, ours.queries.norm(expected), atol=2e-5)


MISTAKES = (
    ((16, 8, "of: both", ""), "grid-mismatch", "8 learned tokens"),
    ((15, 9, "of: keys", ""), "grid-mismatch", "15 tokens"),
    ((16, 9, "of: keys", "grid: [3, 5]"), "grid-mismatch", "not 3 x 5"),
    ((16, 9, "of: keys, max: 4", ""), "unknown-key", "max"),
)


@pytest.mark.parametrize(("given", "rule", "message"), MISTAKES)
def test_a_mistake(given: tuple[int, int, str, str], rule: str, message: str) -> None:
    tokens, queries, position, grid = given
    text = GRAPH.format(tokens=tokens, queries=queries, position=position, grid=grid)
    with pytest.raises(GraphError) as caught:
        graphvlm.load(Source("placed.yaml", text))
    problem = caught.value.diagnostics[0]
    assert problem.rule == rule
    assert message in problem.message


def test_keys_of_the_tokens_themselves_have_no_place() -> None:
    text = GRAPH.format(tokens=16, queries=9, position="of: both", grid="").replace(
        "kv: image", "kv: {concat: [image, self]}"
    )
    with pytest.raises(GraphError, match="reads something else beside it"):
        graphvlm.load(Source("placed.yaml", text))
