"""Attention over image features in a decoder, against recorded outputs of KempnerForge and of Llama 3.2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from .oracles import agree, check_gradients, loaded, marks, recorded
from .test_oracles_prefix import joint_decoder

CROSS_NAMES = {
    "layers.*.cross_norm": "cross_attention_layers.#.attn_norm",
    "layers.*.cross.wq": "cross_attention_layers.#.attn.q_proj",
    "layers.*.cross.wk": "cross_attention_layers.#.attn.k_proj",
    "layers.*.cross.wv": "cross_attention_layers.#.attn.v_proj",
    "layers.*.cross.wo": "cross_attention_layers.#.attn.o_proj",
    "layers.*.cross_mlp_norm": "cross_attention_layers.#.mlp_norm",
    "layers.*.cross_mlp.gate": "cross_attention_layers.#.mlp.gate_proj",
    "layers.*.cross_mlp.up": "cross_attention_layers.#.mlp.up_proj",
    "layers.*.cross_mlp.down": "cross_attention_layers.#.mlp.down_proj",
}


def cross_attention(config: dict[str, Any]) -> dict[str, Any]:
    """The graph for a recorded decoder with cross-attention: that of the joint decoder, fed at another place."""
    graph, model, vlm = joint_decoder(config), config["model"], config["vlm"]
    llm, norm = graph["nodes"]["llm"], {"norm": {"eps": 1e-5}}  # whatever the config says, as its notes explain
    every = vlm["cross_attention_every_n_layers"]
    heads = {
        "heads": vlm.get("cross_attention_n_heads") or model["n_heads"],
        "kv_heads": vlm.get("cross_attention_n_kv_heads") or model["n_heads"],
    }
    video = config["vision"]["frames_per_clip"] > 1
    masked = {"mask": {"present": "frames"}} if video else {}
    llm["sublayers"] = {
        "cross": {"op": "attention", "kv": "image", "kv_dim": model["dim"], **heads, **masked, **norm},
        "cross_mlp": {"op": "mlp", **llm["mlp"], **norm},
    }
    order = {"every": every, "from": every - 1, "each": ["attn", "mlp", "cross", "cross_mlp"]}
    llm["layers"] = {"count": model["n_layers"], "where": [order]}
    llm["checkpoint"]["names"] = llm["checkpoint"]["names"] | CROSS_NAMES
    llm["inputs"] = {"features": "text", "image": "adapter"}
    if video:
        llm["inputs"]["frames"] = "frame_mask"
        graph["inputs"]["frame_mask"] = "mask"
        llm["attention"]["qk_norm"] = {"type": "rms", "eps": 1e-5} if model["qk_norm"] else "none"
    del graph["nodes"]["fused"]
    return graph


@pytest.mark.parametrize("name", ["cross_attention", "cross_attention_video"])
def test_cross_attention(name: str, tmp_path: Path) -> None:
    case = recorded(f"kempnerforge/{name}", tmp_path)
    model = loaded(cross_attention(case.config), case)
    assert sum(parameter.numel() for parameter in model.parameters()) == case.config["n_parameters"]
    inputs = {key: case.inputs[key] for key in ("input_ids", "vision_features", "frame_mask") if key in case.inputs}
    inputs["vision_features"] = inputs["vision_features"].flatten(1, -2)  # frame by frame
    logits = model(**inputs).logits
    assert agree(logits, case.outputs["logits"])
    loss = F.cross_entropy(logits.flatten(0, 1), case.inputs["labels"].flatten())  # the reference does not shift
    assert agree(loss, case.outputs["loss"])
    torch.autograd.backward(loss)
    check_gradients(model, case)


pytestmark = marks("kempnerforge")
