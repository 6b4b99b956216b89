"""Published configs of decoders of the Llama style: Llama, Vicuna, Mistral and the dense Qwens."""

from __future__ import annotations

from typing import Any

from .record import HUB, Published


def llama(dim: int, hidden: int, layers: int, heads: int, **fields: Any) -> dict[str, Any]:
    """A Llama of the second generation, unless fields say otherwise."""
    return {
        "model_type": "llama",
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        **fields,
    }


def llama3(dim: int, hidden: int, layers: int, heads: int, factor: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A Llama of the third, with `factor` one whose positions are scaled (3.1 and 3.2)."""
    scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    base: dict[str, Any] = {"vocab_size": 128256, "num_key_value_heads": 8, "rope_theta": 500000.0}
    base["max_position_embeddings"] = 131072 if factor else 8192
    base["rope_scaling"] = scaling | {"original_max_position_embeddings": 8192} if factor else None
    return llama(dim, hidden, layers, heads, **{**base, **fields})


def mistral(**fields: Any) -> dict[str, Any]:
    """Mistral 7B."""
    sizes = {"model_type": "mistral", "num_key_value_heads": 8, "max_position_embeddings": 32768}
    return llama(4096, 14336, 32, 32, **{**sizes, **fields})


def qwen2(dim: int, hidden: int, layers: int, heads: int, shared: int, **fields: Any) -> dict[str, Any]:
    """A Qwen 1.5, 2 or 2.5; the small ones tie their head."""
    base: dict[str, Any] = {"model_type": "qwen2", "vocab_size": 151936, "num_key_value_heads": shared}
    base |= {
        "tie_word_embeddings": True,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-06,
        "max_position_embeddings": 32768,
    }
    base |= {"use_sliding_window": False, "sliding_window": 32768, "max_window_layers": layers}
    return llama(dim, hidden, layers, heads, **{**base, **fields})


def qwen2_large(dim: int, hidden: int, layers: int, heads: int, shared: int, **fields: Any) -> dict[str, Any]:
    """One with a head of its own, and more rows in its vocabulary."""
    return qwen2(dim, hidden, layers, heads, shared, **{"vocab_size": 152064, "tie_word_embeddings": False, **fields})


def qwen3(dim: int, hidden: int, layers: int, heads: int, tied: bool = True) -> dict[str, Any]:
    """A dense Qwen 3."""
    base: dict[str, Any] = {"model_type": "qwen3", "vocab_size": 151936, "num_key_value_heads": 8, "head_dim": 128}
    base |= {
        "tie_word_embeddings": tied,
        "rope_theta": 1000000,
        "rms_norm_eps": 1e-06,
        "max_position_embeddings": 40960,
    }
    base |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": layers, "attention_bias": False}
    return llama(dim, hidden, layers, heads, **base)


def _internlm(*sizes: int) -> dict[str, Any]:
    scaling = {"rope_type": "dynamic", "factor": 2.0}
    fields = {"vocab_size": 92544, "num_key_value_heads": 8, "max_position_embeddings": 32768}
    return llama(*sizes, **fields, rope_theta=1000000.0, rope_scaling=scaling)


# part -> published config and number of parameters
LLAMAS: dict[str, tuple[dict[str, Any], int]] = {
    "vicuna_7b": (llama(4096, 11008, 32, 32, vocab_size=32064), 6_738_939_904),
    "vicuna_13b": (llama(5120, 13824, 40, 40, vocab_size=32064), 13_016_519_680),
    "llama_2_7b": (llama(4096, 11008, 32, 32), 6_738_415_616),
    "llama_2_13b": (llama(5120, 13824, 40, 40), 13_015_864_320),
    "llama_3_8b": (llama3(4096, 14336, 32, 32), 8_030_261_248),
    "llama_3_1_8b": (llama3(4096, 14336, 32, 32, factor=8.0), 8_030_261_248),
    "llama_3_2_1b": (llama3(2048, 8192, 16, 32, factor=32.0, tie_word_embeddings=True), 1_235_814_400),
    "llama_3_2_3b": (llama3(3072, 8192, 28, 24, factor=32.0, tie_word_embeddings=True), 3_212_749_824),
    "mistral_7b_v0_1": (mistral(sliding_window=4096), 7_241_732_096),
    "mistral_7b_v0_3": (mistral(sliding_window=None, vocab_size=32768, rope_theta=1e6), 7_248_023_552),
    "ministral_3b": (
        llama(3072, 8192, 30, 32, num_key_value_heads=8, head_dim=128, vocab_size=131072)
        | {"max_position_embeddings": 131072, "rope_theta": 1e8},
        4_014_136_320,
    ),
    "qwen2_5_0_5b": (qwen2(896, 4864, 24, 14, 2), 494_032_768),
    "qwen2_5_1_5b": (qwen2(1536, 8960, 28, 12, 2), 1_543_714_304),
    "qwen2_5_3b": (qwen2(2048, 11008, 36, 16, 2), 3_085_938_688),
    "qwen2_5_7b": (qwen2(3584, 18944, 28, 28, 4, vocab_size=152064, tie_word_embeddings=False), 7_615_616_512),
    "qwen2_audio_7b": (
        qwen2(4096, 11008, 32, 32, 32, vocab_size=156032, tie_word_embeddings=False, rope_theta=10000.0)
        | {"rms_norm_eps": 1e-05, "max_position_embeddings": 8192},
        7_754_878_976,
    ),
    "qwen3_0_6b": (qwen3(1024, 3072, 28, 16), 596_049_920),
    "qwen3_1_7b": (qwen3(2048, 6144, 28, 16), 1_720_574_976),
    "qwen3_4b": (qwen3(2560, 9728, 36, 32), 4_022_468_096),
    "qwen3_8b": (qwen3(4096, 12288, 36, 32, tied=False), 8_190_735_360),
}

LARGER: dict[str, Published] = {
    "llama_2_70b": Published(
        "Llama 2 70B",
        f"{HUB}meta-llama/Llama-2-70b-hf",
        llama(8192, 28672, 80, 64, num_key_value_heads=8),
        68_976_648_192,
    ),
    "llama_3_1_70b": Published(
        "Llama 3.1 70B", f"{HUB}meta-llama/Llama-3.1-70B", llama3(8192, 28672, 80, 64, factor=8.0), 70_553_706_496
    ),
    "llama_3_1_405b": Published(
        "Llama 3.1 405B", f"{HUB}meta-llama/Llama-3.1-405B", llama3(16384, 53248, 126, 128, factor=8.0), 405_853_388_800
    ),
    "qwen1_5_7b": Published(
        "Qwen1.5 7B",
        f"{HUB}Qwen/Qwen1.5-7B",
        qwen2(4096, 11008, 32, 32, 32, tie_word_embeddings=False),
        7_721_324_544,
    ),
    "qwen2_5_14b": Published(
        "Qwen2.5 14B",
        f"{HUB}Qwen/Qwen2.5-14B",
        qwen2_large(5120, 13824, 48, 40, 8, max_position_embeddings=131072, rms_norm_eps=1e-05),
        14_770_033_664,
    ),
    "qwen2_5_32b": Published(
        "Qwen2.5 32B",
        f"{HUB}Qwen/Qwen2.5-32B",
        qwen2_large(5120, 27648, 64, 40, 8, max_position_embeddings=131072, rms_norm_eps=1e-05),
        32_763_876_352,
    ),
    "qwen2_5_72b": Published(
        "Qwen2.5 72B",
        f"{HUB}Qwen/Qwen2.5-72B",
        qwen2_large(8192, 29568, 80, 64, 8, max_position_embeddings=131072, rms_norm_eps=1e-05),
        72_706_203_648,
    ),
    "deepseek_llm_1_3b": Published(
        "The language model of DeepSeek-VL 1.3B (DeepSeek LLM 1.3B)",
        f"{HUB}deepseek-community/deepseek-vl-1.3b-chat",
        llama(2048, 5632, 24, 16, vocab_size=102400, max_position_embeddings=16384, rms_norm_eps=1e-06),
        1_652_656_128,
    ),
    "mistral_small_24b": Published(
        "The language model of Voxtral Small (Mistral Small 24B)",
        f"{HUB}mistralai/Voxtral-Small-24B-2507",
        llama(5120, 32768, 40, 32, num_key_value_heads=8, head_dim=128, vocab_size=131072)
        | {"max_position_embeddings": 131072, "rope_theta": 1e8},
        23_572_403_200,
    ),
    # the first files have queries, keys and values of a group of heads joined: these keys are of converted ones
    "internlm2_5_7b": Published(
        "InternLM2.5 7B, with the keys of a Llama",
        f"{HUB}internlm/internlm2_5-7b-chat",
        _internlm(4096, 14336, 32, 32),
        7_737_708_544,
    ),
    "internlm2_5_20b": Published(
        "InternLM2.5 20B, with the keys of a Llama",
        f"{HUB}internlm/internlm2_5-20b-chat",
        _internlm(6144, 16384, 48, 48),
        19_861_149_696,
    ),
    "mimo_7b": Published(
        "MiMo 7B, without the layer that predicts a second token",
        f"{HUB}XiaomiMiMo/MiMo-7B-Base",
        qwen2(4096, 11008, 36, 32, 8, vocab_size=151680, tie_word_embeddings=False)
        | {"max_position_embeddings": 32768, "rms_norm_eps": 1e-05, "rope_theta": 640000.0},
        7_622_619_136,
    ),
    "qwen3_14b": Published("Qwen3 14B", f"{HUB}Qwen/Qwen3-14B", qwen3(5120, 17408, 40, 40, tied=False), 14_768_307_200),
    "qwen3_32b": Published("Qwen3 32B", f"{HUB}Qwen/Qwen3-32B", qwen3(5120, 25600, 64, 64, tied=False), 32_762_123_264),
}
