"""The fields of KempnerForge's sections, with the values that its classes take when a file lacks them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Values = Mapping[str, Any]

# What a model is made of. The other sections say how it is trained.
_OF_TRAINING = ("train", "optimizer", "scheduler", "data", "distributed", "checkpoint", "metrics", "profiling", "eval")
SECTIONS = ("model", "vision_encoder", "adapter", "vlm", "video", *_OF_TRAINING)

MODEL: Values = MappingProxyType(
    {
        "dim": 4096,
        "n_layers": 32,
        "n_heads": 32,
        "n_kv_heads": None,
        "vocab_size": 32000,
        "ffn_dim_multiplier": 1.0,
        "ffn_hidden_dim": None,
        "norm_type": "rmsnorm",
        "norm_eps": 1e-5,
        "activation": "silu",
        "max_seq_len": 2048,
        "rope_theta": 10000.0,
        "tie_embeddings": False,
        "qk_norm": False,
        "model_type": "transformer",
        "num_experts": 0,
        "moe_top_k": 2,
        "moe_frequency": 1,
        "moe_router": "softmax_topk",
        "moe_shared_experts": 0,
        "moe_capacity_factor": 0.0,
    }
)
# How weights start, how experts are balanced while training, and how they are stored.
MODEL_HARMLESS = frozenset(
    """
    init_std moe_aux_loss_weight moe_sequence_aux_loss_weight moe_gradient_scale moe_bias_schedule moe_packed_experts
    """.split()  # noqa: SIM905
)

VISION: Values = MappingProxyType({"type": "random", "path": "", "feature_dim": 0, "num_tokens": 0})

ADAPTER: Values = MappingProxyType(
    {"type": "mlp_2layer", "hidden_dim": 0, "activation": "gelu", "pre_norm": "", "pool_window": 2, "pool_heads": 16}
)

VLM: Values = MappingProxyType(
    {
        "arch": "joint_decoder",
        "max_text_len": 512,
        "freeze": ({"module": "vision_encoder", "frozen": True},),
        "freeze_schedule": (),
        "cross_attention_every_n_layers": 4,
        "cross_attention_n_heads": 0,
        "cross_attention_n_kv_heads": 0,
        "mot_modalities": ("image", "text"),
        "mot_image_n_heads": 0,
        "mot_image_n_kv_heads": 0,
        "mot_warm_start_from_text": False,
        "mot_warm_start_path": "",
        "moma_experts_per_modality": None,
        "moma_capacity_factor": 0.0,
        "moma_gumbel_noise": True,
    }
)

# Towers named by where they are published -> the part of the catalog that they are.
TOWERS: Mapping[str, str] = MappingProxyType(
    {
        "google/siglip-base-patch16-224": "encoder/siglip_base_patch16_224",
        "google/siglip-large-patch16-384": "encoder/siglip_large_patch16_384",
        "google/siglip-so400m-patch14-384": "encoder/siglip_so400m_patch14_384",
        "google/siglip2-base-patch16-224": "encoder/siglip2_base_patch16_224",
        "google/siglip2-so400m-patch14-384": "encoder/siglip2_so400m_patch14_384",
        "google/siglip2-so400m-patch16-384": "encoder/siglip2_so400m_patch16_384",
        "google/siglip2-so400m-patch16-512": "encoder/siglip2_so400m_patch16_512",
        "openai/clip-vit-base-patch16": "encoder/clip_vit_b_16",
        "openai/clip-vit-base-patch32": "encoder/clip_vit_b_32",
        "openai/clip-vit-large-patch14": "encoder/clip_vit_l_14",
        "openai/clip-vit-large-patch14-336": "encoder/clip_vit_l_14_336",
    }
)
