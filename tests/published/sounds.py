"""Published configs of models that hear."""

from __future__ import annotations

from .llamas import llama, qwen2_large
from .record import HUB, Published

_NAMES = ("num_mel_bins", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_OLDER = ("num_mel_bins", "d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim")
_LARGE = (128, 1280, 32, 20, 5120)  # Whisper large-v3
_MISTRAL = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 131072}

TOWERS = {
    "voxtral_audio": {"model_type": "voxtral_encoder", **dict(zip(_NAMES, _LARGE, strict=True))},
    "qwen2_audio": {"model_type": "qwen2_audio_encoder", **dict(zip(_OLDER, _LARGE, strict=True))},
    "audio_flamingo_3": {"model_type": "audioflamingo3_encoder", **dict(zip(_NAMES, _LARGE, strict=True))},
}

SOUNDS: dict[str, Published] = {
    "qwen2_audio_7b": Published(
        "Qwen2-Audio, Whisper large-v3 before Qwen-7B",
        f"{HUB}Qwen/Qwen2-Audio-7B-Instruct",
        {
            "model_type": "qwen2_audio",
            "audio_config": TOWERS["qwen2_audio"],
            "text_config": qwen2_large(4096, 11008, 32, 32, 32, vocab_size=156032, rope_theta=10000.0)
            | {"rms_norm_eps": 1e-05, "max_position_embeddings": 8192},
            "audio_token_index": 151646,
        },
        8_397_094_912,
    ),
    "voxtral_mini_3b": Published(
        "Voxtral Mini, Whisper large-v3 before Ministral 3B",
        f"{HUB}mistralai/Voxtral-Mini-3B-2507",
        {
            "model_type": "voxtral",
            "audio_config": TOWERS["voxtral_audio"],
            "text_config": llama(3072, 8192, 30, 32, **_MISTRAL) | {"rope_theta": 1e8},
            "audio_token_id": 24,
        },
        4_676_271_104,
    ),
    "voxtral_small_24b": Published(
        "Voxtral Small, Whisper large-v3 before Mistral Small 24B",
        f"{HUB}mistralai/Voxtral-Small-24B-2507",
        {
            "model_type": "voxtral",
            "audio_config": TOWERS["voxtral_audio"],
            "text_config": llama(5120, 32768, 40, 32, **_MISTRAL) | {"rope_theta": 1e8},
            "audio_token_id": 24,
        },
        24_261_800_960,
    ),
    "audio_flamingo_3": Published(
        "Audio Flamingo 3, Whisper large-v3 before Qwen2.5 7B",
        f"{HUB}nvidia/audio-flamingo-3-hf",
        {
            "model_type": "audioflamingo3",
            "audio_config": TOWERS["audio_flamingo_3"],
            "text_config": qwen2_large(3584, 18944, 28, 28, 4, vocab_size=151672),
            "audio_token_id": 151669,
        },
        8_267_215_360,
    ),
}
