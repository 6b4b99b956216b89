"""Image tokens before the text, and projectors alone, against recorded outputs of KempnerForge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from .oracles import agree, check_gradients, loaded, marks, recorded

pytestmark = marks("kempnerforge")

NAMES = {
    "embed": "token_embedding.embedding",
    "layers.*.attn_norm": "layers.*.attention_norm",
    "layers.*.attn.wq": "layers.*.attention.q_proj",
    "layers.*.attn.wk": "layers.*.attention.k_proj",
    "layers.*.attn.wv": "layers.*.attention.v_proj",
    "layers.*.attn.wo": "layers.*.attention.o_proj",
    "layers.*.attn.q_norm": "layers.*.attention.q_norm",
    "layers.*.attn.k_norm": "layers.*.attention.k_norm",
    "layers.*.mlp_norm": "layers.*.mlp_norm",
    "layers.*.mlp.gate": "layers.*.mlp.gate_proj",
    "layers.*.mlp.up": "layers.*.mlp.up_proj",
    "layers.*.mlp.down": "layers.*.mlp.down_proj",
    "norm": "norm",
    "head": "output_head.proj",
}


def projector(adapter: dict[str, Any]) -> dict[str, Any]:
    """The node for an adapter of the reference."""
    if adapter["type"] in ("linear", "avgpool"):  # pooling has no weights
        return {"kind": "projector", "type": "linear", "checkpoint": {"names": {"linear": "proj"}}}
    names = {"names": {"linear_1": "proj1", "linear_2": "proj2"}}
    hidden = {"hidden": adapter["hidden_dim"]} if adapter["hidden_dim"] else {}
    return {"kind": "projector", "type": "mlp", "activation": adapter["activation"], "checkpoint": names, **hidden}


def joint_decoder(config: dict[str, Any]) -> dict[str, Any]:
    """The graph for a recorded joint decoder."""
    model, vision = config["model"], config["vision"]
    llm = {
        "kind": "decoder",
        "type": "transformer",
        "inputs": "fused",
        "vocab": model["vocab_size"],
        "dim": model["dim"],
        "max_tokens": model["max_seq_len"],
        "layers": model["n_layers"],
        "norm": {"type": "rms", "eps": model["norm_eps"]},
        "attention": {
            "heads": model["n_heads"],
            "kv_heads": model["n_kv_heads"],
            "qk_norm": {"type": "rms", "eps": 1e-5},  # whatever the config says, as its notes explain
        },
        "mlp": {"hidden": model["ffn_hidden_dim"], "activation": model["activation"], "gated": True},
        "position": {"type": "rope", "theta": model["rope_theta"]},
        "checkpoint": {"names": NAMES},
    }
    features = {"type": "features", "dim": vision["feature_dim"], "tokens": vision["visual_tokens"]}
    return {
        "version": 1,
        "name": "joint_decoder",
        "inputs": {"vision_features": features, "input_ids": "tokens"},
        "nodes": {
            "adapter": {**projector(config["adapter"]), "inputs": "vision_features"},
            "text": {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"},
            "fused": {"kind": "fusion", "type": "prefix", "inputs": {"image": "adapter", "text": "text"}},
            "llm": llm,
        },
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"prefixes": {"adapter": "adapter.", "llm": "transformer."}},
    }


def test_joint_decoder(tmp_path: Path) -> None:
    case = recorded("kempnerforge/joint_decoder", tmp_path)
    model = loaded(joint_decoder(case.config), case)
    assert sum(parameter.numel() for parameter in model.parameters()) == case.config["n_parameters"]
    blocks: dict[str, Tensor] = {}
    for index, layer in enumerate(model.llm.layers):
        name = f"tap.transformer.layers.{index}#0"
        layer.register_forward_hook(lambda *found, name=name: blocks.update({name: found[2]}))
    model.adapter.register_forward_hook(lambda *found: blocks.update({"tap.adapter#0": found[2]}))
    logits = model(case.inputs["input_ids"], vision_features=case.inputs["vision_features"]).logits
    assert agree(logits, case.outputs["logits"])
    assert blocks.keys() == {name for name in case.outputs if name.startswith("tap.")}
    for name, value in blocks.items():
        assert agree(value, case.outputs[name]), name
    loss = F.cross_entropy(logits.flatten(0, 1), case.inputs["labels"].flatten())  # the reference does not shift
    assert agree(loss, case.outputs["loss"])
    torch.autograd.backward(loss)
    check_gradients(model, case)


def test_joint_decoder_loss(tmp_path: Path) -> None:
    """Our loss shifts labels and computes few logits: the same number, for labels moved one to the right."""
    case = recorded("kempnerforge/joint_decoder", tmp_path)
    model = loaded(joint_decoder(case.config), case)
    ids, labels = case.inputs["input_ids"], case.inputs["labels"]
    moved = F.pad(labels, (1, 0), value=-100)
    longer = F.pad(ids, (0, 1))  # a last token, which predicts nothing
    assert agree(model.loss(longer, moved, case.inputs["vision_features"]), case.outputs["loss"])


def test_frames_of_a_video(tmp_path: Path) -> None:
    """Three frames before each text, where all are there: the rest of the recording hides some and keeps positions.

    Its pooling has ragged edges, which ours has not: it is done here.
    """
    case = recorded("kempnerforge/joint_decoder_video", tmp_path)
    model, vision = case.config["model"], case.config["vision"]
    graph = joint_decoder(case.config)
    graph["inputs"]["vision_features"]["tokens"] = 4
    graph["nodes"]["fused"]["images"] = vision["frames_per_clip"]
    graph["nodes"]["llm"] |= {"norm": {"type": "layer", "eps": model["norm_eps"]}, "head": {"tied": True}}
    graph["nodes"]["llm"]["attention"]["qk_norm"] = "none"
    whole = case.inputs["frame_mask"].all(dim=1)
    grid = case.inputs["vision_features"][whole].flatten(0, 1).transpose(1, 2).reshape(-1, 20, 3, 3)
    pooled = F.avg_pool2d(grid, 2, ceil_mode=True, count_include_pad=False).flatten(2).transpose(1, 2)
    logits = loaded(graph, case)(case.inputs["input_ids"][whole], vision_features=pooled).logits
    assert int(whole.sum()) == 1
    assert agree(logits, case.outputs["logits"][whole])


@pytest.mark.parametrize("name", ["adapter_linear", "adapter_mlp_2layer", "adapter_mlp_2layer_relu"])
def test_adapter(name: str, tmp_path: Path) -> None:
    case = recorded(f"kempnerforge/{name}", tmp_path)
    config = case.config
    node = {**projector(config["adapter"]), "inputs": "x", "out": config["out_dim"]}
    graph = {
        "version": 1,
        "name": "adapter",
        "inputs": {"x": {"type": "features", "dim": config["in_dim"], "tokens": config["in_tokens"]}},
        "nodes": {"adapter": node},
        "outputs": {"y": "adapter"},
        "checkpoint": {"prefixes": {"adapter": ""}},
    }
    model = loaded(graph, case)
    x = case.inputs["x"].requires_grad_()
    made = model(x).y
    assert agree(made, case.outputs["y"])
    loss = F.mse_loss(made, case.inputs["target"])
    assert agree(loss, case.outputs["loss"])
    torch.autograd.backward(loss)
    assert x.grad is not None
    assert agree(x.grad, case.outputs["grad_x"])
    check_gradients(model, case)


@pytest.mark.parametrize(("window", "output"), [(2, "y"), (3, "y_window3")])
def test_pooling_by_attention(window: int, output: str, tmp_path: Path) -> None:
    """The mean of each window attends to what is in it, and a projection follows."""
    case = recorded("kempnerforge/adapter_attentional_pool", tmp_path)
    config = case.config
    names = {f"layers.*.cross.w{name}": f"{name}_proj" for name in "qkvo"}
    cross = {"op": "attention", "heads": config["adapter"]["pool_heads"], "bias": True, "kv": "image"}
    pool = {
        "kind": "projector",
        "type": "transformer",
        "inputs": {"image": "x"},
        "segments": {"query": {"window": window}},
        "layers": {"count": 1, "each": ["cross"]},
        "norm": {"type": "layer", "place": "none"},
        "sublayers": {"cross": {**cross, "residual": {"skip": False}}},
        "final_norm": False,
        "checkpoint": {"names": names},
    }
    linear = {"kind": "projector", "type": "linear", "inputs": "pool", "out": config["out_dim"]}
    graph = {
        "version": 1,
        "name": f"pooled_{output}",
        "inputs": {"x": {"type": "features", "dim": config["in_dim"], "tokens": config["in_tokens"]}},
        "nodes": {"pool": pool, "adapter": {**linear, "checkpoint": {"names": {"linear": "out_proj"}}}},
        "outputs": {"y": "adapter"},
        "checkpoint": {"prefixes": {"pool": "", "adapter": ""}},
    }
    model = loaded(graph, case)
    x = case.inputs["x"].requires_grad_()
    made = model(x).y
    assert agree(made, case.outputs[output])
    if output == "y":
        loss = F.mse_loss(made, case.inputs["target"])
        assert agree(loss, case.outputs["loss"])
        torch.autograd.backward(loss)
        assert x.grad is not None
        assert agree(x.grad, case.outputs["grad_x"])
        check_gradients(model, case)
