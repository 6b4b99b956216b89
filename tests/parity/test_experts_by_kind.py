"""Experts that each kind of token has of its own, told apart by flags: the text model of ERNIE 4.5 VL as reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

import graphvlm
from graphvlm.diagnostics import Source

from ..running import packaged, randomise

transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
pytestmark = pytest.mark.usefixtures("one_thread")

LIMIT = 1e-5  # of the largest value
SIZES = {
    "vocab_size": 101,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "rms_norm_eps": 1e-5,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "moe_intermediate_size": [20, 12],
    "moe_k": 2,
    "moe_num_experts": 5,
    "moe_num_shared_experts": 2,
}
SECTIONS = [1, 1, 2]  # positions of text have the same number three times


def names() -> dict[str, str]:
    """The keys of the reference."""
    found = {"embed": "embed_tokens", "norm": "norm"}
    found |= {
        "layers.*.attn_norm": "layers.*.input_layernorm",
        "layers.*.mlp_norm": "layers.*.post_attention_layernorm",
    }
    found |= {f"layers.*.attn.w{name}": f"layers.*.self_attn.{name}_proj" for name in "qkvo"}
    for part in ("gate", "up", "down"):
        found[f"layers.*.mlp.{part}"] = f"layers.*.mlp.{part}_proj"
        found[f"layers.*.shared.{part}"] = f"layers.*.mlp.shared_experts.{part}_proj"
    for ours, theirs in (("mlp", "text_moe"), ("vision_mlp", "vision_moe")):
        router = f"layers.*.mlp.{theirs}.gate"
        found[f"layers.*.{ours}.router"] = router
        found[f"layers.*.{ours}.router_bias"] = f"{router}.moe_statics.e_score_correction_bias"
        for part, name in (("gate_up", "gate_up_proj"), ("down", "down_proj")):
            found[f"layers.*.{ours}.experts.{part}"] = f"layers.*.mlp.{theirs}.experts.{name}"
    return found


def by_kind() -> dict[str, Any]:
    """The graph: a dense layer, then layers with experts of text, of images, and a feed-forward for both."""
    mlp = {"activation": "silu", "gated": True}
    router = {"score": "softmax", "bias": True, "normalize": True}
    moe = {"moe": {"experts": 5, "top": 2, "router": router}}
    shared = {"norm": {"place": "shared"}}
    sparse = {"range": [1, 3], "each": ["attn", ["mlp", "vision_mlp", "shared"]]}
    llm = {
        "kind": "decoder",
        "type": "transformer",
        "inputs": {"features": "text", "vision_tokens": "moe_mm_token_type_ids"},
        "segments": {"text": {}, "vision": {"where": "vision_tokens"}},
        "vocab": 101,
        "dim": 48,
        "max_tokens": 128,
        "norm": {"type": "rms", "eps": 1e-5},
        "head": "none",
        "attention": {"heads": 6, "kv_heads": 2},
        "mlp": {**mlp, "hidden": 56},
        "sublayers": {
            "vision_mlp": {"op": "mlp", "hidden": 12, "scope": "vision", **mlp, **moe, **shared},
            "shared": {"op": "mlp", "hidden": 40, **mlp, **shared},
        },
        "layers": {"count": 3, "where": [{**sparse, "mlp": {"hidden": 20, "scope": "text", **moe}}]},
        "position": {"type": "rope", "theta": 500000.0, "style": "interleaved"},
        "checkpoint": {
            "names": names(),
            "leading": {"layers.*.mlp.router_bias": 1, "layers.*.vision_mlp.router_bias": 1},
        },
    }
    return {
        "version": 1,
        "name": "by_kind",
        "inputs": {"input_ids": "tokens", "attention_mask": "mask", "moe_mm_token_type_ids": "mask"},
        "nodes": {"text": {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}, "llm": llm},
        "outputs": {"hidden": "llm.hidden"},
        "checkpoint": {"prefixes": {"llm": ""}},
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reference with random weights, and ours with the same."""
    rope = {"rope_type": "default", "rope_theta": 500000.0, "mrope_section": SECTIONS}
    config = transformers.Ernie4_5_VLMoeTextConfig(**SIZES, rope_parameters=rope)
    reference = transformers.Ernie4_5_VLMoeTextModel(config).eval()
    randomise(reference)
    folder: Path = tmp_path_factory.mktemp("weights")
    save_file(
        {name: value.contiguous() for name, value in reference.state_dict().items()}, folder / "model.safetensors"
    )
    graph = graphvlm.load(Source("by_kind.yaml", yaml.safe_dump(by_kind(), sort_keys=False)))
    return reference, packaged(graph).from_pretrained(folder).eval()


@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_hidden_states(pair: tuple[Any, Any], padding: str) -> None:
    """Images in the middle of the text, of another length in each row; without any, too."""
    reference, model = pair
    ids = torch.randint(101, (3, 11), generator=torch.Generator().manual_seed(1))
    kinds = torch.zeros_like(ids)
    kinds[0, 3:7] = kinds[1, 2:4] = kinds[1, 8] = 1
    mask = torch.ones_like(ids)
    if padding != "none":
        mask[2, slice(0, 3) if padding == "left" else slice(8, 11)] = 0
    places = (mask.cumsum(1) - 1).clamp(min=0).expand(3, -1, -1)
    for marked in (kinds, torch.zeros_like(kinds)):
        with torch.no_grad():
            expected = reference(ids, mask, position_ids=places, moe_mm_token_type_ids=marked).last_hidden_state
            made = model(ids, attention_mask=mask, moe_mm_token_type_ids=marked).hidden
        there = mask.bool()
        assert float((made - expected)[there].abs().max()) <= LIMIT * float(expected.abs().max())
    with torch.no_grad():
        assert torch.allclose(model(ids, attention_mask=mask).hidden, made, atol=1e-6)  # no flags are no images
