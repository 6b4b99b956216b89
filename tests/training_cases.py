"""The ready training graphs at the sizes of recorded cases: what of a case says what of a graph."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import graphvlm
from graphvlm.ir import Graph

from .oracles import Case, agree
from .running import GRAPHS, packaged


def sized(name: str, case: Case, more: tuple[str, ...] = ()) -> Graph:
    """A ready graph with the sizes of a recorded case."""
    config, nodes = case.config, graphvlm.load(GRAPHS / f"{name}.yaml").nodes
    found: dict[str, dict[str, Any]] = {}
    schedule = config.get("schedule")
    for node in nodes.values():
        if node.follows and not node.owner:
            found[node.name] = {"module": {"decay": config["momentum"]}}
        if called := node.tree.get("call", "layers"):
            first, end = called.plain()
            count, lower = config["text"]["layers"], config["text"]["fusion_layer"]
            found.setdefault(node.name, {})["layers"] = [lower if first else 0, count if end == _WHOLE else lower]
        if node.source != node.name:
            continue
        if node.type == "vit":
            found[node.name] = _vision(config["vision"])
        elif node.type == "transformer":
            found[node.name] = _text(config.get(node.name) or config.get("text") or config["decoder"])
            if node.tree.get("layers", "run"):
                found[node.name]["layers"]["run"] = [0, config["text"]["fusion_layer"]]
        elif node.type == "projection":
            found[node.name] = {"out": config["embed_dim"]}
        elif node.type == "first_token":
            found[node.name] = {"token": config["token_ids"][_FIRST[node.name]]}
        elif node.type == "classifier" and "num_classes" in config:
            found[node.name] = {"classes": config["num_classes"], "hidden": config["text"]["width"]}
        elif node.type == "queue":
            found[node.name] = {"size": config["queue_size"]}
        elif node.kind == "loss" and schedule and node.tree.get("distill"):
            epochs = 1 if "vqa" in name or "classification" in name else 2
            found[node.name] = {
                "distill": {"weight": config["alpha"], "steps": epochs * schedule["num_iters_per_epoch"]}
            }
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


# The layers of a published stack.
_WHOLE = 12


def _text(sizes: dict[str, Any]) -> dict[str, Any]:
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


def step_of(case: Case) -> int:
    """The step at which a case was recorded."""
    schedule: dict[str, int] = case.config["schedule"]
    return schedule["epoch"] * schedule["num_iters_per_epoch"] + schedule["iters"]


class Drawn:
    """The negatives that the reference drew, in place of ours; the weights have to be as recorded."""

    def __init__(self, case: Case) -> None:
        self.case, self.asked = case, iter(("image", "text"))

    def __call__(self, weights: Tensor, count: int) -> Tensor:
        kind = next(self.asked)
        expected = self.case.outputs[f"weights_neg_{kind}"]
        shares = (each / each.sum(dim=1, keepdim=True) for each in (weights, expected))
        torch.testing.assert_close(*shares, rtol=1e-4, atol=1e-6)
        return self.case.inputs[f"rand.neg_{kind}_idx"][:, None]


def check_state(model: Any, case: Case) -> None:
    """Everything that the step changed besides gradients: teachers, queues, pointer, temperature."""
    pieces = sys.modules[f"{type(model).__module__.rpartition('.')[0]}.checkpoint"].pieces_of(model)
    twice = {name for names in case.config.get("tied_keys", []) for name in names[1:]}
    changed = {key.removeprefix("after."): value for key, value in case.outputs.items() if key.startswith("after.")}
    assert changed.keys() - twice
    for key in changed.keys() - twice:
        made, expected = torch.cat(pieces[key]).float(), changed[key].float()
        turned = made.T if key in ("image_queue", "text_queue") else made
        assert agree(turned.reshape(expected.shape), expected), key
