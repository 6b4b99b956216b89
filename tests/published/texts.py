"""Published configs of text decoders, with what they are called, where they are, and how many parameters they have."""

from __future__ import annotations

from typing import Any

from .record import HUB, Published
from .record import text_sizes as _sizes


def _gemma(model_type: str, *sizes: int, scalar: int = 256, head_dim: int = 256, **fields: Any) -> dict[str, Any]:
    query = {} if model_type == "gemma" else {"query_pre_attn_scalar": scalar}
    return _sizes(model_type, *sizes, head_dim=head_dim, rms_norm_eps=1e-6, **query, **fields)


def _gemma3(*sizes: int, **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "sliding_window": 1024,
        "vocab_size": 262208,
    }
    base["rope_scaling"] = {"factor": 8.0, "rope_type": "linear"}
    return _gemma("gemma3_text", *sizes, **{**base, **fields})


def _hybrid(model_type: str, **fields: Any) -> dict[str, Any]:
    """What the class does not have by itself."""
    return {"model_type": model_type, "max_position_embeddings": 262144, "rope_theta": 10000000, **fields}


def _qwen_moe(model_type: str, *sizes: int, **fields: Any) -> dict[str, Any]:
    base = {"vocab_size": 151936, "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": False}
    return _sizes(model_type, *sizes, **{**base, **fields})


def _olmo2(*sizes: int) -> dict[str, Any]:
    return _sizes(
        "olmo2",
        *sizes,
        sizes[-1],
        vocab_size=100352,
        rope_theta=500000,
        rms_norm_eps=1e-6,
        max_position_embeddings=4096,
    )


def _opt(dim: int, layers: int, heads: int) -> dict[str, Any]:
    config = {"model_type": "opt", "hidden_size": dim, "ffn_dim": 4 * dim, "num_hidden_layers": layers}
    return config | {"num_attention_heads": heads, "vocab_size": 50272, "word_embed_proj_dim": dim}


def _neox(dim: int, layers: int, heads: int, vocab: int, **fields: Any) -> dict[str, Any]:
    config = {"model_type": "gpt_neox", "hidden_size": dim, "intermediate_size": 4 * dim, "num_hidden_layers": layers}
    return config | {"num_attention_heads": heads, "vocab_size": vocab, "rotary_pct": 0.25, **fields}


def _cohere(model_type: str, *sizes: int, **fields: Any) -> dict[str, Any]:
    return _sizes(model_type, *sizes, vocab_size=256000, layer_norm_eps=1e-5, **fields)


def _granite(*sizes: int, **fields: Any) -> dict[str, Any]:
    base = {"vocab_size": 49155, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "tie_word_embeddings": True}
    factors = {"embedding_multiplier": 12.0, "residual_multiplier": 0.22}
    return _sizes("granite", *sizes, **base, **factors, **fields)


