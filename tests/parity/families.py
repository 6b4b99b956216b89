"""More decoder families of `transformers`, each beside the graph that says the same in settings of blocks.

The graphs are written by hand, as somebody composing a model would: what is shown here is that the block language has
the family, and that its checkpoints load. (Reading their configs is the importers' work.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import yaml

from .reference import SIZES, VOCAB


@dataclass(frozen=True)
class Family:
    """A config of the reference, and what the graph says: of the decoder, and of the token embedding."""

    model_type: str
    changes: Mapping[str, Any]
    decoder: Mapping[str, Any]
    embedding: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Any:
        """The reference model with weights that it draws itself."""
        from transformers.models.auto import AutoModelForCausalLM

        return AutoModelForCausalLM.from_config(self.config())

    def config(self) -> Any:
        """The config of the reference, with the sizes of all of them."""
        from transformers.models.auto import AutoConfig

        configure: Any = AutoConfig.for_model
        sizes = {name: size for name, size in SIZES.items() if name != "head_dim"}
        return configure(self.model_type, **{**sizes, **self.changes})

    def graph(self, name: str) -> str:
        """The graph as YAML."""
        embedding = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids", **self.embedding}
        decoder = {"kind": "decoder", "type": "transformer", "inputs": "text", "vocab": VOCAB, **self.decoder}
        return yaml.safe_dump(
            {
                "version": 1,
                "name": name,
                "inputs": {"input_ids": "tokens"},
                "nodes": {"text": embedding, "llm": {"dim": 48, "max_tokens": 512, **decoder}},
                "outputs": {"logits": "llm.logits"},
                "checkpoint": {"use": "checkpoint/causal_lm"},
            },
            sort_keys=False,
        )


_RMS = {"type": "rms", "eps": 3e-3}
_GROUPED = {"heads": 6, "kv_heads": 2}
_SWIGLU = {"hidden": 56, "activation": "silu", "gated": True}
_ROPE = {"type": "rope", "theta": 5000.0}
_GEMMA = {
    "norm": {**_RMS, "unit_offset": True, "place": "sandwich"},
    "mlp": {"hidden": 56, "activation": "gelu_tanh", "gated": True},
    "checkpoint": {"use": "checkpoint/gemma"},
}
_LATENT = {"kv_rank": 12, "nope_dim": 10, "rope_dim": 6, "value_dim": 14}
_DEEPSEEK = {
    "num_key_value_heads": 6,
    "kv_lora_rank": 12,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 14,
    "moe_intermediate_size": 20,
    "n_routed_experts": 12,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 2.5,
}


def _parameters(**more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0, **more}}


def _deepseek(model_type: str, changes: dict[str, Any], latent: dict[str, Any], router: dict[str, Any]) -> Family:
    """A first dense layer, then experts, all with latent attention; its norms have an eps of their own."""
    moe = {"experts": 12, "top": 3, "shared": {"hidden": 40}, "router": router}
    return Family(
        model_type,
        {**_parameters(), **_DEEPSEEK, **changes},
        {
            "norm": _RMS,
            "attention": {"heads": 6, "latent": {**_LATENT, **latent, "norm": {"eps": 1e-6}}},
            "mlp": _SWIGLU,
            "position": {**_ROPE, "style": "interleaved"},
            "layers": {
                "count": 3,
                "where": [{"name": "sparse", "range": [1, 3], "mlp": {"hidden": 20, "moe": moe}}],
            },
            "checkpoint": {"use": "checkpoint/deepseek"},
        },
    )


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "gemma3_text": Family(
            "gemma3_text",
            {
                "head_dim": 20,
                "sliding_window": 5,
                "query_pre_attn_scalar": 30,
                "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
                "rope_parameters": {
                    "sliding_attention": {"rope_type": "default", "rope_theta": 700.0},
                    "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 3.0},
                },
            },
            {
                **_GEMMA,
                "attention": {**_GROUPED, "head_dim": 20, "window": 5, "scale": 30**-0.5, "qk_norm": "rms"},
                "position": {"type": "rope", "theta": 700.0},
                "layers": {
                    "count": 3,
                    "where": [
                        {
                            "name": "full",
                            "at": [2],
                            "attention": {"window": None},
                            "position": {"theta": 5000.0, "scaling": {"type": "linear", "factor": 3.0}},
                        }
                    ],
                },
                "head": {"tied": True},
            },
            {"scale": "sqrt_dim"},
        ),
        "deepseek_v2": _deepseek(
            "deepseek_v2",
            {"q_lora_rank": None, "topk_method": "group_limited_greedy"},
            {},
            {"groups": 4, "top_groups": 2, "scale": 2.5},
        ),
        "deepseek_v3": _deepseek(
            "deepseek_v3",
            {"q_lora_rank": 16},
            {"q_rank": 16},
            {
                "score": "sigmoid",
                "bias": True,
                "groups": 4,
                "top_groups": 2,
                "group_score": "top2",
                "normalize": True,
                "scale": 2.5,
            },
        ),
        "phi3": Family(
            "phi3",
            {**_parameters(partial_rotary_factor=0.5), "hidden_size": 96, "sliding_window": 7},
            {
                "dim": 96,
                "norm": _RMS,
                "attention": {**_GROUPED, "window": 7},
                "mlp": _SWIGLU,
                "position": {**_ROPE, "dim": 8},
                "layers": 3,
                "checkpoint": {"use": "checkpoint/phi3"},
            },
        ),
        "glm4": Family(
            "glm4",
            {**_parameters(partial_rotary_factor=0.5), "head_dim": 20, "attention_bias": True},
            {
                "norm": {**_RMS, "place": "sandwich"},
                "attention": {**_GROUPED, "head_dim": 20, "bias": {"q": True, "k": True, "v": True}},
                "mlp": _SWIGLU,
                "position": {**_ROPE, "dim": 10, "style": "interleaved"},
                "layers": 3,
                "checkpoint": {"use": "checkpoint/glm4"},
            },
        ),
        "gpt_neox": Family(
            "gpt_neox",
            {**_parameters(partial_rotary_factor=0.5), "layer_norm_eps": 2e-3},
            {
                "norm": {"type": "layer", "eps": 2e-3},
                "attention": {"heads": 6, "bias": True},
                "mlp": {"hidden": 56, "activation": "gelu", "bias": True},
                "position": {**_ROPE, "dim": 4},
                "layers": {"count": 3, "each": [["attn", "mlp"]]},
                "checkpoint": {"use": "checkpoint/gpt_neox"},
            },
        ),
        "opt": Family(
            "opt",
            {"ffn_dim": 56, "word_embed_proj_dim": 48, "dropout": 0.0},
            {
                "norm": {"type": "layer", "eps": 1e-5},
                "attention": {"heads": 6, "bias": True},
                "mlp": {"hidden": 56, "activation": "relu", "bias": True},
                "position": {"type": "learned", "offset": 2},
                "layers": 3,
                "head": {"tied": True},
                "checkpoint": {"use": "checkpoint/opt"},
            },
        ),
    }
)
