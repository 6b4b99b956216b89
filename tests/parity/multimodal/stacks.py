"""Models that take the images of each prompt in a stack: images of zeros fill it up, and each may have padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator
from transformers import Idefics3Config, SmolVLMConfig

from ..reference import IMAGE_TOKEN, Padding, llama
from .case import IMAGES, Inputs, Multimodal, prompts

VISION = {
    "hidden_size": 36,
    "intermediate_size": 52,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "patch_size": 14,
    "layer_norm_eps": 2e-3,
}
# Of each image that is not filled up: rows and columns of pixels that are no padding.
_SEEN = ((84, 84), (30, 84), (70, 43))


def stacked_as(tokens: Callable[[Any], int], *, masked: bool = True) -> Callable[[Any, Padding, Generator], Inputs]:
    """Inputs of one image, two, none, each of `tokens(config)`; the second is low, the third is narrow and not a whole
    number of patches. Or all of the images count."""

    def build(config: Any, padding: Padding, generator: Generator) -> Inputs:
        size, run = config.vision_config.image_size, [IMAGE_TOKEN] * tokens(config)
        inputs = prompts(generator, padding, [[run] * images for images in IMAGES])
        stack = torch.zeros(len(IMAGES), max(IMAGES), 3, size, size)
        mask = torch.zeros(len(IMAGES), max(IMAGES), size, size, dtype=torch.bool)
        places = [(row, image) for row, images in enumerate(IMAGES) for image in range(images)]
        for (row, image), (high, wide) in zip(places, _SEEN, strict=True):
            stack[row, image] = torch.randn(3, size, size, generator=generator)
            mask[row, image, :high, :wide] = True
        return inputs | {"pixel_values": stack, **({"pixel_attention_mask": mask} if masked else {})}

    return build


def _joined(config: Any) -> int:
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2 // config.scale_factor**2)


def config(make: Any, factor: int = 2, size: int = 84, **changes: Any) -> Any:
    text = llama(**changes)
    vision = {**VISION, "image_size": size}
    tied = bool(changes.get("tie_word_embeddings"))
    return make(
        vision_config=vision,
        text_config=text,
        image_token_id=IMAGE_TOKEN,
        scale_factor=factor,
        tie_word_embeddings=tied,
        pad_token_id=None,
    )


CASES = {
    "idefics3": Multimodal(lambda: config(Idefics3Config), stacked_as(_joined)),
    "idefics3_unmasked": Multimodal(lambda: config(Idefics3Config, factor=3), stacked_as(_joined, masked=False)),
    "smolvlm": Multimodal(lambda: config(SmolVLMConfig, factor=3, tie_word_embeddings=True), stacked_as(_joined)),
}
