"""Published configs of models that take images of any size."""

from __future__ import annotations

from typing import Any

from .record import HUB, Published
from .record import text_sizes as _sizes

_TOKENS = {"image_token_id": 151655, "video_token_id": 151656}
_MERGED = {"spatial_merge_size": 2, "temporal_patch_size": 2}
_QWEN2 = {"depth": 32, "num_heads": 16, "patch_size": 14, **_MERGED}
_QWEN3 = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_heads": 16,
    "patch_size": 16,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [8, 16, 24],
    **_MERGED,
}
_QWEN3_SMALL = {
    "depth": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "deepstack_visual_indexes": [5, 11, 17],
}
_SECTIONS2 = {"rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}
_SECTIONS3 = {"rope_theta": 5e6, "rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20]}}


def _qwen2(model_type: str, sizes: tuple[int, ...], most: int, vision: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """As published: the fields of the text beside those of the whole."""
    base = {"vocab_size": 152064, "max_position_embeddings": most, "rms_norm_eps": 1e-06, **_SECTIONS2, **fields}
    return {**_sizes("", *sizes, **base), "model_type": model_type, **_TOKENS, "vision_config": {**_QWEN2, **vision}}


def _qwen2_5(sizes: tuple[int, ...], hidden: int = 3456, **fields: Any) -> dict[str, Any]:
    vision = {"hidden_size": 1280, "out_hidden_size": sizes[0], "intermediate_size": hidden}
    return _qwen2("qwen2_5_vl", sizes, 128000, vision, **fields)


def _qwen3(
    kind: str, sizes: tuple[int, ...], part: dict[str, Any], tied: bool = False, **vision: Any
) -> dict[str, Any]:
    own = {"head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 262144, "rms_norm_eps": 1e-06}
    text = _sizes(f"{kind}_text", *sizes, **own, **_SECTIONS3, **part, tie_word_embeddings=tied)
    tower = {"model_type": kind, "out_hidden_size": sizes[0], **_QWEN3, **vision}
    return {"model_type": kind, "tie_word_embeddings": tied, **_TOKENS, "text_config": text, "vision_config": tower}


def _qwen3_5(kind: str, width: int) -> dict[str, Any]:
    """The sizes of its class."""
    rope = {"rope_theta": 1e7, "rope_type": "default", "mrope_section": [11, 11, 10], "mrope_interleaved": True}
    text = {"model_type": f"{kind}_text", "max_position_embeddings": 262144, "rope_parameters": rope}
    return {"model_type": kind, "text_config": text, "vision_config": {"out_hidden_size": width}}


def _experts(hidden: int) -> dict[str, Any]:
    return {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": hidden}


_GLM_TEXT = _sizes("glm4v_text", 4096, 13696, 40, 32, 2, vocab_size=151552, max_position_embeddings=65536)
_GLM_TEXT |= {"rms_norm_eps": 1e-05, "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
_GLM_TEXT |= {"rope_scaling": {"rope_type": "default", "mrope_section": [8, 12, 12]}}
_GLM_SPARSE = _sizes("glm4v_moe_text", 4096, 10944, 46, 96, 8, vocab_size=151552, head_dim=128)
_GLM_SPARSE |= {"rope_theta": 10000.0, "partial_rotary_factor": 0.5, "rope_scaling": _GLM_TEXT["rope_scaling"]}
_MISTRAL = _sizes("mistral", 5120, 32768, 40, 32, 8, head_dim=128, vocab_size=131072)
_MISTRAL |= {"max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 1e9, "sliding_window": None}
_PIXTRAL = {"model_type": "pixtral", "patch_size": 14, "image_size": 1540, "hidden_act": "silu"}
_SMALL = {"model_type": "mistral3", "text_config": _MISTRAL, "vision_config": _PIXTRAL, "tie_word_embeddings": False}

_MINICPM_TEXT = _sizes("qwen3_5_text", 1024, 3584, 24, 8, 2, vocab_size=248094, head_dim=256)
_MINICPM_TEXT |= {"linear_num_value_heads": 16, "max_position_embeddings": 262144, "rms_norm_eps": 1e-06}
_MINICPM_TEXT |= {"rope_parameters": {"rope_theta": 1e7, "rope_type": "default", "partial_rotary_factor": 0.25}}
_MINICPM_VISION = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
_MINICPM_VISION |= {"image_size": 980, "patch_size": 14}

NATIVE: dict[str, Published] = {
    "qwen2_vl_7b": Published(
        "Qwen2-VL 7B: images and videos of any size, positions of three numbers",
        f"{HUB}Qwen/Qwen2-VL-7B-Instruct",
        _qwen2("qwen2_vl", (3584, 18944, 28, 28, 4), 32768, {"embed_dim": 1280, "hidden_size": 3584}),
        8_291_375_616,
    ),
    "qwen2_5_vl_3b": Published(
        "Qwen2.5-VL 3B",
        f"{HUB}Qwen/Qwen2.5-VL-3B-Instruct",
        _qwen2_5((2048, 11008, 36, 16, 2), 3420, vocab_size=151936, tie_word_embeddings=True),
        3_754_622_976,
    ),
    "qwen2_5_vl_7b": Published(
        "Qwen2.5-VL 7B: images and videos of any size in windows, positions of three numbers",
        f"{HUB}Qwen/Qwen2.5-VL-7B-Instruct",
        _qwen2_5((3584, 18944, 28, 28, 4), 3420),
        8_292_166_656,
    ),
    "qwen2_5_vl_72b": Published(
        "Qwen2.5-VL 72B", f"{HUB}Qwen/Qwen2.5-VL-72B-Instruct", _qwen2_5((8192, 29568, 80, 64, 8)), 73_410_777_344
    ),
    "qwen3_vl_4b": Published(
        "Qwen3-VL 4B",
        f"{HUB}Qwen/Qwen3-VL-4B-Instruct",
        _qwen3("qwen3_vl", (2560, 9728, 36, 32, 8), {}, tied=True, **_QWEN3_SMALL),
        4_437_815_808,
    ),
    "qwen3_vl_8b": Published(
        "Qwen3-VL 8B: images and videos of any size, features of four depths, positions of three numbers",
        f"{HUB}Qwen/Qwen3-VL-8B-Instruct",
        _qwen3("qwen3_vl", (4096, 12288, 36, 32, 8), {}),
        8_767_123_696,
    ),
    "qwen3_vl_30b_a3b": Published(
        "Qwen3-VL 30B-A3B: the same with a mixture of experts",
        f"{HUB}Qwen/Qwen3-VL-30B-A3B-Instruct",
        _qwen3("qwen3_vl_moe", (2048, 6144, 48, 32, 4), _experts(768)),
        31_070_754_032,
    ),
    "qwen3_vl_235b_a22b": Published(
        "Qwen3-VL 235B-A22B",
        f"{HUB}Qwen/Qwen3-VL-235B-A22B-Instruct",
        _qwen3("qwen3_vl_moe", (4096, 12288, 94, 64, 4), _experts(1536)),
        235_670_022_896,
    ),
    "qwen3_5_9b": Published(
        "Qwen3.5 9B with its tower, for images and videos: linear attention in three of four layers",
        f"{HUB}Qwen/Qwen3.5-9B",
        _qwen3_5("qwen3_5", 4096),
        9_409_813_744,
    ),
    "qwen3_5_35b_a3b": Published(
        "Qwen3.5 35B-A3B with its tower", f"{HUB}Qwen/Qwen3.5-35B-A3B", _qwen3_5("qwen3_5_moe", 2048), 35_107_181_936
    ),
    "mistral_small_3_1_24b": Published(
        "Mistral Small 3.1 24B: images of any size, their patches merged",
        f"{HUB}mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        _SMALL,
        24_011_361_280,
    ),
    "glm_4_1v_9b": Published(
        "GLM-4.1V 9B: images and videos of any size, positions of three numbers",
        f"{HUB}zai-org/GLM-4.1V-9B-Thinking",
        {"model_type": "glm4v", "text_config": _GLM_TEXT, "vision_config": {}},
        10_292_777_472,
    ),
    "glm_4_5v": Published(
        "GLM-4.5V: images and videos of any size, positions of three numbers, experts in all but the first layer",
        f"{HUB}zai-org/GLM-4.5V",
        {"model_type": "glm4v_moe", "text_config": _GLM_SPARSE, "vision_config": {"intermediate_size": 10944}},
        107_710_933_120,
    ),
    "ernie_4_5_vl_28b_a3b": Published(
        "ERNIE 4.5-VL 28B-A3B: images and videos of any size, experts of text and others of images",
        f"{HUB}baidu/ERNIE-4.5-VL-28B-A3B-PT",
        {"model_type": "ernie4_5_vl_moe"},  # the class has these sizes
        29_399_294_336,
    ),
    "minicpm_v_4_6": Published(
        "MiniCPM-V 4.6: images and videos of any size, their patches merged within the tower and behind it",
        f"{HUB}openbmb/MiniCPM-V-4.6",
        {
            "model_type": "minicpmv4_6",
            "tie_word_embeddings": True,
            "image_token_id": 248056,
            "video_token_id": 248057,
            "text_config": _MINICPM_TEXT,
            "vision_config": _MINICPM_VISION,
        },
        1_300_428_016,
    ),
    "paddleocr_vl_0_9b": Published(
        "PaddleOCR-VL 0.9B: documents of any size, squares of patches as tokens, positions of three numbers",
        f"{HUB}PaddlePaddle/PaddleOCR-VL",
        {"model_type": "paddleocr_vl"},  # the class has these sizes
        799_695_472,
    ),
    "lighton_ocr_1b": Published(
        "LightOnOCR 1B, Pixtral tower and Qwen3 0.6B",
        f"{HUB}lightonai/LightOnOCR-1B-1025",
        {"model_type": "lighton_ocr"},  # the class has these sizes
        1_005_647_872,
    ),
}
