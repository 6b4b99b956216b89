"""Attention over image features in a decoder, against recorded outputs of KempnerForge and of Llama 3.2."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from .oracles import Case, agree, check_gradients, loaded, marks, recorded
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


def gated_decoder(text: dict[str, Any]) -> dict[str, Any]:
    """The graph for a recorded text model with gated layers over image features, before the layers they belong to."""
    every = -(-text["layers"] // text["xattn_layers"])
    first = (text["layers"] - 1) % every
    heads = {"heads": text["heads"], "kv_heads": text["kv_heads"]}
    hidden = -(-(8 * text["dim"] // 3) // text["multiple_of"]) * text["multiple_of"]
    mlp = {"hidden": hidden, "activation": "silu", "gated": True}
    over_image = {"rows": "image", "residual": "tanh"}
    cross = {"kv": "image", "mask": {"visible": "image_visible"}, "qk_norm": "rms"}
    scaling = {"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    llm = {
        "kind": "decoder",
        "type": "transformer",
        "inputs": {"features": "text", "image": "image_features", "image_visible": "image_visible"},
        "vocab": text["vocab"],
        "dim": text["dim"],
        "max_tokens": text["max_seq"],
        "norm": {"type": "rms", "eps": text["norm_eps"]},
        "attention": heads,
        "mlp": mlp,
        "sublayers": {
            "cross": {"op": "attention", **heads, **cross, **over_image},
            "cross_mlp": {"op": "mlp", **mlp, **over_image},
        },
        "layers": {
            "count": text["layers"],
            "where": [{"every": every, "from": first, "each": ["cross", "cross_mlp", "attn", "mlp"]}],
        },
        "position": {
            "type": "rope",
            "style": "interleaved",
            "theta": text["rope_theta"],
            "scaling": {**scaling, "original_max_tokens": 8192},
        },
        "checkpoint": {"use": "checkpoint/meta_llama_3_2_text"},
    }
    return {
        "version": 1,
        "name": "gated_decoder",
        "inputs": {
            "image_features": {"type": "features", "dim": text["dim"]},
            "image_visible": "visible",
            "input_ids": "tokens",
        },
        "nodes": {
            "text": {"kind": "encoder", "type": "token_embedding", "extra_rows": 8, "inputs": "input_ids"},
            "llm": llm,
        },
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"prefixes": {"llm": "text_model."}},
    }


@pytest.mark.parametrize("name", ["text_xattn", "text_xattn_consecutive_images"])
def test_gated_decoder(name: str, tmp_path: Path) -> None:
    """Two images in a sequence, tokens that see none, a sample without any; at once, and token by token."""
    case = recorded(f"meta_llama32/{name}", tmp_path)
    weights = load_file(case.weights / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k.startswith("text")}, case.weights / "model.safetensors")
    model = loaded(gated_decoder(case.config["config"]["text"]), case)
    ids = case.inputs["tokens"]
    given = {"image_features": case.outputs["vision_tokens"].flatten(1, 3), "image_visible": visible(case)}
    blocks: dict[str, Tensor] = {}
    for index, layer in enumerate(model.llm.layers):
        key = f"tap.text_model.layers.{index}#0"
        layer.register_forward_hook(lambda *found, key=key: blocks.update({key: found[2]}))
    with torch.no_grad():
        logits = model(ids, **given).logits
        for key, value in blocks.items():
            assert agree(value, case.outputs[key]), key
        assert agree(logits, case.outputs["logits_full"])
        # as its `call` says, without images the reference was given the last ordinary token in place of theirs
        text = ids.clamp(max=model.config.llm.vocab - 1)
        assert agree(model(text).logits, case.outputs["logits_text_only"])
    check_decoding(model, ids, given, case)


def visible(case: Case) -> Tensor:
    """Which tiles each token sees, of a recording that says it for each of their tokens."""
    rows = case.outputs["full_text_row_masked_out_mask"][:, 0].bool()
    seen = (case.outputs["cross_attention_masks"][:, 0] == 0) & rows
    images, tiles, keys = case.outputs["vision_tokens"].shape[1:4]
    return seen.view(*case.inputs["tokens"].shape, images, tiles, keys)[..., 0]


def check_decoding(model: Any, ids: Tensor, given: dict[str, Tensor], case: Case) -> None:
    """A prompt into the cache, padded on a side or not, then token by token.

    What the last token of the prompt sees, the others see too.
    """
    prefill = case.outputs["logits_prefill"]
    length = prefill.size(1)
    cache_class = sys.modules[f"{type(model).__module__.rpartition('.')[0]}.generate"].KVCache
    visible = given["image_visible"]
    first = {**given, "image_visible": visible[:, :length]}
    alike = (visible[:, length - 1 : length] == visible[:, length:]).flatten(1).all(1)
    assert alike.any()
    for left, right in ((0, 0), (2, 0), (0, 3)):
        prompt = F.pad(ids[:, :length], (left, right), value=1)
        mask = F.pad(torch.ones_like(ids[:, :length]), (left, right))
        padded = {**first, "image_visible": F.pad(visible[:, :length].long(), (0, 0, 0, 0, left, right))}
        cache = cache_class(model.config.llm.layers, len(ids), left + right + ids.size(1), ids.device)
        with torch.no_grad():
            made = [model.decode(prompt, **padded, attention_mask=mask, cache=cache).logits[:, left:][:, :length]]
            made += [model.decode(token, cache=cache).logits for token in torch.split(ids[:, length:], 1, dim=1)]
        assert agree(made[0], prefill)
        assert agree(torch.cat(made[1:], dim=1)[alike], case.outputs["logits_decode"][alike])


pytestmark = marks("kempnerforge")
