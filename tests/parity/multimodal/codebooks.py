"""Image tokens as weighted sums of the rows of a table, and tokens of the text that have a row in it: Ovis 2."""

from __future__ import annotations

from typing import Any

from torch import Generator
from transformers import Ovis2Config
from transformers.models.ovis2.configuration_ovis2 import Ovis2VisionConfig

from ..reference import IMAGE_TOKEN, VOCAB, Padding, llama, qwen2
from .case import IMAGES, Inputs, Multimodal, prompts, square_images

_MARKS = (126, 129, 128, 125)  # as the reference has them, in no order
_VISION = {
    "hidden_size": 36,
    "intermediate_size": 52,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 45,
    "patch_size": 14,
    "rms_norm_eps": 2e-3,
    "vocab_size": 29,
    "num_visual_indicator_tokens": 4,
}


def _ovis2(text: Any, tied: bool, **vision: Any) -> Any:
    return Ovis2Config(
        vision_config=Ovis2VisionConfig(**{**_VISION, **vision}),
        text_config=text,
        vocab_size=VOCAB,
        hidden_size=text.hidden_size,
        image_token_id=IMAGE_TOKEN,
        visual_indicator_token_ids=_MARKS,
        tie_word_embeddings=tied,
    )


def _marked(config: Any, padding: Padding, generator: Generator) -> Inputs:
    """Each image behind and before tokens of its table, one of which stands in its midst as well."""
    first, last, between, other = _MARKS
    run = [first, other, IMAGE_TOKEN, IMAGE_TOKEN, between, IMAGE_TOKEN, IMAGE_TOKEN, last, first]
    images = square_images(_four)(config, padding, generator)["pixel_values"]
    return prompts(generator, padding, [[run] * count for count in IMAGES]) | {"pixel_values": images}


def _four(config: Any) -> int:
    return 4


def _nine(config: Any) -> int:
    return 9


CASES = {
    # three rows and columns of patches, filled up to four
    "ovis2_qwen2": Multimodal(lambda: _ovis2(qwen2(), tied=True, hidden_stride=2), _marked),
    "ovis2_argmax_llama": Multimodal(
        lambda: _ovis2(
            llama(), tied=False, tokenize_function="st_argmax", qkv_bias=True, mlp_bias=True, hidden_act="gelu"
        ),
        square_images(_nine),
    ),
}
