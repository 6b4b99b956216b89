"""Models whose images are cut into tiles: images of several sizes and numbers of tiles in a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import torch
from torch import Generator
from transformers import (
    LlavaNextConfig,
    LlavaNextModel,
    LlavaNextVideoConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionModel,
)
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches as _tiles

from ..reference import IMAGE_TOKEN, Padding, clip, llama, mistral, qwen2, siglip
from .case import IMAGES, VIDEO_TOKEN, Inputs, Multimodal, prompts

# The second is much wider than high, so that most of its tiles is padding; the last fits its tiles.
SIZES = ((61, 97), (40, 211), (84, 126))


def padded_tiles(config: Any, counts: list[int], generator: Generator) -> torch.Tensor:
    """Tiles of images with so many each, filled up with zeros."""
    size = config.vision_config.image_size
    stack = torch.randn(len(counts), max(counts), 3, size, size, generator=generator)
    for image, count in zip(stack, counts, strict=True):
        image[count:] = 0
    return stack


FRAMES = 3
VIDEOS = (1, 2, 0)  # behind the images of each prompt
# Runs of tokens in the order of the prompts, and what is seen.
Seen = Callable[[Any, Generator], tuple[list[list[int]], Inputs]]


def videos(config: Any, generator: Generator) -> tuple[list[list[int]], Inputs]:
    """Videos, and the run of tokens of each, as many as the reference makes of one."""
    size = config.vision_config.image_size
    side = size // config.vision_config.patch_size
    stride = getattr(config, "spatial_pool_stride", 0)
    tokens = FRAMES * (side // stride) ** 2 if stride else FRAMES * (-(-side // 2)) ** 2 + 1
    count = sum(VIDEOS)
    pixels = torch.randn(count, FRAMES, 3, size, size, generator=generator)
    return [[VIDEO_TOKEN] * tokens] * count, {"pixel_values_videos": pixels}


def images(model: Any, several: bool = False, **settings: Any) -> Seen:
    """Images in tiles of a class of the reference; with `several`, they are cut only where a prompt has no other."""

    def build(config: Any, generator: Generator) -> tuple[list[list[int]], Inputs]:
        size = config.vision_config.image_size
        counts = [_tiles(list(image), config.image_grid_pinpoints, size) for image in SIZES]
        if several:
            counts[1:] = 1, 1
        runs = [[IMAGE_TOKEN] * count for count in _packed(model, config, counts, settings)]
        made = {"pixel_values": padded_tiles(config, counts, generator), "image_sizes": torch.tensor(SIZES)}
        return runs, made | ({"batch_num_images": torch.tensor(IMAGES)} if several else {})

    return build


def prompted(*kinds: tuple[Seen, tuple[int, ...]]) -> Callable[[Any, Padding, Generator], Inputs]:
    """Prompts with so many of each kind in each."""

    def build(config: Any, padding: Padding, generator: Generator) -> Inputs:
        made: Inputs = {}
        rows: list[list[list[int]]] = [[] for _ in IMAGES]
        for kind, counts in kinds:
            runs, seen = kind(config, generator)
            made |= seen
            left = iter(runs)
            for row, count in zip(rows, counts, strict=True):
                row += [next(left) for _ in range(count)]
        return prompts(generator, padding, rows) | made

    return build


def tiled_images(model: Any, several: bool = False, **settings: Any) -> Callable[[Any, Padding, Generator], Inputs]:
    """Inputs of a class of the reference, images alone."""
    return prompted((images(model, several, **settings), IMAGES))


def _packed(model: Any, config: Any, counts: list[int], settings: dict[str, Any]) -> list[int]:
    """How many tokens each image has, as the reference packs them."""
    side = config.vision_config.image_size // config.vision_config.patch_size
    features = [torch.zeros(count, side**2, 1) for count in counts]
    if hasattr(config, "vision_aspect_ratio"):
        settings = {"vision_aspect_ratio": config.vision_aspect_ratio}
    made = model.pack_image_features(
        SimpleNamespace(config=config), features, torch.tensor(SIZES), image_newline=torch.zeros(1), **settings
    )
    found: list[int] = made[1].tolist()
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


def llava_next_video(**changes: Any) -> Any:
    vision = clip(image_size=56)
    resolutions = [
        [vision.image_size * rows, vision.image_size * columns] for rows, columns in ((1, 2), (2, 1), (2, 2))
    ]
    return LlavaNextVideoConfig(
        vision_config=vision,
        text_config=llama(tie_word_embeddings=True),
        image_token_index=IMAGE_TOKEN,
        video_token_index=VIDEO_TOKEN,
        image_grid_pinpoints=resolutions,
        **changes,
    )


def llava_onevision(vision: Any, text: Any, **changes: Any) -> Any:
    size = vision.image_size
    resolutions = [[size * rows, size * columns] for rows in (1, 2, 3) for columns in (1, 2, 3)]
    settings = {"image_token_index": IMAGE_TOKEN, "video_token_index": VIDEO_TOKEN, "image_grid_pinpoints": resolutions}
    return LlavaOnevisionConfig(vision_config=vision, text_config=text, **{**settings, **changes})


_LLAVA_ONEVISION: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "llava_onevision": lambda: llava_onevision(siglip(), qwen2(), vision_aspect_ratio="anyres_max_2"),
        "llava_onevision_tied": lambda: llava_onevision(
            siglip(image_size=56), qwen2(tie_word_embeddings=True), vision_feature_layer=-2
        ),
    }
)


def with_videos(config: Callable[[], Any], seen: Seen) -> Multimodal:
    """A family that takes both: both in each prompt, or one kind alone."""
    both = prompted((seen, IMAGES), (videos, VIDEOS))
    return Multimodal(config, both, alone={"image": prompted((seen, IMAGES)), "video": prompted((videos, VIDEOS))})


_NEXT = images(LlavaNextModel, vision_feature_select_strategy="default")
CASES = {
    **{name: Multimodal(config, prompted((_NEXT, IMAGES))) for name, config in _LLAVA_NEXT.items()},
    "llava_next_video": with_videos(llava_next_video, _NEXT),
    "llava_next_video_max": with_videos(partial(llava_next_video, spatial_pool_mode="max"), _NEXT),
    **{name: with_videos(config, images(LlavaOnevisionModel)) for name, config in _LLAVA_ONEVISION.items()},
    "llava_onevision_several": Multimodal(_LLAVA_ONEVISION["llava_onevision"], tiled_images(LlavaOnevisionModel, True)),
}
