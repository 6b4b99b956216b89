"""The ready training graphs at the sizes of recorded cases: what of a case says what of a graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import graphvlm
from graphvlm.ir import Graph

from .oracles import Case
from .running import GRAPHS, packaged


def sized(name: str, case: Case, more: tuple[str, ...] = ()) -> Graph:
    """A ready graph with the sizes of a recorded case."""
    config, nodes = case.config, graphvlm.load(GRAPHS / f"{name}.yaml").nodes
    found: dict[str, dict[str, Any]] = {}
    for node in nodes.values():
        if node.owner:
            continue
        if node.type == "vit":
            found[node.name] = _vision(config["vision"])
        elif node.type == "transformer":
            found[node.name] = _text(config.get(node.name) or config.get("text") or config["decoder"], node.kind)
        elif node.type == "projection":
            found[node.name] = {"out": config["embed_dim"]}
        elif node.type == "first_token":
            found[node.name] = {"token": config["token_ids"][_FIRST[node.name]]}
    more = (*more, "generation=null")
    overrides = [f"nodes.{name}={json.dumps(sizes)}" for name, sizes in found.items()]
    return graphvlm.load(GRAPHS / f"{name}.yaml", overrides=[*overrides, *more])


# What a text begins with, by the node that puts it there.
_FIRST = {"pair_ids": "enc", "text_ids": "dec_bos", "decoder_ids": "dec_bos"}


def _vision(sizes: dict[str, Any]) -> dict[str, Any]:
    return {
        "image": {"size": sizes["image_size"]},
        "patch": {"size": sizes["patch_size"]},
        "dim": sizes["width"],
        "layers": sizes["layers"],
        "norm": {"eps": sizes["layer_norm_eps"]},
        "attention": {"heads": sizes["heads"]},
        "mlp": {"hidden": int(sizes["width"] * sizes["mlp_ratio"])},
    }


def _text(sizes: dict[str, Any], kind: str) -> dict[str, Any]:
    count, lower = sizes["layers"], sizes.get("fusion_layer", 0)
    layers: dict[str, Any] = {"count": count}
    if lower:
        layers |= {"where": [{"name": "fusion", "range": [lower, count], "each": ["attn", "cross", "mlp"]}]}
    return {
        "vocab": sizes["vocab_size"],
        "dim": sizes["width"],
        "max_tokens": sizes["max_positions"],
        "layers": layers,
        "norm": {"eps": sizes["layer_norm_eps"]},
        "attention": {"heads": sizes["heads"]},
        "sublayers": {"cross": {"heads": sizes["heads"]}},
        "mlp": {"hidden": sizes["intermediate"]},
    }


def loaded(name: str, case: Case, *more: str) -> Any:
    """The package of such a graph with the recorded weights."""
    return packaged(sized(name, case, more)).from_pretrained(case.weights)


def inputs(case: Case) -> dict[str, Any]:
    """What most cases are given, under our names."""
    return {
        "image": case.inputs["image"],
        "input_ids": case.inputs["text.input_ids"],
        "attention_mask": case.inputs["text.attention_mask"],
    }


def folder(path: Path, name: str) -> Path:
    """A folder of its own for a case."""
    made = path / name
    made.mkdir()
    return made
