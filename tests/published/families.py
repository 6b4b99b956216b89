"""Published configs of more text decoders: a size of every family that has none in `texts`."""

from __future__ import annotations

from .record import HUB, Published
from .record import text_sizes as _sizes

FAMILIES: dict[str, Published] = {
    "afm_4_5b": Published(
        "AFM 4.5B (Arcee)",
        f"{HUB}arcee-ai/AFM-4.5B",
        _sizes("arcee", 2560, 18432, 36, 20, 4, head_dim=128, vocab_size=128004, max_position_embeddings=65536)
        | {"rope_theta": 10000.0, "bos_token_id": 128000, "eos_token_id": [128001, 128003]}
        | {
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 20.0,
                "original_max_position_embeddings": 4096,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "mscale": 1.0,
            }
        },
        4_619_184_640,
    ),
    "command_a": Published(
        "Command A (111B, 2025)",
        f"{HUB}CohereLabs/c4ai-command-a-03-2025",
        _sizes("cohere2", 12288, 36864, 64, 96, 8, vocab_size=256000, rope_theta=50000.0, sliding_window=4096)
        | {"layer_norm_eps": 1e-5, "logit_scale": 0.25, "max_position_embeddings": 131072},
        111_057_580_032,
    ),
    "dots_llm1": Published(
        "dots.llm1, 142B parameters of which 14B work for a token",
        f"{HUB}rednote-hilab/dots.llm1.inst",
        _sizes("dots1", 4096, 10944, 62, 32, 32, head_dim=128, vocab_size=152064, max_position_embeddings=32768)
        | {"rope_theta": 10000000.0, "rms_norm_eps": 1e-05, "moe_intermediate_size": 1408, "n_routed_experts": 128}
        | {"n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
        | {"norm_topk_prob": True, "routed_scaling_factor": 2.5, "max_window_layers": 62, "sliding_window": None},
        142_774_381_696,
    ),
    "ernie_4_5_0_3b": Published(
        "ERNIE 4.5 0.3B",
        f"{HUB}baidu/ERNIE-4.5-0.3B-PT",
        _sizes("ernie4_5", 1024, 3072, 18, 16, 2, head_dim=128, vocab_size=103424, max_position_embeddings=131072)
        | {"rope_theta": 500000.0, "tie_word_embeddings": True},
        360_748_032,
    ),
    "exaone_4_32b": Published(
        "EXAONE 4.0 32B",
        f"{HUB}LGAI-EXAONE/EXAONE-4.0-32B",
        _sizes("exaone4", 5120, 27392, 64, 40, 8, head_dim=128, vocab_size=102400, max_position_embeddings=131072)
        | {"rope_theta": 1000000.0, "sliding_window": 4096, "sliding_window_pattern": "LLLG"}
        | {"layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 16, "eos_token_id": 361}
        | {
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 16.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            }
        },
        32_003_216_384,
    ),
    "glm_4_9b_0414": Published(
        "GLM-4 9B of 0414",
        f"{HUB}zai-org/GLM-4-9B-0414",
        _sizes("glm4", 4096, 13696, 40, 32, 2, head_dim=128, vocab_size=151552, max_position_embeddings=32768)
        | {"attention_bias": False, "rms_norm_eps": 1e-05, "partial_rotary_factor": 0.5, "rope_theta": 10000.0},
        9_400_094_720,
    ),
    "glm_4_32b_0414": Published(
        "GLM-4 32B of 0414",
        f"{HUB}zai-org/GLM-4-32B-0414",
        _sizes("glm4", 6144, 23040, 61, 48, 2, head_dim=128, vocab_size=151552, max_position_embeddings=32768)
        | {"attention_bias": False, "rms_norm_eps": 1e-05, "partial_rotary_factor": 0.5, "rope_theta": 10000.0},
        32_566_081_536,
    ),
    "helium_1_2b": Published(
        "Helium 1 2B",
        f"{HUB}kyutai/helium-1-2b",
        _sizes("helium", 2048, 8192, 28, 16, 8, head_dim=128, vocab_size=64000, max_position_embeddings=4096)
        | {"rope_theta": 20000.0, "rms_norm_eps": 1e-08, "tie_word_embeddings": False},
        2_023_868_416,
    ),
    "hunyuan_7b": Published(
        "Hunyuan 7B",
        f"{HUB}tencent/Hunyuan-7B-Instruct",
        _sizes("hunyuan_v1_dense", 4096, 14336, 32, 32, 8, head_dim=128, vocab_size=128167)
        | {"max_position_embeddings": 32768, "tie_word_embeddings": True, "rope_theta": 10000.0}
        | {"pad_token_id": 127961, "bos_token_id": 127958, "eos_token_id": 127960}
        | {"rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}},
        7_504_568_320,
    ),
    "minimax_m2": Published(
        "MiniMax M2, 229B parameters of which 10B work for a token",
        f"{HUB}MiniMaxAI/MiniMax-M2",
        _sizes("minimax_m2", 3072, 1536, 62, 48, 8, head_dim=128, rotary_dim=64, vocab_size=200064)
        | {"num_local_experts": 256, "num_experts_per_tok": 8, "rope_theta": 5000000, "rms_norm_eps": 1e-06}
        | {"max_position_embeddings": 196608},
        228_689_764_864,
    ),
    "ministral_8b": Published(
        "Ministral 8B of 2410, windows in three of four layers",
        f"{HUB}mistralai/Ministral-8B-Instruct-2410",
        _sizes("ministral", 4096, 12288, 36, 32, 8, head_dim=128, vocab_size=131072, rope_theta=100000000.0)
        | {"max_position_embeddings": 32768, "rms_norm_eps": 1e-05, "sliding_window": 32768}
        | {"layer_types": (["full_attention"] + ["sliding_attention"] * 3) * 9},
        8_019_808_256,
    ),
    "olmo_7b": Published(
        "OLMo 7B",
        f"{HUB}allenai/OLMo-7B-hf",
        _sizes("olmo", 4096, 11008, 32, 32, vocab_size=50304, max_position_embeddings=2048),
        6_888_095_744,
    ),
    "olmo_3_7b": Published(
        "OLMo 3 7B",
        f"{HUB}allenai/Olmo-3-1025-7B",
        _sizes("olmo3", 4096, 11008, 32, 32, vocab_size=100278, max_position_embeddings=65536, rope_theta=500000)
        | {"rms_norm_eps": 1e-06, "sliding_window": 4096, "bos_token_id": None, "eos_token_id": 100257}
        | {"layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 8, "pad_token_id": 100277}
        | {
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 8.0,
                "original_max_position_embeddings": 8192,
                "beta_fast": 32,
                "beta_slow": 1,
                "attention_factor": 1.2079441541679836,
            }
        },
        7_298_011_136,
    ),
    "olmoe_1b_7b": Published(
        "OLMoE 7B-A1B",
        f"{HUB}allenai/OLMoE-1B-7B-0924",
        _sizes("olmoe", 2048, 1024, 16, 16, vocab_size=50304, max_position_embeddings=4096)
        | {"num_experts": 64, "num_experts_per_tok": 8, "norm_topk_prob": False},
        6_919_161_856,
    ),
}