def _gpt_oss(layers: int, experts: int) -> dict[str, Any]:
    scaling = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}
    return _sizes(
        "gpt_oss",
        *(2880, 2880, layers, 64, 8),
        head_dim=64,
        num_local_experts=experts,
        num_experts_per_tok=4,
        sliding_window=128,
        layer_types=["sliding_attention", "full_attention"] * (layers // 2),
        rope_theta=150000,
        rope_scaling=scaling | {"beta_fast": 32.0, "beta_slow": 1.0},
    )


def _step(factor: float, **fields: Any) -> dict[str, Any]:
    return {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 1.0, **fields}


def _llama4(experts: int, **fields: Any) -> dict[str, Any]:
    """What the class has by itself is not said again."""
    return {"model_type": "llama4_text", "num_local_experts": experts, **fields}


TEXTS: dict[str, Published] = {
    "qwen3_next_80b_a3b": Published(
        "Qwen3-Next 80B-A3B",
        f"{HUB}Qwen/Qwen3-Next-80B-A3B-Instruct",
        _hybrid("qwen3_next", num_hidden_layers=48, num_key_value_heads=2),
        79_674_391_296,
    ),
    "qwen3_5_9b": Published(
        "Qwen3.5 9B, its text model", f"{HUB}Qwen/Qwen3.5-9B", _hybrid("qwen3_5_text"), 8_953_803_264
    ),
    "qwen3_5_35b_a3b": Published(
        "Qwen3.5 35B-A3B, its text model",
        f"{HUB}Qwen/Qwen3.5-35B-A3B",
        _hybrid("qwen3_5_moe_text"),
        34_660_610_688,
    ),
    "gemma_2b": Published(
        "Gemma 2B", f"{HUB}google/gemma-2b", _gemma("gemma", 2048, 16384, 18, 8, 1, hidden_act="gelu"), 2_506_172_416
    ),
    "gemma_7b": Published(
        "Gemma 7B", f"{HUB}google/gemma-7b", _gemma("gemma", 3072, 24576, 28, 16, 16, hidden_act="gelu"), 8_537_680_896
    ),
    "gemma_2_2b": Published(
        "Gemma 2 2B", f"{HUB}google/gemma-2-2b", _gemma("gemma2", 2304, 9216, 26, 8, 4), 2_614_341_888
    ),
    "gemma_2_9b": Published(
        "Gemma 2 9B", f"{HUB}google/gemma-2-9b", _gemma("gemma2", 3584, 14336, 42, 16, 8), 9_241_705_984
    ),
    "gemma_2_27b": Published(
        "Gemma 2 27B",
        f"{HUB}google/gemma-2-27b",
        _gemma("gemma2", 4608, 36864, 46, 32, 16, scalar=144, head_dim=128),
        27_227_128_320,
    ),
    "gemma_3_1b": Published(
        "Gemma 3 1B",
        f"{HUB}google/gemma-3-1b-pt",
        _gemma3(1152, 6912, 26, 4, 1)
        | {"rope_scaling": None, "sliding_window": 512, "vocab_size": 262144, "max_position_embeddings": 32768},
        999_885_952,
    ),
    "gemma_3_4b": Published(
        "Gemma 3 4B, its text model", f"{HUB}google/gemma-3-4b-pt", _gemma3(2560, 10240, 34, 8, 4), 3_880_263_168
    ),
    "gemma_3_12b": Published(
        "Gemma 3 12B, its text model", f"{HUB}google/gemma-3-12b-pt", _gemma3(3840, 15360, 48, 16, 8), 11_766_034_176
    ),
    "gemma_3_27b": Published(
        "Gemma 3 27B, its text model",
        f"{HUB}google/gemma-3-27b-pt",
        _gemma3(5376, 21504, 62, 32, 16, scalar=168, head_dim=128),
        27_009_346_304,
    ),
    "phi_2": Published(
        "Phi-2",
        f"{HUB}microsoft/phi-2",
        _sizes("phi", 2560, 10240, 32, 32, 32, vocab_size=51200, partial_rotary_factor=0.4),
        2_779_683_840,
    ),
    "phi_3_mini_4k": Published(
        "Phi-3 mini, 4k",
        f"{HUB}microsoft/Phi-3-mini-4k-instruct",
        _sizes("phi3", 3072, 8192, 32, 32, 32, sliding_window=2047),
        3_821_079_552,
    ),
    "phi_3_medium_4k": Published(
        "Phi-3 medium, 4k",
        f"{HUB}microsoft/Phi-3-medium-4k-instruct",
        _sizes("phi3", 5120, 17920, 40, 40, 10, sliding_window=2047),
        13_960_238_080,
    ),
    "phi_4": Published(
        "Phi-4",
        f"{HUB}microsoft/phi-4",
        _sizes("phi3", 5120, 17920, 40, 40, 10, vocab_size=100352, max_position_embeddings=16384)
        | {"rope_theta": 250000, "original_max_position_embeddings": 16384},
        14_659_507_200,
    ),
    "glm_4_9b": Published(
        "GLM-4 9B, the chat model of 2024",
        f"{HUB}zai-org/glm-4-9b-chat-hf",
        _sizes("glm", 4096, 13696, 40, 32, 2, head_dim=128),
        9_399_951_360,
    ),
    "glm_4_5_air": Published(
        "GLM-4.5 Air",
        f"{HUB}zai-org/GLM-4.5-Air",
        _sizes("glm4_moe", 4096, 10944, 46, 96, 8, head_dim=128, rope_theta=1000000, attention_bias=True)
        | {"num_nextn_predict_layers": 1},
        106_852_251_264,
    ),
    "mixtral_8x7b": Published(
        "Mixtral 8x7B",
        f"{HUB}mistralai/Mixtral-8x7B-v0.1",
        _sizes("mixtral", 4096, 14336, 32, 32, 8, max_position_embeddings=32768),
        46_702_792_704,
    ),
    "mixtral_8x22b": Published(
        "Mixtral 8x22B",
        f"{HUB}mistralai/Mixtral-8x22B-v0.1",
        _sizes("mixtral", 6144, 16384, 56, 48, 8, max_position_embeddings=65536),
        140_620_634_112,
    ),
    "qwen1_5_moe_a2_7b": Published(
        "Qwen1.5-MoE A2.7B",
        f"{HUB}Qwen/Qwen1.5-MoE-A2.7B",
        _qwen_moe("qwen2_moe", 2048, 5632, 24, 16, 16, max_position_embeddings=8192),
        14_315_784_192,
    ),
    "qwen2_57b_a14b": Published(
        "Qwen2 57B-A14B",
        f"{HUB}Qwen/Qwen2-57B-A14B",
        _qwen_moe("qwen2_moe", 3584, 18944, 28, 28, 4, max_position_embeddings=131072)
        | {"moe_intermediate_size": 2560, "shared_expert_intermediate_size": 20480, "num_experts": 64}
        | {"num_experts_per_tok": 8},
        57_408_658_944,
    ),
    "qwen3_30b_a3b": Published(
        "Qwen3 30B-A3B",
        f"{HUB}Qwen/Qwen3-30B-A3B",
        _qwen_moe("qwen3_moe", 2048, 6144, 48, 32, 4, head_dim=128, norm_topk_prob=True)
        | {"max_position_embeddings": 40960},
        30_532_122_624,
    ),
    "qwen3_235b_a22b": Published(
        "Qwen3 235B-A22B",
        f"{HUB}Qwen/Qwen3-235B-A22B",
        _qwen_moe("qwen3_moe", 4096, 12288, 94, 64, 4, head_dim=128, norm_topk_prob=True)
        | {"moe_intermediate_size": 1536, "max_position_embeddings": 40960},
        235_093_634_560,
    ),
    "olmo_2_1b": Published("OLMo 2 1B", f"{HUB}allenai/OLMo-2-0425-1B", _olmo2(2048, 8192, 16, 16), 1_484_916_736),
    "olmo_2_7b": Published("OLMo 2 7B", f"{HUB}allenai/OLMo-2-1124-7B", _olmo2(4096, 11008, 32, 32), 7_298_617_344),
    "olmo_2_13b": Published("OLMo 2 13B", f"{HUB}allenai/OLMo-2-1124-13B", _olmo2(5120, 13824, 40, 40), 13_716_198_400),
    "opt_125m": Published("OPT 125M", f"{HUB}facebook/opt-125m", _opt(768, 12, 12), 125_239_296),
    "opt_2_7b": Published("OPT 2.7B", f"{HUB}facebook/opt-2.7b", _opt(2560, 32, 32), 2_651_596_800),
    "opt_6_7b": Published("OPT 6.7B", f"{HUB}facebook/opt-6.7b", _opt(4096, 32, 32), 6_658_473_984),
    "pythia_1b": Published("Pythia 1B", f"{HUB}EleutherAI/pythia-1b", _neox(2048, 16, 8, 50304), 1_011_781_632),
    "bloom_7b1": Published(
        "BLOOM 7.1B",
        f"{HUB}bigscience/bloom-7b1",
        {"model_type": "bloom", "hidden_size": 4096, "n_layer": 30, "n_head": 32, "vocab_size": 250880},
        7_069_016_064,
    ),
    "mpt_7b": Published(
        "MPT 7B",
        f"{HUB}mosaicml/mpt-7b",
        {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50432},
        6_649_286_656,
    ),
    "gpt_neox_20b": Published(
        "GPT-NeoX 20B",
        f"{HUB}EleutherAI/gpt-neox-20b",
        _neox(6144, 44, 64, 50432, hidden_act="gelu_fast"),
        20_554_567_680,
    ),
    "command_r": Published(
        "Command R (35B, 2024)",
        f"{HUB}CohereLabs/c4ai-command-r-v01",
        _cohere("cohere", 8192, 22528, 40, 64, 64, rope_theta=8000000.0, max_position_embeddings=131072),
        34_980_831_232,
    ),
    "aya_23_8b": Published(
        "Aya 23 8B",
        f"{HUB}CohereLabs/aya-23-8B",
        _cohere("cohere", 4096, 14336, 32, 32, 8, rope_theta=10000.0),
        8_028_033_024,
    ),
    "command_r7b": Published(
        "Command R7B",
        f"{HUB}CohereLabs/c4ai-command-r7b-12-2024",
        _cohere("cohere2", 4096, 14336, 32, 32, 8, rope_theta=50000.0, logit_scale=0.25, sliding_window=4096),
        8_028_033_024,
    ),
    "granite_3_2b": Published(
        "Granite 3.0 2B",
        f"{HUB}ibm-granite/granite-3.0-2b-base",
        _granite(2048, 8192, 40, 32, 8, attention_multiplier=0.015625, logits_scaling=8.0),
        2_533_531_648,
    ),
    "granite_3_8b": Published(
        "Granite 3.0 8B",
        f"{HUB}ibm-granite/granite-3.0-8b-base",
        _granite(4096, 12800, 40, 32, 8, attention_multiplier=0.0078125, logits_scaling=16.0),
        8_170_848_256,
    ),
    "hyperclovax_seed_think_14b": Published(
        "HyperCLOVA X SEED Think 14B: norms before and behind each sublayer, factors in many places",
        f"{HUB}naver-hyperclovax/HyperCLOVAX-SEED-Think-14B",
        _sizes("hyperclovax", 6144, 14336, 38, 48, 8, vocab_size=110592, head_dim=128)
        | {"max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 1e8}
        | {"attention_multiplier": 0.0078125, "embedding_multiplier": 10.0, "logits_scaling": 0.125},
        14_748_112_896,
    ),
    "starcoder2_3b": Published(
        "StarCoder2 3B",
        f"{HUB}bigcode/starcoder2-3b",
        _sizes("starcoder2", 3072, 12288, 30, 24, 2, rope_theta=999999.4420358813, sliding_window=4096)
        | {"max_position_embeddings": 16384, "bos_token_id": 0, "eos_token_id": 0},
        3_030_371_328,
    ),
    "stablelm_2_1_6b": Published(
        "StableLM 2 1.6B",
        f"{HUB}stabilityai/stablelm-2-1_6b",
        _sizes("stablelm", 2048, 5632, 24, 32, 32, vocab_size=100352, use_qkv_bias=True),
        1_644_515_328,
    ),
    "smollm3_3b": Published(
        "SmolLM3 3B",
        f"{HUB}HuggingFaceTB/SmolLM3-3B",
        _sizes("smollm3", 2048, 11008, 36, 16, 4, max_position_embeddings=65536, rope_theta=5000000.0),
        3_075_098_624,
    ),
    "seed_oss_36b": Published(
        "Seed-OSS 36B",
        f"{HUB}ByteDance-Seed/Seed-OSS-36B-Instruct",
        _sizes("seed_oss", 5120, 27648, 64, 80, 8, head_dim=128, rope_theta=10000000.0),
        36_151_104_512,
    ),
    "llama_4_scout_17b_16e": Published(
        "Llama 4 Scout 17B-16E, its text model",
        f"{HUB}meta-llama/Llama-4-Scout-17B-16E",
        _llama4(16, max_position_embeddings=10485760, rope_theta=500000.0)
        | {"rope_scaling": _step(16.0, original_max_position_embeddings=8192)},
        107_769_861_120,
    ),
    "llama_4_maverick_17b_128e": Published(
        "Llama 4 Maverick 17B-128E, its text model",
        f"{HUB}meta-llama/Llama-4-Maverick-17B-128E",
        _llama4(128, max_position_embeddings=1048576, interleave_moe_layer_step=2, use_qk_norm=False),
        400_711_848_960,
    ),
    "gpt_oss_20b": Published("GPT-OSS 20B", f"{HUB}openai/gpt-oss-20b", _gpt_oss(24, 32), 20_914_757_184),
    "gpt_oss_120b": Published("GPT-OSS 120B", f"{HUB}openai/gpt-oss-120b", _gpt_oss(36, 128), 116_829_156_672),
}
