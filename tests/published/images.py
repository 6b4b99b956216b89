"""Published configs of models that see images of one size, whole or in tiles."""

from __future__ import annotations

from typing import Any

from .llamas import llama, llama3, mistral, qwen2_large, qwen3
from .record import HUB, Published
from .record import text_sizes as _sizes
from .texts import TEXTS

TOWER = ("image_size", "patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_SO400M = (1152, 27, 16, 4304)


def tower(kind: str, *sizes: int, **fields: Any) -> dict[str, Any]:
    """The config of a tower of CLIP or SigLIP; the latter without its pooling head."""
    headless = {"vision_use_head": False} if kind == "siglip" else {}
    return {"model_type": f"{kind}_vision_model", **dict(zip(TOWER, sizes, strict=True)), **headless, **fields}


_CLIP = tower("clip", 336, 14, 1024, 24, 16, 4096)
_VICUNA = llama(4096, 11008, 32, 32, vocab_size=32064)
_RESOLUTIONS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
_UNTIED = {"tie_word_embeddings": False}


def _intern_vit(**fields: Any) -> dict[str, Any]:
    """InternViT-300M unless fields say otherwise."""
    sizes = dict(zip(TOWER, ([448, 448], [14, 14], 1024, 24, 16, 4096), strict=True))
    return {"model_type": "internvl_vision", **sizes, "attention_bias": True, **fields}


def _internvl(text: dict[str, Any], token: int, **vision: Any) -> dict[str, Any]:
    whole = {"model_type": "internvl", "text_config": text, "vision_config": _intern_vit(**vision)}
    return whole | {"image_token_id": token, **_UNTIED}


def _qwen_of_internvl(*sizes: int, **fields: Any) -> dict[str, Any]:
    scaling = {"rope_type": "dynamic", "factor": 2.0}
    return qwen2_large(*sizes, **{"vocab_size": 151674, "rope_scaling": scaling, **fields})


def _gemma3(part: str) -> dict[str, Any]:
    vision = tower("siglip", 896, 14, *_SO400M)
    return {"model_type": "gemma3", "text_config": TEXTS[part].config, "vision_config": vision}


def _paligemma(text: dict[str, Any]) -> dict[str, Any]:
    width, vision = text["hidden_size"], tower("siglip", 224, 14, *_SO400M)
    sizes = {"projection_dim": width, "hidden_size": width, "image_token_index": 257152}
    return {"model_type": "paligemma", "text_config": text | {"vocab_size": 257216}, "vision_config": vision, **sizes}


def _cohere2(*sizes: int, **fields: Any) -> dict[str, Any]:
    base = {"vocab_size": 256000, "layer_norm_eps": 1e-5, "rope_theta": 50000.0, "sliding_window": 4096}
    return _sizes("cohere2", *sizes, **base, logit_scale=0.25, **fields)


_LLAMA_OF_DEEPSEEK = {"vocab_size": 102400, "max_position_embeddings": 16384, "rms_norm_eps": 1e-06}
_SIGLIP_LARGE = tower("siglip", 384, 16, 1024, 24, 16, 4096)
_DEEPSEEK_VL = {
    "model_type": "deepseek_vl",
    "text_config": llama(2048, 5632, 24, 16, **_LLAMA_OF_DEEPSEEK),
    "vision_config": _SIGLIP_LARGE,
    **_UNTIED,
}
_DEEPSEEK_VL_HYBRID = {
    "model_type": "deepseek_vl_hybrid",
    "text_config": llama(4096, 11008, 30, 32, **_LLAMA_OF_DEEPSEEK),
    "vision_config": _SIGLIP_LARGE,
    "high_res_vision_config": {"model_type": "sam_vision_model", "global_attn_indexes": [2, 5, 8, 11]},
    **_UNTIED,
}

_LLAMA4_VISION = {
    "model_type": "llama4_vision_model",
    "image_size": 336,
    "hidden_size": 1408,
    "vision_output_dim": 4096,
}
_STRETCHED = {
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}

IMAGES: dict[str, Published] = {
    "llava_1_5_7b": Published(
        "CLIP ViT-L/14-336, two-layer MLP, Vicuna-7B",
        f"{HUB}llava-hf/llava-1.5-7b-hf",
        {"model_type": "llava", "text_config": _VICUNA, "vision_config": _CLIP},
        7_063_427_072,
    ),
    "llava_1_5_13b": Published(
        "CLIP ViT-L/14-336, two-layer MLP, Vicuna-13B",
        f"{HUB}llava-hf/llava-1.5-13b-hf",
        {
            "model_type": "llava",
            "text_config": llama(5120, 13824, 40, 40, vocab_size=32064),
            "vision_config": _CLIP,
        },
        13_351_494_656,
    ),
    "vip_llava_7b": Published(
        "ViP-LLaVA 7B, five layers of CLIP ViT-L/14-336 side by side and Vicuna-7B",
        f"{HUB}llava-hf/vip-llava-7b-hf",
        {"model_type": "vipllava", "text_config": _VICUNA, "vision_config": _CLIP},
        7_080_214_528,
    ),
    "llava_v1_6_mistral_7b": Published(
        "LLaVA-NeXT, CLIP ViT-L/14-336 on tiles and Mistral 7B",
        f"{HUB}llava-hf/llava-v1.6-mistral-7b-hf",
        {
            "model_type": "llava_next",
            "text_config": mistral(vocab_size=32064, rope_theta=1e6, sliding_window=None),
            "vision_config": _CLIP,
            "image_grid_pinpoints": _RESOLUTIONS,
        },
        7_566_747_648,
    ),
    "llava_next_video_7b": Published(
        "LLaVA-NeXT-Video 7B, CLIP ViT-L/14-336 on tiles and on frames of videos, and Vicuna-7B",
        f"{HUB}llava-hf/LLaVA-NeXT-Video-7B-hf",
        {
            "model_type": "llava_next_video",
            "text_config": _VICUNA,
            "vision_config": _CLIP,
            "image_grid_pinpoints": _RESOLUTIONS,
            "image_token_index": 32001,
            "video_token_index": 32000,
        },
        7_063_431_168,
    ),
    "video_llava_7b": Published(
        "Video-LLaVA 7B, CLIP ViT-L/14 for images and another for frames of videos, one projector, Vicuna-7B",
        f"{HUB}LanguageBind/Video-LLaVA-7B-hf",
        {
            "model_type": "video_llava",
            "text_config": _VICUNA,
            "vision_config": tower("clip", 224, 14, 1024, 24, 16, 4096),
            "image_token_index": 32000,
            "video_token_index": 32001,
        },
        7_366_279_168,
    ),
    "llava_onevision_qwen2_7b": Published(
        "LLaVA-OneVision, SigLIP so400m/14-384 (26 layers) on tiles and frames of videos, and Qwen2 7B",
        f"{HUB}llava-hf/llava-onevision-qwen2-7b-ov-hf",
        {
            "model_type": "llava_onevision",
            "text_config": qwen2_large(3584, 18944, 28, 28, 4, vocab_size=152000),
            "vision_config": tower("siglip", 384, 14, 1152, 26, 16, 4304),
            "image_token_index": 151646,
            "video_token_index": 151647,
        },
        8_029_890_080,
    ),
    "internvl3_8b": Published(
        "InternVL3 8B, InternViT-300M on tiles and Qwen2.5 7B",
        f"{HUB}OpenGVLab/InternVL3-8B-hf",
        _internvl(_qwen_of_internvl(3584, 18944, 28, 28, 4), 151667),
        7_944_373_760,
    ),
    "internvl3_38b": Published(
        "InternVL3 38B, InternViT-6B on tiles and Qwen2.5 32B",
        f"{HUB}OpenGVLab/InternVL3-38B-hf",
        _internvl(
            _qwen_of_internvl(5120, 27648, 64, 40, 8),
            151667,
            hidden_size=3200,
            num_hidden_layers=45,
            num_attention_heads=25,
            intermediate_size=12800,
            attention_bias=False,
            use_qk_norm=True,
            norm_type="rms_norm",
        ),
        38_388_164_992,
    ),
    "internvl3_5_8b": Published(
        "InternVL3.5 8B, InternViT-300M on tiles and Qwen3 8B",
        f"{HUB}OpenGVLab/InternVL3_5-8B-HF",
        _internvl(qwen3(4096, 12288, 36, 32, tied=False), 151671),
        8_528_318_464,
    ),
    "aya_vision_8b": Published(
        "Aya Vision 8B, SigLIP 2 so400m/14 on tiles of 364 pixels and Command R7B",
        f"{HUB}CohereLabs/aya-vision-8b",
        {
            "model_type": "aya_vision",
            "text_config": _cohere2(4096, 14336, 32, 32, 8),
            "vision_config": tower("siglip", 364, 14, *_SO400M),
            "alignment_intermediate_size": 28672,
        },
        8_631_842_032,
    ),
    "command_a_vision": Published(
        "Command A Vision (112B), SigLIP 2 so400m/16 on tiles of 512 pixels and Command A",
        f"{HUB}CohereLabs/command-a-vision-07-2025",
        {
            "model_type": "cohere2_vision",
            "text_config": _cohere2(12288, 36864, 64, 96, 8, max_position_embeddings=131072),
            "vision_config": tower("siglip", 512, 16, *_SO400M),
        },
        111_867_525_360,
    ),
    "gemma_3_4b": Published(
        "Gemma 3 4B with its tower, SigLIP so400m/14-896 averaged to 256 tokens",
        f"{HUB}google/gemma-3-4b-it",
        _gemma3("gemma_3_4b"),
        4_300_079_472,
    ),
    "gemma_3_12b": Published(
        "Gemma 3 12B with its tower", f"{HUB}google/gemma-3-12b-it", _gemma3("gemma_3_12b"), 12_187_325_040
    ),
    "gemma_3_27b": Published(
        "Gemma 3 27B with its tower", f"{HUB}google/gemma-3-27b-it", _gemma3("gemma_3_27b"), 27_432_406_640
    ),
    "paligemma_3b": Published(
        "PaliGemma 3B at 224 pixels, SigLIP so400m/14 and Gemma 2B whose prompt sees itself both ways",
        f"{HUB}google/paligemma-3b-pt-224",
        _paligemma(TEXTS["gemma_2b"].config),
        2_923_466_480,
    ),
    "paligemma2_3b": Published(
        "PaliGemma 2 3B at 224 pixels, SigLIP so400m/14 and Gemma 2 2B whose prompt sees itself both ways",
        f"{HUB}google/paligemma2-3b-pt-224",
        _paligemma(TEXTS["gemma_2_2b"].config),
        3_032_242_416,
    ),
    "deepseek_vl_1_3b": Published(
        "DeepSeek-VL 1.3B, SigLIP large/16-384 before DeepSeek LLM 1.3B",
        f"{HUB}deepseek-community/deepseek-vl-1.3b-chat",
        _DEEPSEEK_VL,
        1_962_640_384,
    ),
    "deepseek_vl_7b": Published(
        "DeepSeek-VL 7B, SigLIP for small images and SAM for large ones before DeepSeek LLM 7B",
        f"{HUB}deepseek-community/deepseek-vl-7b-chat",
        _DEEPSEEK_VL_HYBRID,
        7_331_390_721,
    ),
    "got_ocr2": Published(
        "GOT-OCR 2, a SAM encoder of windows before Qwen 0.5B",
        f"{HUB}stepfun-ai/GOT-OCR-2.0-hf",
        {"model_type": "got_ocr2"},
        560_528_640,
    ),
    "idefics3_8b_llama3": Published(
        "Idefics3, SigLIP so400m/14 on images of 364 pixels and Llama 3.1 8B",
        f"{HUB}HuggingFaceM4/Idefics3-8B-Llama3",
        {
            "model_type": "idefics3",
            "text_config": llama3(4096, 14336, 32, 32, factor=8.0, vocab_size=128259),
            "vision_config": dict(zip(TOWER, (364, 14, *_SO400M), strict=True)) | {"model_type": "idefics3_vision"},
            **_UNTIED,
        },
        8_462_086_384,
    ),
    "smolvlm2_2_2b": Published(
        "SmolVLM2, SigLIP so400m/14-384 and SmolLM2 1.7B",
        f"{HUB}HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        {
            "model_type": "smolvlm",
            "image_token_id": 49190,
            "scale_factor": 3,
            "text_config": llama(2048, 8192, 24, 32, vocab_size=49280, rope_theta=130000.0)
            | {"max_position_embeddings": 8192},
            "vision_config": dict(zip(TOWER, (384, 14, *_SO400M), strict=True)) | {"model_type": "smolvlm_vision"},
            **_UNTIED,
        },
        2_246_784_880,
    ),
    "llama_4_scout": Published(
        "Llama 4 Scout 17B-16E, images in tiles of 336 pixels",
        f"{HUB}meta-llama/Llama-4-Scout-17B-16E",
        {"model_type": "llama4", "text_config": TEXTS["llama_4_scout_17b_16e"].config, "vision_config": _LLAMA4_VISION},
        108_641_793_536,
    ),
    "mllama_11b": Published(
        "Llama 3.2 11B Vision as transformers keeps it, images read by gated cross-attention",
        f"{HUB}meta-llama/Llama-3.2-11B-Vision-Instruct",
        {
            "model_type": "mllama",
            "text_config": {"model_type": "mllama_text_model", "eos_token_id": [128001, 128008, 128009], **_STRETCHED},
            "vision_config": {"model_type": "mllama_vision_model", "image_size": 560},
        },
        10_670_220_835,
    ),
}
