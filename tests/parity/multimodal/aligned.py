"""DeepSeek-VL: two linear maps behind the last norm of SigLIP."""

from __future__ import annotations

from typing import Any

from transformers import DeepseekVLConfig

from ..reference import IMAGE_TOKEN, llama, siglip
from .case import Multimodal, square_images


def _nine(config: Any) -> int:
    return 9


CASES = {
    "deepseek_vl": Multimodal(
        lambda: DeepseekVLConfig(
            vision_config=siglip(), text_config=llama(), image_token_id=IMAGE_TOKEN, tie_word_embeddings=False
        ),
        square_images(_nine),
    )
}
