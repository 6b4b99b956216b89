"""More decoder families of `transformers`: one odd configuration of each, read by the importer as a user's would be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .reference import ORIGINAL, SIZES

Make = Callable[[], Any]


def _family(model_type: str, **changes: Any) -> Make:
    """The config of a model type, with the sizes that all cases have."""

    def make() -> Any:
        from transformers import CONFIG_MAPPING

        config: Any = CONFIG_MAPPING[model_type]
        fields = {field.name for field in dataclasses.fields(config)} - {"head_dim"}
        return config(**{**{name: size for name, size in SIZES.items() if name in fields}, **changes})

    return make


def _rope(**more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0, **more}}


_YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": ORIGINAL,
    "mscale": 1.0,
    "mscale_all_dim": 0.8,
}
_LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.3, 1.7],
    "long_factor": [1.5, 2.5, 4.0, 8.0],
    "partial_rotary_factor": 0.5,
}
_LATENT = {
    "num_key_value_heads": 6,
    "kv_lora_rank": 12,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 14,
}
_DEEPSEEK = {
    **_LATENT,
    "moe_intermediate_size": 20,
    "n_routed_experts": 12,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 2.5,
}
# So many heads that no two keys of a query have a score of zero from all: nothing says which of them would be chosen.
_INDEXED = {"index_n_heads": 17, "index_topk": 6}
_SPARSE = {
    "moe_intermediate_size": 20,
    "n_routed_experts": 12,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 2.5,
}
_SLIDING = ["sliding_attention", "sliding_attention", "full_attention"]
_BY_TYPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 700.0},
    "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 3.0},
}

_DELTA = {
    "head_dim": 20,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 10,
    "linear_value_head_dim": 14,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}

_STEP = {  # waves are stretched from one length on, without a blend
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 1.0,
    "original_max_position_embeddings": ORIGINAL,
}
_CHUNKED = {
    "head_dim": 20,
    "intermediate_size_mlp": 44,
    "num_local_experts": 6,
    "no_rope_layer_interval": 2,
    "attention_chunk_size": 7,
    "floor_scale": 5,
    "attn_scale": 0.7,
}

FAMILIES: Mapping[str, Make] = MappingProxyType(
    {
        "gemma3_text": _family(
            "gemma3_text",
            head_dim=20,
            sliding_window=5,
            query_pre_attn_scalar=30,
            layer_types=_SLIDING,
            rope_parameters=_BY_TYPE,
        ),
        "qwen3_next": _family(
            "qwen3_next",
            **_rope(partial_rotary_factor=0.5),
            **_DELTA,
            moe_intermediate_size=20,
            shared_expert_intermediate_size=24,
            num_experts=6,
            num_experts_per_tok=3,
            mlp_only_layers=[2],
        ),
        "qwen3_5_text": _family("qwen3_5_text", **_rope(partial_rotary_factor=0.5), **_DELTA),
        "qwen3_5_moe_text": _family(
            "qwen3_5_moe_text",
            **_rope(partial_rotary_factor=0.5, mrope_section=[2, 2, 1], mrope_interleaved=True),
            **{**_DELTA, "linear_num_value_heads": 2, "linear_conv_kernel_dim": 3},
            moe_intermediate_size=20,
            shared_expert_intermediate_size=24,
            num_experts=5,
            num_experts_per_tok=2,
        ),
        "deepseek_v2": _family(
            "deepseek_v2", **_rope(), **_DEEPSEEK, q_lora_rank=None, topk_method="group_limited_greedy"
        ),
        "deepseek_v3": _family("deepseek_v3", **_rope(), **_DEEPSEEK, q_lora_rank=16),
        "deepseek_v3_yarn": _family(
            "deepseek_v3",
            **_rope(**_YARN),
            **{**_DEEPSEEK, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 0},
            q_lora_rank=16,
            rope_interleave=False,
            attention_bias=True,
            max_position_embeddings=4 * ORIGINAL,
        ),
        "deepseek_v32": _family(
            "deepseek_v32", **_rope(**_YARN), **_DEEPSEEK, **_INDEXED, index_head_dim=10, q_lora_rank=16
        ),
        "glm4_moe_lite": _family(
            "glm4_moe_lite",
            **_rope(),
            **{name: size for name, size in _DEEPSEEK.items() if name != "first_k_dense_replace"},
            q_lora_rank=None,
            rope_interleave=False,
        ),
        "youtu": _family("youtu", **_rope(), **_LATENT, q_lora_rank=16, attention_bias=True),
        "solar_open": _family(
            "solar_open",
            **_rope(),
            **{name: size for name, size in _SPARSE.items() if name != "first_k_dense_replace"},
            head_dim=20,
            attention_bias=True,
        ),
        "vaultgemma": _family(
            "vaultgemma", **_rope(), head_dim=20, sliding_window=5, query_pre_attn_scalar=30, layer_types=_SLIDING
        ),
        "flex_olmo": _family("flex_olmo", **_rope(), num_experts=6, num_experts_per_tok=3, norm_topk_prob=True),
        # the second layer shares the choice of the first
        "glm_moe_dsa": _family(
            "glm_moe_dsa",
            **_rope(),
            **{**_DEEPSEEK, "n_group": 1, "topk_group": 1},
            **_INDEXED,
            index_head_dim=6,
            q_lora_rank=16,
            indexer_types=["full", "shared", "full"],
            mlp_layer_types=["sparse", "dense", "sparse"],
        ),
        "phi3": _family("phi3", **_rope(partial_rotary_factor=0.5), hidden_size=96, sliding_window=7),
        "phi3_short": _family(
            "phi3", hidden_size=96, **_rope(**_LONG), max_position_embeddings=256, original_max_position_embeddings=64
        ),
        "phi3_long": _family(
            "phi3",
            hidden_size=96,
            **_rope(**_LONG, attention_factor=1.3),
            max_position_embeddings=64,
            original_max_position_embeddings=ORIGINAL,
        ),
        "phi": _family("phi", **_rope(partial_rotary_factor=0.5), layer_norm_eps=2e-3, qk_layernorm=True),
        "glm": _family("glm", **_rope(partial_rotary_factor=0.5), head_dim=20, eos_token_id=130),
        "glm4": _family("glm4", **_rope(partial_rotary_factor=0.5), head_dim=20, eos_token_id=130),
        "gpt_neox": _family("gpt_neox", **_rope(partial_rotary_factor=0.5), layer_norm_eps=2e-3),
        "gpt_neox_in_turn": _family("gpt_neox", **_rope(), use_parallel_residual=False, attention_bias=False),
        "bloom": _family("bloom", n_layer=3, n_head=6, layer_norm_epsilon=2e-3, tie_word_embeddings=False),
        "bloom_even": _family("bloom", n_layer=2, n_head=4),
        "mpt": _family(
            "mpt",
            d_model=48,
            n_layers=3,
            n_heads=6,
            layer_norm_epsilon=2e-3,
            max_seq_len=64,
            attn_config={"softmax_scale": 0.4},
        ),
        "opt": _family("opt", ffn_dim=56, dropout=0.0),
        "opt_post": _family(
            "opt", ffn_dim=56, dropout=0.0, do_layer_norm_before=False, enable_bias=False, tie_word_embeddings=False
        ),
        "starcoder2": _family("starcoder2", **_rope(), norm_epsilon=2e-3, sliding_window=6),
        "stablelm": _family("stablelm", **_rope(partial_rotary_factor=0.25), layer_norm_eps=2e-3, use_qkv_bias=True),
        "stablelm_parallel": _family(
            "stablelm", **_rope(partial_rotary_factor=0.5), layer_norm_eps=2e-3, use_parallel_residual=True
        ),
        "cohere": _family("cohere", **_rope(), layer_norm_eps=2e-3, logit_scale=0.4, attention_bias=True),
        "cohere2": _family(
            "cohere2", **_rope(), layer_norm_eps=2e-3, logit_scale=0.4, sliding_window=5, layer_types=_SLIDING
        ),
        "seed_oss": _family("seed_oss", **_rope(), head_dim=20, attention_out_bias=True),
        "arcee": _family("arcee", **_rope(), head_dim=20, mlp_bias=True),
        "ernie4_5": _family("ernie4_5", **_rope(), head_dim=20, use_bias=True),
        "hunyuan_v1_dense": _family(
            "hunyuan_v1_dense",
            rope_parameters={"rope_type": "dynamic", "rope_theta": 5000.0, "alpha": 7.0, "factor": 1.0},
            head_dim=20,
        ),
        "helium": _family("helium", **_rope(), head_dim=8, attention_bias=True),
        "ministral": _family("ministral", **_rope(), head_dim=20, sliding_window=5, layer_types=_SLIDING),
        "smollm3": _family("smollm3", **_rope(), no_rope_layers=[1, 0, 1]),
        "olmo": _family("olmo", **_rope(), head_dim=20),
        "olmo3": _family("olmo3", sliding_window=5, layer_types=_SLIDING, rope_parameters=_BY_TYPE),
        "olmoe": _family("olmoe", **_rope(), num_experts=6, num_experts_per_tok=3, norm_topk_prob=True),
        "exaone4": _family("exaone4", **_rope(), sliding_window=5, layer_types=_SLIDING),
        # the first layer is full: the cache of the reference takes its length for that of the sequence
        "minimax": _family(
            "minimax",
            **_rope(),
            head_dim=20,
            num_hidden_layers=4,
            layer_types=["full_attention", "linear_attention", "linear_attention", "full_attention"],
            block_size=5,
            num_local_experts=6,
            num_experts_per_tok=3,
            full_attn_alpha_factor=1.4,
            full_attn_beta_factor=0.8,
            linear_attn_alpha_factor=1.2,
            mlp_alpha_factor=0.7,
            mlp_beta_factor=1.1,
        ),
        "minimax_m2": _family(
            "minimax_m2",
            **_rope(partial_rotary_factor=0.5),
            head_dim=20,
            num_local_experts=6,
            num_experts_per_tok=3,
        ),
        "glm4_moe": _family(
            "glm4_moe", **_rope(partial_rotary_factor=0.5), **_SPARSE, use_qk_norm=True, attention_bias=True
        ),
        "dots1": _family("dots1", **_rope(), **_SPARSE, sliding_window=5, max_window_layers=1, norm_topk_prob=True),
        "gpt_oss": _family(
            "gpt_oss",
            **_rope(),
            head_dim=20,
            num_local_experts=6,
            num_experts_per_tok=3,
            sliding_window=5,
            swiglu_limit=0.9,
        ),
        # chunks of seven: prompts and what follows them go over several
        "llama4_text": _family("llama4_text", **_rope(), **_CHUNKED, interleave_moe_layer_step=2),
        "llama4_text_apart": _family(
            "llama4_text",
            **_rope(**_STEP),
            **_CHUNKED,
            num_hidden_layers=4,
            use_qk_norm=False,
            attention_bias=True,
            moe_layers=[1, 2],
            num_experts_per_tok=2,
            no_rope_layers=[1, 0, 1, 0],
            layer_types=["chunked_attention", "full_attention", "full_attention", "chunked_attention"],
        ),
        "hyperclovax": _family(
            "hyperclovax",
            **_rope(),
            embedding_multiplier=3.0,
            residual_multiplier=0.4,
            logits_scaling=1.7,
            head_dim=20,
            hidden_size=48,
        ),
        "granite": _family(
            "granite",
            **_rope(),
            embedding_multiplier=3.0,
            attention_multiplier=0.5,
            residual_multiplier=0.4,
            logits_scaling=1.7,
            mlp_bias=True,
        ),
    }
)
