"""Tokens of several towers in one row: behind each other or in turn, told to whatever reads them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import graphvlm
from graphvlm.diagnostics import GraphError, Source
from graphvlm.ir import Graph

from .running import inputs, packaged, randomise, sizes

Plain = dict[str, Any]


def tower(patch: int) -> Plain:
    return {
        "kind": "encoder",
        "type": "vit",
        "inputs": "image",
        "image": {"size": 12},
        "patch": {"size": patch},
        "dim": 16,
        "layers": 1,
        "norm": {"type": "layer", "eps": 1e-6},
        "attention": {"heads": 2},
        "mlp": {"hidden": 20},
        "position": "none",
    }


def plain(patches: tuple[int, ...], **joined: Any) -> Plain:
    towers = {f"look_{index}": tower(patch) for index, patch in enumerate(patches)}
    nodes = {
        **towers,
        "both": {"kind": "fusion", "type": "concat", "inputs": {name: name for name in towers}, **joined},
        "projector": {"kind": "projector", "type": "linear", "inputs": "both"},
        "text": {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"},
        "fused": {
            "kind": "fusion",
            "type": "scatter",
            "inputs": {"text": "text", "image": "projector", "ids": "input_ids"},
            "placeholder": {"image": 7},
        },
        "llm": {
            "kind": "decoder",
            "type": "transformer",
            "inputs": "fused",
            "vocab": 40,
            "dim": 20,
            "max_tokens": 64,
            "layers": 1,
            "norm": {"type": "rms", "eps": 1e-6},
            "attention": {"heads": 2},
            "mlp": {"hidden": 20},
            "position": "none",
        },
    }
    return {
        "version": 1,
        "name": "looks",
        "inputs": {"image": "image", "input_ids": "tokens"},
        "nodes": nodes,
        "outputs": {"logits": "llm.logits", "joined": "both"},
    }


def load(made: Plain) -> Graph:
    return graphvlm.load(Source("looks.yaml", yaml.safe_dump(made, sort_keys=False)))


def in_turn(streams: list[Tensor]) -> Tensor:
    rows = [stream[:, place] for place in range(streams[0].size(1)) for stream in streams]
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize(
    ("patches", "settings", "count"),
    [
        ((4, 3), {"axis": "tokens"}, 9 + 16),
        ((4, 3, 6), {"axis": "tokens", "activation": "gelu"}, 9 + 16 + 4),
        ((4, 4, 4), {"axis": "tokens", "interleave": True}, 27),
    ],
)
def test_tokens_of_several_towers(patches: tuple[int, ...], settings: Plain, count: int) -> None:
    graph = load(plain(patches, **settings))
    assert graph.nodes["both"].signature.outputs["features"].shape[1:] == (count, 16)
    assert dict(graph.nodes["fused"].spec.tokens) == {"image": count}  # type: ignore[attr-defined]
    model = packaged(graph).Model()
    randomise(model)
    keywords = inputs(graph, sizes(graph))
    with torch.no_grad():
        made = model(**keywords)
        streams = [getattr(model, f"look_{index}")(keywords["image"]) for index in range(len(patches))]
    expected = in_turn(streams) if settings.get("interleave") else torch.cat(streams, dim=1)
    if "activation" in settings:
        expected = torch.nn.functional.gelu(expected)
    assert torch.equal(made.joined, expected)
    assert made.logits.isfinite().all()


def test_a_resolved_graph_names_masks_beside_streams() -> None:
    """Two texts behind each other: read again, the mask of one is no third stream."""
    words = {"kind": "encoder", "type": "token_embedding", "vocab": 9, "dim": 6}
    nodes: Plain = {name: {**words, "inputs": ids} for name, ids in (("one", "words"), ("two", "more"))}
    nodes["both"] = {"kind": "fusion", "type": "concat", "axis": "tokens", "inputs": {"one": "one", "two": "two"}}
    made = {"version": 1, "name": "texts", "inputs": {"words": "tokens", "more": "tokens"}, "nodes": nodes}
    files = graphvlm.render(load({**made, "outputs": {"joined": "both"}}))
    assert "one_mask: attention_mask" in files["graph.yaml"]
    assert graphvlm.render(graphvlm.load(Source("graph.yaml", files["graph.yaml"]))) == files


@pytest.mark.parametrize(
    ("patches", "settings", "rule", "said"),
    [
        ((4, 3), {"axis": "tokens", "interleave": True}, "shape-mismatch", "16"),
        ((4, 3), {}, "shape-mismatch", "16"),
        ((4, 4), {"interleave": True}, "unread-setting", "write `axis: tokens` too"),
    ],
)
def test_streams_that_do_not_go_together(patches: tuple[int, ...], settings: Plain, rule: str, said: str) -> None:
    with pytest.raises(GraphError) as failed:
        load(plain(patches, **settings))
    (found,) = failed.value.diagnostics
    assert found.rule == rule
    assert said in f"{found.message} {found.help}"
