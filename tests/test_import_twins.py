"""The same published model described by LoongForge and by `transformers`: two importers, one graph.

What the second one imports is compared with the reference itself, in `tests/parity`; so this is the proof of the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import graphvlm
from graphvlm.blocks.settings import LayerKind
from graphvlm.components.decoder.transformer import Transformer
from graphvlm.diagnostics import Source
from graphvlm.emit import emit
from graphvlm.importers import import_config
from graphvlm.ir import Graph
from graphvlm.spec import Spec
from graphvlm.weights import expected

from .test_import_loongforge import MODELS, shipped


def text(model_type: str, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, "rms_norm_eps": 1e-6, "tie_word_embeddings": False, **more}


def rope(theta: float, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **more}}


QWEN3_8B = text(
    "qwen3",
    **rope(1e6),
    vocab_size=151936,
    hidden_size=4096,
    intermediate_size=12288,
    num_hidden_layers=36,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    max_position_embeddings=40960,
)
QWEN2_7B: dict[str, Any] = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
QWEN3_A3B: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
}
V3: dict[str, Any] = {
    "vocab_size": 129280,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_shared_experts": 1,
    "n_routed_experts": 256,
    "routed_scaling_factor": 2.5,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "qk_nope_head_dim": 128,
    "n_group": 8,
    "topk_group": 4,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "norm_topk_prob": True,
    "max_position_embeddings": 163840,
    "rope_theta": 10000,
    "rope_scaling": {
        "type": "yarn",
        "factor": 40,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
}

TWINS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "llama2/llama2_7b": text("llama", vocab_size=32000, max_position_embeddings=4096),
        "qwen2.5/qwen2_5_7b": text("qwen2", **rope(1e6), **QWEN2_7B),
        "qwen3/qwen3_8b": QWEN3_8B,
        "qwen3/qwen3_30b_a3b": text("qwen3_moe", **rope(1e6), **QWEN3_A3B),
        "deepseek3/deepseek_v3": text("deepseek_v3", **V3),
        "qwen2.5vl/qwen2_5_vl_7b": {
            "model_type": "qwen2_5_vl",
            "tie_word_embeddings": False,
            "image_token_id": 151655,
            "text_config": text("qwen2_5_vl_text", **rope(1e6, mrope_section=[16, 24, 24]), **QWEN2_7B),
            "vision_config": {
                "model_type": "qwen2_5_vl_vision",
                "depth": 32,
                "hidden_size": 1280,
                "intermediate_size": 3420,
                "num_heads": 16,
                "out_hidden_size": 3584,
            },
        },
        "qwen3_vl/qwen3_vl_30b_a3b": {
            "model_type": "qwen3_vl_moe",
            "tie_word_embeddings": False,
            "image_token_id": 151655,
            "text_config": text(
                "qwen3_vl_moe_text",
                **rope(1e6, mrope_section=[24, 20, 20], mrope_interleaved=True),
                **QWEN3_A3B,
                max_position_embeddings=262144,
            ),
            "vision_config": {"model_type": "qwen3_vl_moe_vision", "out_hidden_size": 2048},
        },
        "internvl3.5/internvl3_5_8b": {
            "model_type": "internvl",
            "tie_word_embeddings": False,
            "image_token_id": 151671,
            "text_config": QWEN3_8B,
            "vision_config": {"model_type": "internvl_vision", "attention_bias": True, "layer_scale_init_value": 1.0},
        },
    }
)


def decided(spec: Spec) -> tuple[Spec, list[LayerKind]]:
    """What a spec says around its layers, and these one by one, whatever their kinds are called.

    The longest sequence is left out: a launch script's is that of its training run.
    """
    stack = spec.stack
    if stack is None:
        return spec, []
    layers = [replace(stack.kinds[kind], name="") for kind in stack.order]
    rotary = tuple(replace(each, max_tokens=1) for each in stack.rotary)
    around = spec.with_stack(replace(stack, kinds=(layers[0],), order=(0,) * len(layers), rotary=rotary))
    return replace(around, max_tokens=1) if isinstance(around, Transformer) else around, layers


def load(path: Path) -> Graph:
    return graphvlm.load(Source("imported.yaml", import_config(path)))


def images_alone(graph: Graph) -> Graph:
    """A graph without its videos, by deleting keys: a composition of LoongForge has none."""
    calls = {name: None for name, node in graph.nodes.items() if node.owner}
    if not calls:
        return graph
    words = {"inputs": {"video": None}, "placeholder": {"video": None}}
    positions: dict[str, Any] = {"placeholder": {"video": None}, "interval": None, "frames": None}
    positions["inputs"] = {port: None for port in graph.nodes["positions"].inputs if port.startswith("video")}
    nodes: dict[str, Any] = {**calls, "fused": words, "positions": positions}
    if "deep" in graph.nodes:
        ports = (port for port in graph.nodes["deep"].inputs if port.startswith("video_"))
        nodes["deep"] = {"inputs": dict.fromkeys(ports), "placeholder": {"video": None}}
    inputs = {name: None for name in graph.inputs if "video" in name or graph.inputs[name].port.what == "seconds"}
    overlay = Source("images_alone.yaml", json.dumps({"inputs": inputs, "nodes": nodes}))
    return graphvlm.load(Source("imported.yaml", emit(graph)), overlay)


@shipped
@pytest.mark.parametrize("name", TWINS)
def test_both_importers_say_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TWINS[name]), encoding="utf-8")
    ours, theirs = load(MODELS / f"{name}.yaml"), images_alone(load(tmp_path))
    assert set(ours.nodes) == set(theirs.nodes)
    for node in ours.nodes:
        assert decided(ours.nodes[node].spec) == decided(theirs.nodes[node].spec), node
    assert expected(ours) == expected(theirs)
