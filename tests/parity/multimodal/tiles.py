"""Models whose images are cut into tiles: images of several sizes and numbers of tiles in a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import torch
from torch import Generator
from transformers import LlavaNextConfig
from transformers.models.llava_next import modeling_llava_next as llava_next_code

from ..reference import IMAGE_TOKEN, Padding, clip, llama, mistral, qwen2
from .case import IMAGES, Inputs, Multimodal, prompts

# The second is much wider than high, so that most of its tiles is padding; the last fits its tiles.
SIZES = ((61, 97), (40, 211), (84, 126))


def padded_tiles(config: Any, counts: list[int], generator: Generator) -> torch.Tensor:
    """Tiles of images with so many each, filled up with zeros."""
    size = config.vision_config.image_size
    stack = torch.randn(len(counts), max(counts), 3, size, size, generator=generator)
    for image, count in zip(stack, counts, strict=True):
        image[count:] = 0
    return stack


def llava_next_inputs(config: Any, padding: Padding, generator: Generator) -> Inputs:
    counts = [
        llava_next_code.image_size_to_num_patches(
            list(size), config.image_grid_pinpoints, config.vision_config.image_size
        )
        for size in SIZES
    ]
    tokens = _packed(llava_next_code.LlavaNextModel, config, counts, vision_feature_select_strategy="default")
    runs = iter([IMAGE_TOKEN] * count for count in tokens)
    inputs = prompts(generator, padding, [[next(runs) for _ in range(images)] for images in IMAGES])
    return inputs | {"pixel_values": padded_tiles(config, counts, generator), "image_sizes": torch.tensor(SIZES)}


def _packed(model: Any, config: Any, counts: list[int], **settings: Any) -> list[int]:
    """How many tokens each image has, as the reference packs them."""
    side = config.vision_config.image_size // config.vision_config.patch_size
    features = [torch.zeros(count, side**2, 1) for count in counts]
    settings |= {"image_newline": torch.zeros(1)}
    _, lengths = model.pack_image_features(SimpleNamespace(config=config), features, torch.tensor(SIZES), **settings)
    found: list[int] = lengths.tolist()
    return found


def llava_next(vision: Any, text: Any, **changes: Any) -> Any:
    size = vision.image_size
    resolutions = [[size * rows, size * columns] for rows, columns in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))]
    settings = {"image_token_index": IMAGE_TOKEN, "image_grid_pinpoints": resolutions, **changes}
    return LlavaNextConfig(vision_config=vision, text_config=text, **settings)


_LLAVA_NEXT: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "llava_next_mistral": lambda: llava_next(clip(), mistral()),
        "llava_next_qwen2": lambda: llava_next(clip(), qwen2(tie_word_embeddings=True), tie_word_embeddings=True),
        "llava_next_wide": lambda: llava_next(
            clip(image_size=56),
            llama(),
            vision_feature_layer=-1,
            multimodal_projector_bias=False,
            image_grid_pinpoints=[[56, 56], [56, 112], [168, 112], [56, 280]],
        ),
    }
)

CASES = {name: Multimodal(config, llava_next_inputs) for name, config in _LLAVA_NEXT.items()}
