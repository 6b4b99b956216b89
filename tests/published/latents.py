"""Published configs of decoders with latent attention, and of those that put together what others have."""

from __future__ import annotations

from typing import Any

from .record import HUB, Published
from .record import text_sizes as _sizes


def _yarn(factor: int, mscale: float, **fields: Any) -> dict[str, Any]:
    scaling = {"type": "yarn", "factor": factor, "original_max_position_embeddings": 4096}
    return {**scaling, "beta_fast": 32, "beta_slow": 1, "mscale": mscale, "mscale_all_dim": mscale, **fields}


def _latent(model_type: str, *sizes: int, **fields: Any) -> dict[str, Any]:
    base = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    return _sizes(model_type, *sizes, rms_norm_eps=1e-6, **base, **fields)


LATENTS: dict[str, Published] = {
    "deepseek_v2_lite": Published(
        "DeepSeek-V2 Lite",
        f"{HUB}deepseek-ai/DeepSeek-V2-Lite",
        _latent("deepseek_v2", 2048, 10944, 27, 16, 16, q_lora_rank=None, moe_intermediate_size=1408)
        | {"n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1}
        | {"topk_method": "greedy", "max_position_embeddings": 163840, "rope_scaling": _yarn(40, 0.707)},
        15_706_484_224,
    ),
    "deepseek_v2": Published(
        "DeepSeek-V2",
        f"{HUB}deepseek-ai/DeepSeek-V2",
        _latent("deepseek_v2", 5120, 12288, 60, 128, 128, q_lora_rank=1536, moe_intermediate_size=1536)
        | {"n_routed_experts": 160, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1}
        | {"topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 3, "routed_scaling_factor": 16.0}
        | {"max_position_embeddings": 163840, "rope_scaling": _yarn(40, 1.0)},
        235_741_434_880,
    ),
    "deepseek_v3": Published(
        "DeepSeek-V3",
        f"{HUB}deepseek-ai/DeepSeek-V3",
        _latent("deepseek_v3", 7168, 18432, 61, 128, 128)
        | {"max_position_embeddings": 163840, "rope_scaling": _yarn(40, 1.0), "num_nextn_predict_layers": 1},
        671_026_419_200,
    ),
    "deepseek_v3_2": Published(
        "DeepSeek-V3.2",
        f"{HUB}deepseek-ai/DeepSeek-V3.2",
        _latent("deepseek_v32", 7168, 18432, 61, 128, 128)
        | {"max_position_embeddings": 163840, "rope_scaling": _yarn(40, 1.0), "num_nextn_predict_layers": 1},
        671_877_944_064,
    ),
    "glm_5": Published(
        "GLM-5",
        f"{HUB}zai-org/GLM-5",
        {"model_type": "glm_moe_dsa", "rope_theta": 1000000, "num_nextn_predict_layers": 1},
        743_911_218_432,
    ),
    "glm_5_2": Published(
        "GLM-5.2",
        f"{HUB}zai-org/GLM-5.2",
        {"model_type": "glm_moe_dsa", "rope_theta": 8000000, "max_position_embeddings": 1048576}
        | {"index_topk_freq": 4, "index_skip_topk_offset": 3, "num_nextn_predict_layers": 1},
        743_377_019_904,
    ),
    "kimi_k2": Published(
        "Kimi K2",
        f"{HUB}moonshotai/Kimi-K2-Instruct",
        _latent("deepseek_v3", 7168, 18432, 61, 64, 64, n_routed_experts=384, vocab_size=163840)
        | {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "routed_scaling_factor": 2.827}
        | {"max_position_embeddings": 131072, "rope_theta": 50000.0, "rope_scaling": _yarn(32, 1.0, beta_fast=1)},
        1_026_408_232_448,
    ),
    "glm_4_7_flash": Published(
        "GLM-4.7-Flash",
        f"{HUB}zai-org/GLM-4.7-Flash",
        {"model_type": "glm4_moe_lite", "rope_theta": 1000000, "num_nextn_predict_layers": 1},
        29_943_393_920,
    ),
    "youtu_llm_2b": Published(
        "Youtu-LLM 2B",
        f"{HUB}tencent/Youtu-LLM-2B",
        {"model_type": "youtu", "rope_theta": 1600000},
        1_961_560_064,
    ),
    "solar_open_100b": Published(
        "Solar Open 100B",
        f"{HUB}upstage/Solar-Open-100B",
        {"model_type": "solar_open", "rope_theta": 1000000},
        102_651_799_552,
    ),
    "flex_olmo_7x7b": Published(
        "FlexOlmo 7x7B",
        f"{HUB}allenai/FlexOlmo-7x7B-1T",
        {"model_type": "flex_olmo", "rope_theta": 500000},
        33_270_665_216,
    ),
    "minimax_text_01": Published(
        "MiniMax-Text-01",
        f"{HUB}MiniMaxAI/MiniMax-Text-01-hf",
        _sizes("minimax", 6144, 9216, 80, 64, 8, head_dim=128, vocab_size=200064, rms_norm_eps=1e-5)
        | {"max_position_embeddings": 10240000, "rope_theta": 10000000, "rotary_dim": 64, "num_local_experts": 32}
        | {"layer_types": [*["linear_attention"] * 7, "full_attention"] * 10}
        | {f"{part}_alpha_factor": 3.5565588200778455 for part in ("full_attn", "linear_attn", "mlp")},
        456_089_655_296,
    ),
}
