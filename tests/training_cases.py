"""The ready training graphs at the sizes of recorded cases: what of a case says what of a graph."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import graphvlm
from graphvlm.ir import Graph, Node

from .oracles import Case, agree
from .running import GRAPHS, packaged


def sized(name: str, case: Case, more: tuple[str, ...] = ()) -> Graph:
    """A ready graph with the sizes of a recorded case."""
    config, nodes = case.config, graphvlm.load(GRAPHS / f"{name}.yaml").nodes
    found: dict[str, dict[str, Any]] = {}
    for node in nodes.values():
        if node.follows and not node.owner:
            found[node.name] = {"module": {"decay": config["momentum"]}}
        if called := node.tree.get("call", "layers"):
            first, end = called.plain()
            count, lower = config["text"]["layers"], config["text"]["fusion_layer"]
            found.setdefault(node.name, {})["layers"] = [lower if first else 0, count if end == _WHOLE else lower]
        if node.source == node.name and (sizes := _sizes(name, node, config)):
            found[node.name] = sizes
    more = (*more, "generation=null")
    overrides = [f"nodes.{name}={json.dumps(sizes)}" for name, sizes in found.items()]
    return graphvlm.load(GRAPHS / f"{name}.yaml", overrides=[*overrides, *more])


def _sizes(name: str, node: Node, config: dict[str, Any]) -> dict[str, Any]:
    """What a case says of a node that has weights or state."""
    if node.type == "transformer":
        return _stack(node, config)
    if node.kind == "loss" and node.tree.get("distill"):
        epochs = 1 if "vqa" in name or "classification" in name else 2
        steps = epochs * config["schedule"]["num_iters_per_epoch"]
        return {"distill": {"weight": config["alpha"], "steps": steps}}
    known: dict[str, Callable[[], dict[str, Any]]] = {
        "vit": lambda: _vision(config["vision"]),
        "video_vit": lambda: _video(config["vision"]),
        "projection": lambda: {"out": config["embed_dim"]},
        "similarity": lambda: _temperature(node, config),
        "first_token": lambda: {"token": config["token_ids"][_FIRST.get(node.name) or _began(config)]},
        "classifier": lambda: {
            "classes": config["num_classes"],
            "hidden": config["text"]["width"] * (2 if "frames" in config["vision"] else 1),
        },
        "queue": lambda: {"size": config["queue_size"]},
        "candidates": lambda: {"top": config.get("k_test") or config["num_ans_candidates"]},
    }
    needs = {"classifier": "num_classes", "similarity": "temp"}
    there = node.type in known and needs.get(node.type, "vision") in config
    return known[node.type]() if there else {}


def _temperature(node: Node, config: dict[str, Any]) -> dict[str, Any]:
    plain = node.tree.get("temperature") and not node.tree.get("temperature", "init")
    return {"temperature": config["temp"]} if plain else {}


def _stack(node: Node, config: dict[str, Any]) -> dict[str, Any]:
    if node.kind == "projector":
        return _queries(config["qformer"], text=bool(node.tree.get("segments", "text")))
    if "opt" in config:
        return _opt(config["opt"])
    if "t5" in config:
        return _t5(config["t5"], cross=node.kind == "decoder")
    own: dict[str, Any] = (config.get("decoder") if node.kind == "decoder" else config.get("text")) or {}
    if node.tree.get("layers", "share") or "two_image_cross_attention" in own:
        return _pairs(own)
    found = _text(own or config.get("text") or config["decoder"])
    if own.get("cross_attention") is False:
        found = {key: value for key, value in found.items() if key != "sublayers"}
        found["layers"] = {"count": own["layers"]}
    if node.tree.get("layers", "run"):
        found["layers"]["run"] = [0, config["text"]["fusion_layer"]]
    return found


def _began(config: dict[str, Any]) -> str:
    """What texts that are written begin with."""
    return "dec_bos" if "dec_bos" in config["token_ids"] else "cls"


# What a text begins with that is read, by the node that puts it there.
_FIRST = {"pair_ids": "enc", "question_ids": "enc"}


def _vision(sizes: dict[str, Any]) -> dict[str, Any]:
    return {
        "image": {"size": sizes["image_size"]},
        "patch": {"size": sizes["patch_size"]},
        "dim": sizes["width"],
        "layers": sizes["layers"],
        "norm": {"eps": sizes["layer_norm_eps"]},
        "attention": {"heads": sizes["heads"]},
        "mlp": {"hidden": sizes.get("mlp_hidden") or int(sizes["width"] * sizes["mlp_ratio"])},
    }


def _queries(sizes: dict[str, Any], *, text: bool) -> dict[str, Any]:
    heads, mlp = sizes["heads"], {"hidden": sizes["intermediate"]}
    more = {"vocab": sizes["vocab_size"], "position": {"max": sizes["max_positions"]}} if text else {}
    return {
        "segments": {"query": {"learned": sizes["num_query_tokens"]}},
        **more,
        "dim": sizes["width"],
        "layers": {"count": sizes["layers"]},
        "norm": {"eps": sizes["layer_norm_eps"]},
        "attention": {"heads": heads},
        "mlp": mlp,
        "sublayers": {"cross": {"heads": heads}, **({"text_mlp": mlp} if text else {})},
    }


def _pairs(sizes: dict[str, Any]) -> dict[str, Any]:
    """A stack that attends to two images: which layers do is as published."""
    found = _text({**sizes, "fusion_layer": 0})
    found["layers"] = {"count": sizes["layers"]}
    heads = {"heads": sizes["heads"]}
    if "two_image_cross_attention" not in sizes:
        return found | {"sublayers": {"cross": heads}}
    joined: dict[str, Any] = {
        "cross_0": {"residual": {"scale": 1.0, "join": True}},
        "cross_1": {"residual": {"scale": 1.0}},
    }
    where = {"name": "joined", "range": [sizes["concat_merge_from_layer"], sizes["layers"]], "sublayers": joined}
    found["layers"]["where"] = [where]
    return found | {"sublayers": {"cross_0": heads, "cross_1": heads}}


def _opt(sizes: dict[str, Any]) -> dict[str, Any]:
    return {
        "vocab": sizes["vocab_size"],
        "dim": sizes["hidden_size"],
        "max_tokens": sizes["max_position_embeddings"],
        "layers": sizes["num_hidden_layers"],
        "attention": {"heads": sizes["num_attention_heads"]},
        "mlp": {"hidden": sizes["ffn_dim"]},
    }


def _t5(sizes: dict[str, Any], *, cross: bool) -> dict[str, Any]:
    heads = {"heads": sizes["num_heads"], "head_dim": sizes["d_kv"]}
    layers, vocab = {"count": sizes["num_layers"]}, {"vocab": sizes["vocab_size"]}
    buckets, distance = (sizes[f"relative_attention_{name}"] for name in ("num_buckets", "max_distance"))
    return {
        "dim": sizes["d_model"],
        "layers": layers if cross else sizes["num_layers"],
        "attention": heads,
        "mlp": {"hidden": sizes["d_ff"]},
        "position": {"buckets": buckets, "max_distance": distance},
        **({"sublayers": {"cross": heads}, **vocab} if cross else {}),
    }


def _video(sizes: dict[str, Any]) -> dict[str, Any]:
    heads = {"heads": sizes["heads"]}
    layers = {"count": sizes["layers"]}
    return _vision(sizes) | {"frames": sizes["frames"], "layers": layers, "sublayers": {"time": heads}}


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

    def __init__(self, case: Case, call: str = "") -> None:
        self.case, self.call, self.asked = case, call, iter(("image", "text"))

    def __call__(self, weights: Tensor, count: int) -> Tensor:
        kind = next(self.asked)
        expected = self.case.outputs[f"{self.call}weights_neg_{kind}"]
        shares = (each / each.sum(dim=1, keepdim=True) for each in (weights, expected))
        torch.testing.assert_close(*shares, rtol=1e-4, atol=1e-6)
        return self.case.inputs[f"rand.{self.call}neg_{kind}_idx"][:, None]


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
