"""The processors of transformers that the prompts of ready graphs are compared with, as their models are published."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from unittest.mock import MagicMock

import numpy as np

_CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_NET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def pixels(model: str, name: str, **settings: Any) -> Any:
    """An image processor, of the backend of Pillow."""
    return getattr(import_module(f"transformers.models.{model}.image_processing_pil_{model}"), f"{name}Pil")(**settings)


def processor(model: str, name: str) -> Any:
    """The class of a processor, where it stands: the ones that want torchvision are no names of the package."""
    return getattr(standing(f"transformers.models.{model}.processing_{model}"), name)


TORCHVISION = tuple("torchvision" + end for end in ("", ".transforms", ".transforms.v2", ".transforms.v2.functional"))


def standing(module: str) -> Any:
    """A module of transformers; if it wants torchvision, which is not here, without what that does."""
    absent = () if find_spec("torchvision") else TORCHVISION
    for name in absent:
        sys.modules[name] = MagicMock()
    try:
        return import_module(module)
    finally:
        for name in absent:
            del sys.modules[name]


def _llava(tokenizer: Any) -> Any:
    made = pixels(
        "clip", "CLIPImageProcessor", size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, **_CLIP
    )
    settings = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return processor("llava", "LlavaProcessor")(made, tokenizer, **settings)


def _llava_next(tokenizer: Any) -> Any:
    grids = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    size = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    made = pixels("llava_next", "LlavaNextImageProcessor", image_grid_pinpoints=grids, **size, **_CLIP)
    settings = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return processor("llava_next", "LlavaNextProcessor")(made, tokenizer, **settings)


def _onevision(tokenizer: Any) -> Any:
    made = pixels("llava_onevision", "LlavaOnevisionImageProcessor", **_HALF)
    settings = {"num_image_tokens": 729, "vision_feature_select_strategy": "full"}
    return _without_videos(processor("llava_onevision", "LlavaOnevisionProcessor"), made, tokenizer, **settings)


def _internvl(tokenizer: Any) -> Any:
    names = {"start_image": "<img>", "end_image": "</img>", "context_image": "<IMG_CONTEXT>", "video": "<video>"}
    for name, text in names.items():
        setattr(tokenizer, f"{name}_token", text)
        setattr(tokenizer, f"{name}_token_id", tokenizer.convert_tokens_to_ids(text))
    made = pixels("got_ocr2", "GotOcr2ImageProcessor", size={"height": 448, "width": 448}, **_NET)
    return _without_videos(processor("internvl", "InternVLProcessor"), made, tokenizer, image_seq_length=256)


def _ovis(tokenizer: Any) -> Any:
    size = {"size": {"height": 448, "width": 448}, "crop_to_patches": True, "max_patches": 9}
    return processor("ovis2", "Ovis2Processor")(pixels("ovis2", "Ovis2ImageProcessor", **size, **_CLIP), tokenizer)


def _idefics(tokenizer: Any) -> Any:
    made = pixels("idefics3", "Idefics3ImageProcessor", size={"longest_edge": 1456}, **_HALF)
    return processor("idefics3", "Idefics3Processor")(made, tokenizer, image_seq_len=169)


def _mllama(tokenizer: Any) -> Any:
    size = {"size": {"height": 560, "width": 560}, "max_image_tiles": 4}
    return processor("mllama", "MllamaProcessor")(pixels("mllama", "MllamaImageProcessor", **size, **_CLIP), tokenizer)


def _pixtral(tokenizer: Any) -> Any:
    made = pixels("pixtral", "PixtralImageProcessor", size={"longest_edge": 1540}, patch_size=14, **_CLIP)
    return processor("pixtral", "PixtralProcessor")(made, tokenizer, patch_size=14, spatial_merge_size=2)


def _qwen2_5(tokenizer: Any) -> Any:
    made = pixels("qwen2_vl", "Qwen2VLImageProcessor", min_pixels=3136, max_pixels=12845056, **_CLIP)
    return _without_videos(processor("qwen2_5_vl", "Qwen2_5_VLProcessor"), made, tokenizer)


def _glm(tokenizer: Any) -> Any:
    made = pixels("glm4v", "Glm4vImageProcessor", size={"shortest_edge": 12544, "longest_edge": 9633792}, **_CLIP)
    return _without_videos(processor("glm4v", "Glm4vProcessor"), made, tokenizer)


def _qwen3(tokenizer: Any) -> Any:
    size = {"size": {"shortest_edge": 65536, "longest_edge": 16777216}, "patch_size": 16}
    made = pixels("qwen2_vl", "Qwen2VLImageProcessor", **size, **_HALF)
    return _without_videos(processor("qwen3_vl", "Qwen3VLProcessor"), made, tokenizer)


def _aya(tokenizer: Any) -> Any:
    size = {"size": {"height": 364, "width": 364}, "crop_to_patches": True, "max_patches": 12}
    made = pixels("got_ocr2", "GotOcr2ImageProcessor", **size, **_HALF)
    settings = {"patch_size": 14, "img_size": 364, "downsample_factor": 2}
    return processor("aya_vision", "AyaVisionProcessor")(made, tokenizer, **settings)


def _gemma(tokenizer: Any) -> Any:
    names = {"boi": "<start_of_image>", "eoi": "<end_of_image>", "image": "<image_soft_token>"}
    for name, text in names.items():
        setattr(tokenizer, f"{name}_token", text)
        setattr(tokenizer, f"{name}_token_id", tokenizer.convert_tokens_to_ids(text))
    made = pixels("gemma3", "Gemma3ImageProcessor", size={"height": 896, "width": 896}, **_HALF)
    return processor("gemma3", "Gemma3Processor")(made, tokenizer, image_seq_length=256)


def without_checks(cls: Any) -> Any:
    """A processor one of whose parts, which wants torchvision, may be missing."""
    return type(cls.__name__, (cls,), {"check_argument_for_proper_class": lambda *_: None})


def _without_videos(cls: Any, made: Any, tokenizer: Any, **settings: Any) -> Any:
    return without_checks(cls)(image_processor=made, tokenizer=tokenizer, video_processor=None, **settings)


# Graph -> the processor of its model, and what its texts have beside the prompt of the graph.
FAMILIES: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "aya_vision_8b": (_aya, ()),
    "gemma_3_4b": (_gemma, ("<start_of_image>",)),
    "glm_4_1v_9b": (_glm, ("<|video|>", "<|begin_of_video|>", "<|end_of_video|>")),
    "idefics3_8b_llama3": (_idefics, ()),
    "internvl3_8b": (_internvl, ("<video>",)),
    "llava_1_5_7b": (_llava, ()),
    "llava_onevision_qwen2_7b": (_onevision, ("<video>",)),
    "llava_v1_6_mistral_7b": (_llava_next, ()),
    "mistral_small_3_1_24b": (_pixtral, ()),
    "mllama_11b": (_mllama, ()),
    "ovis2_8b": (_ovis, ()),
    "qwen2_5_vl_7b": (_qwen2_5, ("<|video_pad|>",)),
    "qwen3_vl_8b": (_qwen3, ("<|video_pad|>", "<|vision_start|>", "<|vision_end|>")),
}


def _features(before: int, each: int = 0) -> Callable[[Any, int, int], int]:
    """Their count of an image, without `before` tokens around it and `each` at every piece but the whole."""

    def count(made: Any, height: int, width: int) -> int:
        found = made._get_num_multimodal_tokens(image_sizes=[(height, width)])
        tokens, pieces = int(found.num_image_tokens[0]), int(found.num_image_patches[0])
        return tokens - before - each * (pieces - 1)

    return count


def _rows(made: Any, height: int, width: int) -> int:
    """Theirs has a token at the end of each row."""
    _, rows, columns = made.image_processor.get_number_of_image_patches(height, width, {})
    return 169 * (int(rows * columns) + 1)


def _breaks(made: Any, height: int, width: int) -> int:
    resized = standing("transformers.models.pixtral.image_processing_pil_pixtral").get_resize_output_image_size
    high, _ = resized(np.empty((height, width, 3)), (1540, 1540), (28, 28))
    tokens = int(made._get_num_multimodal_tokens(image_sizes=[(height, width)]).num_image_tokens[0])
    return tokens - int(high) // 28


def _grids(_: Any, height: int, width: int) -> int:
    columns, rows = standing("transformers.models.ovis2.image_processing_pil_ovis2").get_min_tile_covering_grid(
        (height, width), target_patch_size=448, max_image_tiles=9
    )
    tiles = int(columns * rows)
    return 256 * (tiles + 1 if tiles > 1 else 1)


# Graph -> how many features its image takes, by the processor of its model.
THEIRS: dict[str, Callable[[Any, int, int], int]] = {
    "aya_vision_8b": _features(3, 1),
    "glm_4_1v_9b": _features(0),
    "idefics3_8b_llama3": _rows,
    "internvl3_8b": _features(2),
    "llava_1_5_7b": _features(0),
    "llava_onevision_qwen2_7b": _features(0),
    "llava_v1_6_mistral_7b": _features(0),
    "mistral_small_3_1_24b": _breaks,
    "ovis2_8b": _grids,
    "qwen2_5_vl_7b": _features(0),
    "qwen3_vl_8b": _features(0),
}
