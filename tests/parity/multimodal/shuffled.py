"""InternVL, Aya Vision and Command A Vision: image tokens put together in front of the projector."""

from __future__ import annotations

from typing import Any

from transformers import (
    AyaVisionConfig,
    Cohere2Config,
    Cohere2VisionConfig,
    InternVLConfig,
    InternVLVisionConfig,
)

from ..reference import IMAGE_TOKEN, SIZES, llama, qwen2, qwen3, siglip
from .case import Multimodal, square_images

_VIT = {"hidden_size": 36, "intermediate_size": 52, "num_hidden_layers": 4, "num_attention_heads": 3, "patch_size": 14}


def _intern_vit(**changes: Any) -> Any:
    return InternVLVisionConfig(**{**_VIT, "image_size": 56, "layer_norm_eps": 2e-3, **changes})


def _internvl(vision: Any, text: Any, **changes: Any) -> Any:
    return InternVLConfig(vision_config=vision, text_config=text, image_token_id=IMAGE_TOKEN, **changes)


def _cohere2(**changes: Any) -> Any:
    sizes = {key: value for key, value in SIZES.items() if key not in ("rms_norm_eps", "head_dim")}
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    scored = {"layer_norm_eps": 3e-3, "logit_scale": 0.3, "sliding_window": 9, "layer_types": kinds}
    return Cohere2Config(**{**sizes, **scored, **changes})


def _siglip(**changes: Any) -> Any:
    return siglip(image_size=57, **changes)  # four rows of patches, and a pixel


def _four(config: Any) -> int:
    return 4


def _one(config: Any) -> int:
    return 1


CASES = {
    "internvl_qwen2": Multimodal(lambda: _internvl(_intern_vit(), qwen2()), square_images(_four)),
    "internvl_rms_qwen3": Multimodal(
        lambda: _internvl(
            _intern_vit(norm_type="rms_norm", use_qk_norm=True, attention_bias=True, use_mask_token=True),
            qwen3(),
            tie_word_embeddings=False,
            vision_feature_layer=-2,
            projector_hidden_act="relu",
        ),
        square_images(_four),
    ),
    "internvl_quarter_llama": Multimodal(
        lambda: _internvl(
            _intern_vit(image_size=[56, 56], use_mean_pooling=False, use_absolute_position_embeddings=False),
            llama(),
            downsample_ratio=0.25,
        ),
        square_images(_one),
    ),
    "aya_vision": Multimodal(
        lambda: AyaVisionConfig(
            vision_config=_siglip(),
            text_config=_cohere2(),
            image_token_index=IMAGE_TOKEN,
            alignment_intermediate_size=44,
            adapter_layer_norm_eps=2e-3,
        ),
        square_images(_four),
    ),
    "aya_vision_second_last": Multimodal(
        lambda: AyaVisionConfig(
            vision_config=_siglip(),
            text_config=_cohere2(),
            image_token_index=IMAGE_TOKEN,
            vision_feature_layer=-2,
            tie_word_embeddings=False,
        ),
        square_images(_four),
    ),
    "cohere2_vision": Multimodal(
        lambda: Cohere2VisionConfig(
            vision_config=_siglip(),
            text_config=_cohere2(),
            image_token_id=IMAGE_TOKEN,
            alignment_intermediate_size=44,
        ),
        square_images(_four),
    ),
}
