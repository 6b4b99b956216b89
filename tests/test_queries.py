"""Learned tokens that attend to features: what can be written wrong, and settings that no model type shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import graphvlm
from graphvlm.diagnostics import GraphError
from graphvlm.ir import Graph
from graphvlm.passes import apply_all

from .running import TINY

pytestmark = pytest.mark.usefixtures("one_thread")

CROSS = "nodes.queries.sublayers.cross"
SQUARES = "nodes.queries={dim: 24, segments: {query:"
WIDE = "nodes.queries={dim: 24, sublayers: {cross: {"
QUERIES = {
    "kind": "projector",
    "type": "transformer",
    "inputs": {"image": "vision"},
    "segments": {"query": {"learned": 5}},
    "dim": 20,
    "layers": {"count": 2, "each": ["attn", "cross", "mlp"]},
    "norm": "layer",
    "attention": {"heads": 4, "bias": True},
    "mlp": {"hidden": 30, "activation": "gelu", "bias": True},
    "sublayers": {"cross": {"op": "attention", "heads": 2, "kv": "image"}},
}

MISTAKES = (
    ("nodes.queries.segments={text: {}}", "missing-port", "`text`", "text: ..."),
    ("nodes.queries.segments={query: null, text: {}}", "bad-queries", "one of learned tokens", "{learned: 32}"),
    ("nodes.queries.segments={query: null, layers: {learned: 3}}", "bad-queries", "be called `layers`", "`query`"),
    ("nodes.queries.segments={query: null, half: {learned: 3}}", "bad-queries", "torch.nn.Module", "`query`"),
    (
        "nodes.queries={segments: {query: null, image: {learned: 3}}}",
        *("bad-queries", "the layers use it", "`query`"),
    ),
    (f"{WIDE} kv: {{concat: [image, other]}}}}}}}}", "bad-cross", "something else than a port and the tokens", "self]"),
    (f"{WIDE} kv: {{concat: [self, image]}}, kv_dim: 24}}}}}}", "bad-cross", "`kv_dim` of `cross`", "remove `kv_dim`"),
    (f"{CROSS}.kv={{concat: [image, self]}}", "shape-mismatch", "takes features 20 wide", "projector"),
    (f"{CROSS}.mask={{visible: image_visible}}", "missing-port", "image_visible", "image_visible: ..."),
    (f"{CROSS}.residual={{skip: false, gate: tanh, init: 0.1}}", "", "", ""),
    (f"{CROSS}={{residual: {{skip: false}}, rows: image}}", "bad-skip", "`rows` of `cross`", "remove `rows`"),
    (
        "nodes.queries={layers: {each: [attn, [cross, mlp]]}, sublayers: {cross: {residual: {skip: false}}}}",
        *("bad-skip", "`cross` and `mlp` of `queries` stand in brackets", "write the same `skip`"),
    ),
    ("nodes.queries={attention: null}", "bad-each", "no sublayer `attn`", ""),
    (f"{SQUARES} {{learned: null, window: 3}}}}}}", "shape-mismatch", "9 * tokens", "puts tokens together"),
    (f"{SQUARES} {{window: 2}}}}}}", "bad-queries", "one of learned tokens", "{learned: 32}"),
    (
        f"{SQUARES} {{learned: null, window: 2}}}}, grid: [2, 6]}}",
        "grid-mismatch",
        "they are 2 x 6",
        "`grid: [rows, columns]`",
    ),
)


def graph(tmp_path: Path, *overrides: str) -> Graph:
    """The tiny graph with queries between its tower and its projector."""
    overlay = tmp_path / "queries.yaml"
    overlay.write_text(yaml.safe_dump({"nodes": {"queries": QUERIES, "projector": {"inputs": "queries"}}}), "utf-8")
    return graphvlm.load(TINY, overlay, overrides=list(overrides))


@pytest.mark.parametrize(("edit", "rule", "message", "help_"), MISTAKES)
def test_a_mistake_is_one_diagnostic(edit: str, rule: str, message: str, help_: str, tmp_path: Path) -> None:
    if not rule:
        graph(tmp_path, edit)
        return
    with pytest.raises(GraphError) as caught:
        graph(tmp_path, edit)
    (problem,) = caught.value.diagnostics
    assert problem.rule == rule
    assert message in problem.message
    assert help_ in problem.help
    assert problem.span is not None


# A text beside the learned tokens: what is said of it besides -> message, help
BESIDE = {
    "inputs": {"image": "vision", "text": "words"},
    "segments": {"query": {"learned": 5}, "text": {}},
    "dim": 24,
    "position": {"type": "learned", "max": 30, "scope": "text"},
    "layers": {"count": 2, "each": ["attn", "cross", "mlp", "text_mlp"]},
    "norm": {"type": "layer", "place": "post"},
    "mlp": {"hidden": 30, "activation": "gelu", "bias": True, "scope": "query"},
    "sublayers": {
        "cross": {"op": "attention", "heads": 2, "kv": "image", "scope": "query"},
        "text_mlp": {"op": "mlp", "hidden": 30, "scope": "text"},
    },
}
MOST = {
    "inputs": {"most": "words", "text": None},
    "position": {"scope": "most"},
    "sublayers": {"text_mlp": {"scope": "most"}},
}
WRONG_BESIDE = (
    ({"segments": {"query": {"learned": 5}, "text": {"learned": 3}}}, "bad-queries", "flows in as it is", "`text: {}`"),
    (
        {"segments": {"query": {"learned": 5}, "text": {}, "more": {}}, "inputs": {"more": "words"}},
        *("bad-queries", "", "join two texts"),
    ),
    ({"position": {"scope": "query"}}, "bad-queries", "is of `query`", "`scope: text`"),
    ({"sublayers": {"text_mlp": {"scope": "txt"}}}, "unknown-segment", "names `txt`", "`text`"),
    ({"sublayers": {"cross": {"kv": {"concat": ["image", "self"]}}}}, "bad-queries", "keys are joined", "port alone"),
    (
        {"segments": {"query": {"learned": 5}, "text": None, "most": {}}, **MOST},
        *("bad-queries", "cannot be called `most`", "`text`"),
    ),
    ({"inputs": {"text": None}}, "missing-port", "`text`", "text: ..."),
)


def beside(tmp_path: Path, change: dict[str, object]) -> Graph:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    words = {"kind": "encoder", "type": "token_embedding", "vocab": 50, "inputs": "question"}
    nodes = {"words": words, "queries": {**QUERIES, **BESIDE}, "projector": {"inputs": "queries"}}
    first.write_text(yaml.safe_dump({"inputs": {"question": "tokens"}, "nodes": nodes}), "utf-8")
    second.write_text(yaml.safe_dump({"nodes": {"queries": change}}), "utf-8")
    return graphvlm.load(TINY, first, second)


@pytest.mark.parametrize(("change", "rule", "message", "help_"), WRONG_BESIDE)
def test_a_mistake_beside_a_text(
    change: dict[str, object], rule: str, message: str, help_: str, tmp_path: Path
) -> None:
    with pytest.raises(GraphError) as caught:
        beside(tmp_path, change)
    problem = caught.value.diagnostics[0]
    assert problem.rule == rule
    assert message in problem.message
    assert help_ in problem.help


def test_what_nobody_reads_of_a_text_goes(tmp_path: Path) -> None:
    """The last feed-forward of the text, and nothing that its tokens still need."""
    (dead,) = [each for each in apply_all(beside(tmp_path, {})).dead if each.node == "queries"]
    assert set(dead.paths) == {f"layers.1.text_mlp{part}" for part in ("_norm", ".up", ".down")}
