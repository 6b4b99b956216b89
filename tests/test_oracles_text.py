"""Queries before a text that is encoded, and a decoder that attends to both, against recorded outputs of LAVIS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from .oracles import agree, check_gradients, loaded, marks, recorded
from .running import ROOT

pytestmark = marks("lavis")

NAMES = ROOT / "graphs" / "catalog" / "checkpoint"


def names(part: str) -> dict[str, str]:
    """The names of a part of the catalog."""
    found: dict[str, str] = yaml.safe_load((NAMES / f"{part}.yaml").read_text(encoding="utf-8"))["names"]
    return found


def stack(kind: str, t5: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The encoder or the decoder."""
    heads = {"heads": t5["num_heads"], "head_dim": t5["d_kv"], "bias": False, "scale": 1.0}
    buckets, most = t5["relative_attention_num_buckets"], t5["relative_attention_max_distance"]
    node = {
        "kind": kind,
        "type": "transformer",
        "dim": t5["d_model"],
        "max_tokens": 64,
        "layers": t5["num_layers"],
        "norm": {"type": "rms", "eps": t5["layer_norm_epsilon"]},
        "attention": heads,
        "mlp": {"hidden": t5["d_ff"], "activation": "gelu", "gated": True, "bias": False},
        "position": {"type": "relative", "buckets": buckets, "max_distance": most},
        "checkpoint": {"use": f"checkpoint/t5_{kind}_gated"},
    }
    if kind == "decoder":
        node["layers"] = {"count": t5["num_decoder_layers"], "each": ["attn", "cross", "mlp"]}
        node["sublayers"] = {"cross": {"op": "attention", **heads, "kv": "encoded"}}
    return node | more


def queries(qformer: dict[str, Any]) -> dict[str, Any]:
    """The queries, without what is of a text beside them."""
    heads = {"heads": qformer["heads"], "bias": True}
    crossed = {"name": "crossed", "every": qformer["cross_attention_every"], "each": ["attn", "cross", "mlp"]}
    theirs = names("qformer") | {"input_norm": "embeddings.LayerNorm"}
    return {
        "kind": "projector",
        "type": "transformer",
        "inputs": {"image": "image_features"},
        "segments": {"query": {"learned": qformer["num_query_tokens"]}},
        "dim": qformer["width"],
        "layers": {"count": qformer["layers"], "where": [crossed]},
        "norm": {"type": "layer", "eps": qformer["layer_norm_eps"], "place": "post"},
        "attention": heads,
        "mlp": {"hidden": qformer["intermediate"], "activation": "gelu", "bias": True},
        "sublayers": {"cross": {"op": "attention", **heads, "kv": "image"}},
        "input_norm": True,
        "final_norm": False,
        "checkpoint": {
            "names": {key: name.replace("attention.attention.", "attention.self.") for key, name in theirs.items()},
            "leading": {"query": 1},
            "ignore": ["embeddings.position_*"],
        },
    }


def graph(config: dict[str, Any]) -> dict[str, Any]:
    """Everything behind the tower, whose features are given."""
    t5, width = config["t5"], config["vision"]["width"]
    return {
        "version": 1,
        "name": "queries_text_to_text",
        "inputs": {
            "image_features": {"type": "features", "dim": width, "tokens": config["vision"]["tokens"]},
            "input_ids": "tokens",
            "attention_mask": "mask",
            "decoder_input_ids": "tokens",
            "decoder_attention_mask": "mask",
        },
        "nodes": {
            "queries": queries(config["qformer"]),
            "projector": {
                "kind": "projector",
                "type": "linear",
                "inputs": "queries",
                "checkpoint": {"names": {"linear": "t5_proj"}, "ignore": ["visual_encoder.*", "ln_vision.*"]},
            },
            "text": {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"},
            "fused": {"kind": "fusion", "type": "prefix", "inputs": {"image": "projector", "text": "text"}},
            "decoder_text": {"module": "text", "inputs": "decoder_input_ids"},
            "encoder": stack("encoder", t5, inputs="fused"),
            "decoder": stack(
                "decoder",
                t5,
                inputs={"features": "decoder_text", "encoded": "encoder"},
                vocab=t5["vocab_size"],
                head={"tied": True},
            ),
        },
        "outputs": {"logits": "decoder.logits", "encoded": "encoder"},
        "checkpoint": {
            "prefixes": {
                "queries": {"query_tokens": "query_tokens", "": "Qformer.bert."},
                "projector": "",
                "encoder": "t5_model.",
                "decoder": "t5_model.",
            }
        },
    }


def test_queries_before_a_text(tmp_path: Path) -> None:
    """The masks of text and queries together are found by themselves, for the encoder and for who attends to it."""
    case = recorded("lavis/blip2_t5", tmp_path)
    model = loaded(graph(case.config), case)
    made: dict[str, Tensor] = {}
    for name, module in (("Qformer.bert#0.last_hidden_state", model.queries), ("t5_proj#0", model.projector)):
        module.register_forward_hook(lambda *found, name=name: made.update({name: found[2]}))
    ids, mask = case.inputs["output.input_ids"], case.inputs["output.attention_mask"]
    labels = ids.masked_fill(mask == 0, -100)
    begun = F.pad(labels[:, :-1], (1, 0), value=case.config["token_ids"]["decoder_start"])
    output = model(
        image_features=case.outputs["tap.ln_vision#0"],
        input_ids=case.inputs["text.input_ids"],
        attention_mask=case.inputs["text.attention_mask"],
        decoder_input_ids=begun.clamp(min=case.config["token_ids"]["pad"]),
        decoder_attention_mask=mask,
    )
    made["t5_model.encoder#0.last_hidden_state"] = output.encoded
    for name, value in made.items():
        assert agree(value, case.outputs[f"tap.{name}"]), name
    real = mask.bool()  # what stands at padding, nobody reads
    assert agree(output.logits[real], case.outputs["tap.t5_model#0.logits"][real])
    loss = F.cross_entropy(output.logits.flatten(0, 1), labels.flatten())
    assert agree(loss, case.outputs["loss"])
    torch.autograd.backward(loss)
    before = ("visual_encoder.", "ln_vision.")  # what is given here
    given = frozenset(name for name in gradients(case.outputs) if name.startswith(before))
    check_gradients(model, case, given, frozen=("t5_model.",))


def gradients(outputs: dict[str, Tensor]) -> list[str]:
    """The parameters whose gradients were recorded."""
    return [name.removeprefix("grad_norm/") for name in outputs if name.startswith("grad_norm/")]
