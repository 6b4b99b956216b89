"""Published configs of the decoders of models whose tiles are packed with newlines and separators."""

from __future__ import annotations

from typing import Any

from .record import HUB, Published
from .record import text_sizes as _sizes

_LONG = (
    *(1.0299999713897705, 1.0499999523162842, 1.0499999523162842, 1.0799999237060547, 1.2299998998641968),
    *(1.2299998998641968, 1.2999999523162842, 1.4499999284744263, 1.5999999046325684, 1.6499998569488525),
    *(1.8999998569488525, 2.859999895095825, 3.68999981880188, 5.419999599456787, 5.489999771118164),
    *(5.489999771118164, 9.09000015258789, 11.579999923706055, 15.65999984741211, 15.769999504089355),
    *(15.789999961853027, 18.360000610351562, 21.989999771118164, 23.079999923706055, 30.009998321533203),
    *(32.35000228881836, 32.590003967285156, 35.56000518798828, 39.95000457763672, 53.840003967285156),
    *(56.20000457763672, 57.95000457763672, 59.29000473022461, 59.77000427246094, 59.920005798339844),
    *(61.190006256103516, 61.96000671386719, 62.50000762939453, 63.3700065612793, 63.48000717163086),
    *(63.48000717163086, 63.66000747680664, 63.850006103515625, 64.08000946044922, 64.760009765625),
    *(64.80001068115234, 64.81001281738281, 64.81001281738281),
)
_SHORT = (
    *(1.05, 1.05, 1.05, 1.1, 1.1, 1.1, 1.2500000000000002, 1.2500000000000002, 1.4000000000000004),
    *(1.4500000000000004, 1.5500000000000005, 1.8500000000000008, 1.9000000000000008),
    *(2.000000000000001,) * 19,
    *(2.1000000000000005, 2.1000000000000005, 2.2),
    *(2.3499999999999996,) * 4,
    *(2.3999999999999995, 2.3999999999999995, 2.6499999999999986, 2.6999999999999984, 2.8999999999999977),
    *(2.9499999999999975, 3.049999999999997, 3.049999999999997, 3.049999999999997),
)


def _deepseek(model_type: str, *sizes: int, experts: int, inside: int, **fields: Any) -> dict[str, Any]:
    base = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    sparse = {"n_routed_experts": experts, "moe_intermediate_size": inside, "n_shared_experts": 2}
    sparse |= {"num_experts_per_tok": 6, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
    own = {"q_lora_rank": None, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6}
    return _sizes(model_type, *sizes, **base, **sparse, **own, **fields)


PACKED: dict[str, Published] = {
    "phi_3_mini_vision_128k": Published(
        "Phi-3 mini as in Phi-3-Vision, 128k",
        f"{HUB}microsoft/Phi-3-vision-128k-instruct",
        _sizes("phi3", 3072, 8192, 32, 32, 32, max_position_embeddings=131072, sliding_window=None)
        | {"original_max_position_embeddings": 4096}
        | {"rope_scaling": {"type": "longrope", "short_factor": [*_SHORT], "long_factor": [*_LONG]}},
        3_821_079_552,
    ),
    "deepseek_moe_16b_vl2": Published(
        "DeepSeekMoE 16B with latent attention as in DeepSeek-VL2 Small",
        f"{HUB}deepseek-ai/deepseek-vl2-small",
        _deepseek("deepseek_v2", 2048, 10944, 27, 16, 16, experts=64, inside=1408, vocab_size=102400),
        15_706_484_224,
    ),
    "deepseek_moe_27b_vl2": Published(
        "DeepSeekMoE 27B with latent attention as in DeepSeek-VL2",
        f"{HUB}deepseek-ai/deepseek-vl2",
        _deepseek("deepseek_v3", 2560, 12288, 30, 32, 32, experts=72, inside=1536, vocab_size=129280)
        | {"norm_topk_prob": True, "routed_scaling_factor": 2.0},
        27_033_548_328,
    ),
}
