"""Several segments in a decoder: what can be written wrong, marks against stretches, and compiled against eager."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import graphvlm
from graphvlm.diagnostics import GraphError, Source

from .running import TINY, VARIANTS, inputs, packaged, randomise, sizes
from .shrinking import LINEAR

pytestmark = pytest.mark.usefixtures("one_thread")

IN_ONE = "nodes.llm={segments: {text: {}, image: {where: seen}}, inputs: {features: fused, seen: fused.places}}"
APART = "nodes={fused: null, llm: {inputs: {image: projector, text: text}, segments: {image: {}, text: {}}}}"
MLP = "op: mlp, hidden: 20"
CROSS = "op: attention, heads: 2, head_dim: 12, kv: source"
CHOOSING = "{experts: 3, router: {chooses: expert}}"
SEES = "inputs: {image: projector, text: text, source: vision}"

MISTAKES = (
    ((IN_ONE, "nodes.llm.segments.audio={}"), "bad-segments", "is told by marks", "`{text: {}, image:"),
    ((IN_ONE, "nodes.llm.segments.text.restart=true"), "bad-segments", "has `restart`", "remove `restart`"),
    ((IN_ONE, "nodes.llm.segments.text.learned=4"), "bad-segments", "has `learned`", "remove `learned`"),
    ((APART, "nodes.llm.segments.image.learned=4"), "bad-segments", "come in at ports", "remove `learned`"),
    (
        ("nodes={fused: null, llm: {inputs: {x: projector, text: text}, segments: {x: {}, text: {}}}}",),
        *("bad-segments", "is called `x`", "`x_tokens`"),
    ),
    ((APART, "nodes.llm.inject=[0]", "nodes.llm.inputs.inject_0=text"), "bad-segments", "`inject`", "`fusion`"),
    (
        (APART, "nodes.llm.position={type: mrope, sections: [4, 3, 3]}"),
        *("bad-segments", "`position` of `llm` is told for each token", "by `where`"),
    ),
    (
        (APART, f"nodes.llm.layers={{count: 2, where: [{{at: [1], attention: {{linear: {LINEAR}}}}}]}}"),
        *("bad-segments", "linear attention of `llm` runs along one sequence", "`fusion/prefix`"),
    ),
    ((APART, "nodes.llm.mlp.scope=txt"), "unknown-segment", "names `txt`", "did you mean `text`"),
    (("nodes.llm.mlp.scope=text",), "unknown-segment", "no such segment", "write `segments`"),
    (("nodes.llm.norm.weights_by=segment",), "unread-setting", "there are no segments", "remove `weights_by`"),
    (
        (
            "nodes={fused: null, llm: {inputs: {text: text}, segments: {text: {}}, attention: {weights_by: segment}}}",
            "nodes={vision: null, projector: null}",
            "inputs={pixel_values: null}",
            "checkpoint=null",
        ),
        *("unread-setting", "only `text`", "two `segments`"),
    ),
    (
        (APART, "nodes.llm.attention={weights_by: segment, sinks: true}"),
        *("bad-scope", "does not go with `sinks`", "remove `sinks`"),
    ),
    (
        (APART, "nodes.llm.attention={weights_by: segment, indexer: {heads: 4, head_dim: 20, top: 9}}"),
        *("bad-indexer", "each segment has weights of its own", "remove `indexer` or `weights_by`"),
    ),
    (
        (
            APART,
            f"nodes.llm={{{SEES}, layers: {{count: 2, each: [attn, see, mlp]}}}}",
            f"nodes.llm.sublayers.see={{{CROSS}, weights_by: segment}}",
        ),
        *("bad-scope", "does not go with `kv`", "remove `kv`"),
    ),
    (
        (
            IN_ONE,
            "nodes.llm={inputs: {source: vision}, layers: {count: 2, each: [attn, see, mlp]}}",
            f"nodes.llm.sublayers.see={{{CROSS}, scope: text}}",
        ),
        *("bad-scope", "only a feed-forward", "ports of their own"),
    ),
    (
        (IN_ONE, "nodes.llm={mlp: {scope: text}, norm: {place: post}}"),
        *("bad-scope", "behind the sum", "`norm: {place: pre}`"),
    ),
    (
        (APART, "nodes.llm={mlp: {scope: text}, layers: {count: 2, each: [[attn, mlp]]}}"),
        *("bad-scope", "in brackets with attention", "outside the brackets"),
    ),
    (
        (
            APART,
            "nodes.llm={layers: {count: 2, each: [own, mlp]}}",
            "nodes.llm.layers.where=[{at: [1], each: [attn, mlp]}]",
            "nodes.llm.sublayers.own={op: attention, heads: 2, head_dim: 12, scope: text}",
        ),
        *("bad-scope", "all tokens to each other", "let it read a port"),
    ),
    (
        (IN_ONE, f"nodes.llm.mlp={{scope: text, moe: {CHOOSING}}}"),
        *("bad-scope", "choose among the tokens of a stretch", "ports of their own"),
    ),
    (
        (APART, f"nodes.llm.mlp={{weights_by: segment, moe: {CHOOSING}}}"),
        *("bad-scope", "experts that choose", "two sublayers"),
    ),
    (
        ("nodes.llm.mlp.moe={experts: 3, top: 2, router: {chooses: expert}}",),
        *("unread-setting", "`moe.top` of `llm` is not read where experts choose", "remove `top`"),
    ),
    (
        ("nodes.llm.mlp.moe={experts: 3, top: 2, router: {capacity: 0.5}}",),
        *("unread-setting", "not read where tokens choose", "write `chooses: expert`"),
    ),
)


@pytest.mark.parametrize(("edits", "rule", "message", "help_"), MISTAKES)
def test_a_mistake_is_one_diagnostic(edits: tuple[str, ...], rule: str, message: str, help_: str) -> None:
    with pytest.raises(GraphError) as caught:
        graphvlm.load(TINY, overrides=list(edits))
    (problem,) = caught.value.diagnostics
    assert problem.rule == rule
    assert message in problem.message
    assert help_ in problem.help
    assert problem.span is not None


def made(*edits: str) -> tuple[Any, dict[str, Tensor]]:
    """A model of the tiny graph, with random weights, and what to call it with."""
    graph = graphvlm.load(TINY, overrides=list(edits))
    model = packaged(graph).Model().eval()
    randomise(model)
    return model, inputs(graph, sizes(graph, batch=2, images=2), padded=True)


@pytest.mark.parametrize("name", ["segments", "scopes", "marked_segments", "choosing_experts"])
def test_compiled_code_computes_the_same(name: str) -> None:
    """Marked tokens are picked in eager mode, and in a graph all tokens go both ways."""
    model, given = made(*VARIANTS[name])
    compiled: Any = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        expected = model(**given).logits
        assert torch.allclose(compiled(**given).logits, expected, atol=1e-5 * float(expected.abs().max()))
    text = {name: given[name] for name in ("input_ids", "attention_mask")}
    if name == "segments":
        assert model(**text).logits.isfinite().all()


def test_experts_take_no_padding() -> None:
    """What stands at padding changes nothing, and all experts together take as many tokens as they should."""
    model, given = made(*VARIANTS["choosing_experts"])
    with torch.no_grad():
        expected = model(**given).logits
        other = given["input_ids"].clone()
        other[0, :2] = (other[0, :2] + 1) % 50
        again = model(**{**given, "input_ids": other}).logits
        assert torch.allclose(again[0, 2:], expected[0, 2:], atol=1e-5)
        moe = model.llm.layers[0].image_mlp
        weights, _ = moe.route(torch.randn(10, model.config.llm.dim), torch.arange(10) < 7)
    assert weights.shape == (2, 6)
    assert (weights > 0).sum(dim=1).tolist() == [5, 5]  # 0.6 of 7, rounded up


def test_what_pads_a_mask_is_imported() -> None:
    """Where nothing else of a decoder needs functions of torch: scores of its own, an activation of its own."""
    text = """
version: 1
name: parts
inputs: {features: {type: features, dim: 24, tokens: 3}, input_ids: tokens, attention_mask: mask}
nodes:
  text: {kind: encoder, type: token_embedding, inputs: input_ids}
  llm:
    kind: decoder
    type: transformer
    inputs: {image: features, text: text}
    segments: {image: {}, text: {}}
    vocab: 40
    dim: 24
    max_tokens: 64
    norm: rms
    position: none
    attention: {heads: 2, softcap: 5.0}
    mlp: {hidden: 20, activation: quick_gelu}
    layers: 1
outputs: {logits: llm.logits}
"""
    model = packaged(graphvlm.load(Source("parts.yaml", text))).Model()
    ids = torch.randint(40, (2, 5), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    logits = model(input_ids=ids, features=torch.zeros(2, 3, 24), attention_mask=mask).logits
    assert bool(logits.isfinite().all())
