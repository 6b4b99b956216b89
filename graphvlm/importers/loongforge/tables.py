"""The classes of LoongForge v0.2.0, and what each field of a definition is to us."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Values = Mapping[str, Any]

# What no weight and no output depends on: which kernels run, how the model is trained, stored and converted, where its
# code lies. `mtp_*` are layers that predict further tokens while training; checkpoints run without them. The rotation
# of an indexer (`rotate_activation`) turns queries and keys alike, and leaves their products as they are.
HARMLESS = frozenset(
    """
    _target_ model_type model_spec convert_file freeze peft_config
    bias_activation_fusion bias_dropout_fusion masked_softmax_fusion gradient_accumulation_fusion
    cross_entropy_loss_fusion cross_entropy_fusion_impl moe_permute_fusion apply_rope_fusion
    attention_dropout hidden_dropout initializer_factor variable_seq_lengths make_vocab_size_divisible_by
    mtp_num_layers mtp_loss_coef mtp_loss_scaling_factor mtp_loss_scaling_factor_decay_ratio
    moe_token_dispatcher_type max_sequence_length
    dsa_indexer_loss_coeff dsa_indexer_use_sparse_loss dsa_indexer_rotate_activation
    """.split()  # noqa: SIM905
)

# Fields with the only values that can be imported.
NEUTRAL: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "position_embedding_type": ("rope",),
        "add_position_embedding": (False,),
        "normalization": ("RMSNorm",),
        "swiglu": (True,),
        "add_bias_linear": (False,),
        "rotary_interleaved": (False,),
        "word_embeddings_for_head": ("lm_head",),
        "experimental_attention_variant": (),
        "hc_mult": (),
    }
)

# What every foundation reads. A value of null has no default: the file or a launch script must say it.
_FOUNDATION: Values = MappingProxyType(
    {
        **dict.fromkeys(NEUTRAL),
        "num_layers": None,
        "hidden_size": None,
        "ffn_hidden_size": None,
        "num_attention_heads": None,
        "group_query_attention": None,
        "num_query_groups": None,
        "kv_channels": None,
        "max_position_embeddings": None,
        "norm_epsilon": None,
        "layernorm_epsilon": None,
        "add_qkv_bias": False,
        "qk_layernorm": False,
        "untie_embeddings_and_output_weights": True,
        "rotary_base": None,
        "rotary_percent": None,
        "rotary_emb_func": "RotaryEmbedding",
        "rope_scaling_factor": None,
        "vocab_size": None,
        "vocab_size_in_config_file": None,
        "num_experts": None,
        "moe_ffn_hidden_size": None,
        "moe_layer_freq": None,
        "moe_router_topk": None,
        "moe_router_score_function": None,
        "moe_router_enable_expert_bias": None,
        "moe_router_pre_softmax": None,
        "moe_router_num_groups": 1,
        "moe_router_group_topk": 1,
        "moe_router_topk_scaling_factor": None,
        "moe_shared_expert_intermediate_size": None,
    }
)
_LATENT = """
    multi_latent_attention q_lora_rank kv_lora_rank qk_head_dim qk_pos_emb_head_dim v_head_dim rope_type
    rotary_scaling_factor original_max_position_embeddings beta_fast beta_slow mscale mscale_all_dim
    dsa_indexer_n_heads dsa_indexer_head_dim dsa_indexer_topk dsa_indexer_k_norm_epsilon dsa_indexer_rope_interleaved
    """.split()  # noqa: SIM905
_INDEXED: Values = MappingProxyType(
    {
        **_FOUNDATION,
        **dict.fromkeys(_LATENT),
        "beta_fast": 32,
        "beta_slow": 1,
        "dsa_indexer_topk_freq": 1,
        "dsa_indexer_skip_topk_offset": 0,
    }
)

_HYBRID: Values = MappingProxyType(
    {
        **_FOUNDATION,
        "add_qkv_bias": True,
        "full_attention_interval": 4,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_conv_kernel_dim": 4,
    }
)

FOUNDATIONS: Mapping[str, Values] = MappingProxyType(
    {
        "LLaMAConfig": _FOUNDATION,
        "Qwen2Config": {**_FOUNDATION, "add_qkv_bias": True, "mrope_section": (16, 24, 24)},
        "Qwen3Config": {**_FOUNDATION, "add_qkv_bias": True, "mrope_section": (24, 20, 20)},
        "MimoConfig": {**_FOUNDATION, "add_qkv_bias": True},
        "MinimaxConfig": _FOUNDATION,
        "InternLMConfig": {
            **_FOUNDATION,
            "rotary_base": 1000000,
            "vocab_size": 92553,
            "max_position_embeddings": 32768,
        },
        "Qwen3NextConfig": {**_HYBRID, "linear_num_value_heads": 32},
        "Qwen35Config": {
            **_HYBRID,
            "rotary_percent": 0.25,
            "rotary_base": 10000000,
            "linear_num_value_heads": 32,
            "mrope_section": None,
            "vocab_size_in_config_file": 248320,
            "kv_channels": 256,
        },
        "ErnieMoeConfig": {
            **_FOUNDATION,
            **dict.fromkeys(("moe_intermediate_size", "moe_num_shared_experts", "gated_linear_unit")),
            "mrope_section": (22, 22, 20),
            "dense_layer_index": (),
            "moe_layer_start_index": (),
            "moe_layer_end_index": (),
            "num_moe_experts": None,
            "im_patch_id": None,
        },
        "DeepseekConfig": _INDEXED,
        "GlmConfig": _INDEXED,
    }
)

_TOWER: Values = MappingProxyType(
    {
        "num_layers": None,
        "hidden_size": None,
        "ffn_hidden_size": None,
        "num_attention_heads": None,
        "num_query_groups": None,
        "original_num_attention_heads": None,
        "original_num_query_groups": None,
        "kv_channels": None,
        "patch_size": 14,
        "image_size": None,
        "in_channels": 3,
        "normalization": "LayerNorm",
        "layernorm_epsilon": 1e-6,
        "activation_func": "quick_gelu",
        "gated_linear_unit": False,
        "swiglu": False,
        "add_bias_linear": None,
        "add_qkv_bias": False,
        "group_query_attention": False,
        "position_embedding_type": "none",
        "image_token_id": None,
    }
)
TOWERS: Mapping[str, Values] = MappingProxyType(
    {
        "Qwen2VisionModelConfig": _TOWER,
        "Qwen2VisionRMSNormConfig": {**_TOWER, "normalization": "RMSNorm"},
        "Qwen3VisionModelConfig": {
            **_TOWER,
            "patch_size": 16,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": (8, 16, 24),
        },
        "Qwen35VisionConfig": {**_TOWER, "num_position_embeddings": 2304},
        # the class has its token whatever the field says of how many there are
        "RiceVisionConfig": {**_TOWER, "class_token_len": 0, "position_embedding_type": "rope"},
        "MoonVisionModelConfig": {
            **_TOWER,
            "temporal_patch_size": 1,
            "init_pos_emb_height": 64,
            "init_pos_emb_width": 64,
            "init_pos_emb_time": 4,
            "pos_emb_type": "divided_fixed",
            "video_attn_type": "spatial_temporal",
            "merge_kernel_size": (2, 2),
            "merge_type": "sd2_tpool",
        },
        "ErnieVisionConfig": {
            **_TOWER,
            "embed_dim": 1280,
            "mlp_ratio": 4,
            "spatial_merge_size": 2,
            "temporal_merge_size": 2,
            "use_temporal_conv": True,
            "rms_norm_eps": 1e-6,
            "resampler_hidden_in": None,
            "resampler_hidden_out": None,
        },
        "MiniCPMV46VisionConfig": {
            **_TOWER,
            "insert_layer_id": 6,
            "window_kernel_size": (2, 2),
            "downsample_mode": "16x",
        },
        "InternVisionConfig": {
            **_TOWER,
            "image_size": 448,
            "activation_func": "gelu",
            "qk_layernorm": False,
            "initializer_factor": 1.0,
            "downsample_ratio": 0.5,
            "select_layer": -1,
        },
    }
)

_PROJECTOR: Values = MappingProxyType(
    {
        "normalization": None,
        "layernorm_epsilon": 1e-6,
        "activation_func": "gelu",
        "add_bias_linear": None,
        "gated_linear_unit": False,
    }
)
PROJECTORS: Mapping[str, Values] = MappingProxyType(
    {
        "MLPAdapterConfig": _PROJECTOR,
        "PatchMergerMLPAdapterConfig": _PROJECTOR,
        "InternMLPAdapterConfig": {
            **_PROJECTOR,
            "layernorm_epsilon": 1e-5,
            "downsample_ratio": 0.5,
            "hidden_size": None,
            "ffn_hidden_size": None,
        },
        "MiniCPMV46MergerConfig": {
            **_PROJECTOR,
            **dict.fromkeys(("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "kv_channels")),
            "merge_kernel_size": (2, 2),
            "merger_times": 1,
        },
        "ErnieAdapterConfig": {"in_dim": None, "out_dim": None, "rms_norm_eps": 1e-5},
    }
)

# Classes that exist, and what the language lacks for them.
LATER: Mapping[str, str] = MappingProxyType(
    {
        "DeepseekV4Config": "hyper-connections, compressed attention and hashed experts",
    }
)

# The image token that the class of a tower carries where the file does not say it.
TOWER_TOKENS: Mapping[str, int] = MappingProxyType(
    {
        "Qwen2VisionModelConfig": 151655,
        "Qwen2VisionRMSNormConfig": 151655,
        "Qwen3VisionModelConfig": 151655,
        "RiceVisionConfig": 151655,
        "Qwen35VisionConfig": 248056,
        "MiniCPMV46VisionConfig": 248056,
        "ErnieVisionConfig": 100295,
        "MoonVisionModelConfig": 163603,
    }
)

DIFFUSION = frozenset({"WanConfig", "QwenImageConfig"})
ADAPTERS_OF_WEIGHTS = frozenset({"LoraConfig", "VLMLoraConfig"})
