"""A tower over tiles of images, against recorded outputs of Llama 3.2 Vision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from .oracles import agree, check_gradients, loaded, marks, recorded
from .test_oracles_cross import gated_decoder, visible


def tower(config: dict[str, Any]) -> dict[str, Any]:
    """The graph for a recorded tower with its projection."""
    vision, width = config["vision"], config["text"]["dim"]
    local, behind = vision["layers"], vision["global_layers"]
    attention = {"heads": vision["heads"]}
    mlp = {"hidden": int(vision["mlp_ratio"] * vision["width"]), "activation": "gelu", "bias": True}
    node = {
        "kind": "encoder",
        "type": "tiled_vit",
        "inputs": {"tiles": "images", "tile_grid": "aspect_ratios"},
        "image": {"size": vision["image"]},
        "tiles": vision["max_tiles"],
        "patch": {"size": vision["patch"]},
        "multiple": 8,
        "dim": vision["width"],
        "norm": {"type": "layer", "eps": 1e-5},
        "attention": attention,
        "mlp": mlp,
        "sublayers": {
            "global_attn": {"op": "attention", **attention, "residual": "tanh"},
            "global_mlp": {"op": "mlp", **mlp, "residual": "tanh"},
        },
        "layers": {
            "count": local + behind,
            "where": [{"range": [local, local + behind], "each": ["global_attn", "global_mlp"]}],
        },
        "global_layers": behind,
        "taps": vision["taps"],
        "checkpoint": {"use": "checkpoint/meta_llama_3_2_vision"},
    }
    return {
        "version": 1,
        "name": "tower",
        "inputs": {"images": "tiles", "aspect_ratios": "tile_grid"},
        "nodes": {
            "vision": node,
            "projector": {
                "kind": "projector",
                "type": "linear",
                "out": width,
                "inputs": "vision",
                "checkpoint": {"names": {"linear.weight": "weight", "linear.bias": "bias"}},
            },
        },
        "outputs": {"features": "projector"},
        "checkpoint": {"prefixes": {"vision": "vision_encoder.", "projector": "vision_projection."}},
    }


def test_tower(tmp_path: Path) -> None:
    """Two images of up to four tiles a sample, in several arrangements."""
    case = recorded("meta_llama32/vision_encoder", tmp_path)
    model = loaded(tower(case.config["config"]), case)
    assert sum(parameter.numel() for parameter in model.parameters()) == case.config["n_parameters"]
    features = model(**{name: case.inputs[name] for name in ("images", "aspect_ratios")}).features
    assert agree(features, case.outputs["vision_tokens"].flatten(1, 3))
    loss = F.mse_loss(features, case.inputs["target"].flatten(1, 3))
    assert agree(loss, case.outputs["loss"])
    torch.autograd.backward(loss)
    check_gradients(model, case)


def test_tower_and_decoder(tmp_path: Path) -> None:
    """Images to logits, with one loss for all: the gradients of both."""
    case = recorded("meta_llama32/text_xattn", tmp_path)
    graph, decoder = tower(case.config["config"]), gated_decoder(case.config["config"]["text"])
    decoder["nodes"]["llm"]["inputs"]["image"] = "projector"
    graph["inputs"] |= {"input_ids": "tokens", "image_visible": "visible"}
    graph |= {"nodes": graph["nodes"] | decoder["nodes"], "outputs": decoder["outputs"]}
    prefixes = graph["checkpoint"]["prefixes"]
    own = {name: f"vision_model.{prefix}" for name, prefix in prefixes.items()}
    graph["checkpoint"] = {"prefixes": own | decoder["checkpoint"]["prefixes"]}
    model = loaded(graph, case)
    assert sum(parameter.numel() for parameter in model.parameters()) == case.config["n_parameters"]
    ids = case.inputs["tokens"]
    images = {name: case.inputs[name] for name in ("images", "aspect_ratios")}
    logits = model(ids, **images, image_visible=visible(case)).logits
    assert agree(logits, case.outputs["logits_full"])
    targets = ids[:, 1:].masked_fill(ids[:, 1:] >= logits.size(2), -100)  # images are read, not written
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten())
    assert agree(loss, case.outputs["loss"])
    torch.autograd.backward(loss)
    check_gradients(model, case)


pytestmark = marks("meta_llama32")
