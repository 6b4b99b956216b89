"""Tiny odd reference models of more decoder families, each beside the graph that says the same in settings of blocks.

The graphs are written by hand, as somebody composing a model would: what is shown here is that the block language has
the family, and that its checkpoints load. (Reading their configs is the importers' work.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import yaml
from transformers.models.auto import AutoConfig, AutoModelForCausalLM

from .reference import Reference, randomise

VOCAB = 131


@dataclass(frozen=True)
class Family:
    """A config of the reference, and what the graph says: of the decoder, and of the token embedding."""

    model_type: str
    config: Mapping[str, Any]
    decoder: Mapping[str, Any]
    embedding: Mapping[str, Any] = field(default_factory=dict)

    def graph(self, name: str) -> str:
        """The graph as YAML."""
        embedding = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids", **self.embedding}
        decoder = {"kind": "decoder", "type": "transformer", "inputs": "text", "vocab": VOCAB, **_SIZES, **self.decoder}
        return yaml.safe_dump(
            {
                "version": 1,
                "name": name,
                "inputs": {"input_ids": "tokens"},
                "nodes": {"text": embedding, "llm": decoder},
                "outputs": {"logits": "llm.logits"},
                "checkpoint": {"use": "checkpoint/causal_lm"},
            },
            sort_keys=False,
        )

    def reference(self, name: str, folder: Path) -> Reference:
        """The reference model with random weights, saved in a folder of its own."""
        torch.manual_seed(0)
        configure: Any = AutoConfig.for_model
        config = configure(self.model_type, **{**_CONFIG, **self.config})
        make: Any = AutoModelForCausalLM.from_config
        model = make(config)
        model = model.eval()
        randomise(model)
        for key, buffer in sorted(model.named_buffers()):
            if key.endswith("e_score_correction_bias"):  # zero at the start, which hides it
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=torch.Generator().manual_seed(3)))
        model.save_pretrained(folder / name)
        return Reference(name, model, folder / name, images=False)


_SIZES: dict[str, Any] = {"dim": 48, "max_tokens": 512}
_CONFIG: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 3e-3,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
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


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "gemma2": Family(
            "gemma2",
            {
                **_parameters(),
                "head_dim": 20,
                "sliding_window": 5,
                "query_pre_attn_scalar": 30,
                "attn_logit_softcapping": 2.0,
                "final_logit_softcapping": 3.0,
            },
            {
                **_GEMMA,
                "attention": {**_GROUPED, "head_dim": 20, "window": 5, "scale": 30**-0.5, "softcap": 2.0},
                "position": _ROPE,
                "layers": {"count": 3, "where": [{"name": "full", "at": [1], "attention": {"window": None}}]},
                "head": {"tied": True, "softcap": 3.0},
            },
            {"scale": "sqrt_dim"},
        ),
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
        "olmo2": Family(
            "olmo2",
            _parameters(),
            {
                "norm": {**_RMS, "place": "branch"},
                "attention": {**_GROUPED, "qk_norm": {"type": "rms", "over": "all"}},
                "mlp": _SWIGLU,
                "position": _ROPE,
                "layers": 3,
                "checkpoint": {"use": "checkpoint/olmo2"},
            },
        ),
        "mixtral": Family(
            "mixtral",
            {**_parameters(), "head_dim": 20, "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 6},
            {
                "norm": _RMS,
                "attention": {**_GROUPED, "head_dim": 20, "window": 6},
                "mlp": {**_SWIGLU, "moe": {"experts": 5, "top": 2, "router": {"normalize": True}}},
                "position": _ROPE,
                "layers": 3,
                "checkpoint": {"use": "checkpoint/mixtral"},
            },
        ),
        "qwen2_moe": Family(
            "qwen2_moe",
            {
                **_parameters(),
                "num_experts": 6,
                "num_experts_per_tok": 3,
                "moe_intermediate_size": 20,
                "shared_expert_intermediate_size": 28,
                "mlp_only_layers": [1],
            },
            {
                "norm": _RMS,
                "attention": {**_GROUPED, "bias": {"q": True, "k": True, "v": True}},
                "mlp": {
                    **_SWIGLU,
                    "hidden": 20,
                    "moe": {"experts": 6, "top": 3, "shared": {"hidden": 28, "gate": "sigmoid"}},
                },
                "position": _ROPE,
                "layers": {"count": 3, "where": [{"name": "dense", "at": [1], "mlp": {"hidden": 56, "moe": None}}]},
                "checkpoint": {"use": "checkpoint/qwen_moe"},
            },
        ),
        "qwen3_moe": Family(
            "qwen3_moe",
            {
                **_parameters(),
                "head_dim": 20,
                "num_experts": 6,
                "num_experts_per_tok": 3,
                "moe_intermediate_size": 20,
                "norm_topk_prob": True,
            },
            {
                "norm": _RMS,
                "attention": {**_GROUPED, "head_dim": 20, "qk_norm": "rms"},
                "mlp": {**_SWIGLU, "hidden": 20, "moe": {"experts": 6, "top": 3, "router": {"normalize": True}}},
                "position": _ROPE,
                "layers": 3,
                "checkpoint": {"use": "checkpoint/qwen_moe"},
            },
        ),
        "deepseek_v2": Family(
            "deepseek_v2",
            {**_parameters(), **_DEEPSEEK, "q_lora_rank": None, "topk_method": "group_limited_greedy"},
            {
                "norm": _RMS,
                "attention": {"heads": 6, "latent": {**_LATENT, "norm": {"eps": 1e-6}}},
                "mlp": _SWIGLU,
                "position": {**_ROPE, "style": "interleaved"},
                "layers": {
                    "count": 3,
                    "where": [
                        {
                            "name": "sparse",
                            "range": [1, 3],
                            "mlp": {
                                "hidden": 20,
                                "moe": {
                                    "experts": 12,
                                    "top": 3,
                                    "shared": {"hidden": 40},
                                    "router": {"groups": 4, "top_groups": 2, "scale": 2.5},
                                },
                            },
                        }
                    ],
                },
                "checkpoint": {"use": "checkpoint/deepseek"},
            },
        ),
        "deepseek_v3": Family(
            "deepseek_v3",
            {**_parameters(), **_DEEPSEEK, "q_lora_rank": 16},
            {
                "norm": _RMS,
                "attention": {"heads": 6, "latent": {**_LATENT, "q_rank": 16, "norm": {"eps": 1e-6}}},
                "mlp": _SWIGLU,
                "position": {**_ROPE, "style": "interleaved"},
                "layers": {
                    "count": 3,
                    "where": [
                        {
                            "name": "sparse",
                            "range": [1, 3],
                            "mlp": {
                                "hidden": 20,
                                "moe": {
                                    "experts": 12,
                                    "top": 3,
                                    "shared": {"hidden": 40},
                                    "router": {
                                        "score": "sigmoid",
                                        "bias": True,
                                        "groups": 4,
                                        "top_groups": 2,
                                        "group_score": "top2",
                                        "normalize": True,
                                        "scale": 2.5,
                                    },
                                },
                            },
                        }
                    ],
                },
                "checkpoint": {"use": "checkpoint/deepseek"},
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
