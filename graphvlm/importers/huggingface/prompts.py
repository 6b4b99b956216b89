"""What lies beside a config for prompts: chat template, image processor and processor, as `prompt:` of the graph.

What a processor of transformers writes around an image is known here by the name of its class; a directory whose
processor is none of these, or makes pixels in another way, gives no `prompt.image`, and the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Json = Mapping[str, Any]

PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
TOKENIZER = "tokenizer_config.json"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
_RESAMPLE = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_FAKE = "<fake_token_around_image>"


@dataclass(frozen=True, slots=True)
class Beside:
    """The files beside a config, of which there may be none: `template` is the text of the first with one."""

    preprocessor: Json = field(default_factory=dict)
    processor: Json = field(default_factory=dict)
    tokenizer: Json = field(default_factory=dict)
    template: str = ""


def read_prompt(beside: Beside) -> tuple[dict[str, Any], str]:
    """What `prompt:` says, and why there is nothing of images in it, if a processor of images lies there."""
    prompt: dict[str, Any] = {"template": beside.template} if beside.template else {}
    nested = beside.processor.get("image_processor")
    pixels = beside.preprocessor or (nested if isinstance(nested, Mapping) else {})
    if not pixels:
        return prompt, ""
    sources = (beside.processor, pixels, beside.tokenizer)
    name = next((each["processor_class"] for each in sources if each.get("processor_class")), None)
    if not isinstance(name, str) or name not in _FAMILIES:
        return prompt, f"its processor is {name!r}, which is not known here"
    types, texts = _FAMILIES[name]
    type_ = str(pixels.get("image_processor_type", "")).removesuffix("Fast").removesuffix("Pil")
    if type_ not in types:
        return prompt, f"a {name} with a {type_ or 'nameless image processor'} is not known here"
    said = _making(pixels)
    if said:
        return prompt, said
    image: dict[str, Any] = {}
    for part, text in texts(beside.processor, beside.tokenizer).items():
        word = text.get("content") if isinstance(text, Mapping) else text  # a token with settings of its own
        if isinstance(word, str) and word:
            image[part] = word
    try:
        image |= _TILING[type_](pixels)
    except (AttributeError, KeyError, TypeError):
        return prompt, f"a size of its {type_} is missing"
    defaults = {"resample": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    made = {
        "resample": _RESAMPLE[pixels.get("resample", 3)],
        "mean": pixels.get("image_mean"),
        "std": pixels.get("image_std"),
    }
    image |= {key: value for key, value in made.items() if value != defaults[key]}
    return {**prompt, "image": image}, ""


def _making(pixels: Json) -> str:
    """How these pixels are not made as `prompt.image` says; empty if they are."""
    off = [name for name in ("do_resize", "do_rescale", "do_normalize") if pixels.get(name) is False]
    if off:
        return f"its image processor has `{off[0]}: false`"
    factor, resample = pixels.get("rescale_factor", 1 / 255), pixels.get("resample", 3)
    if not isinstance(factor, float) or abs(factor - 1 / 255) > 1e-9:
        return "its image processor scales by another number than 1 / 255"
    if not isinstance(resample, int) or resample not in _RESAMPLE:
        return f"its image processor resamples by {resample!r}"
    if not all(isinstance(pixels.get(name), list) for name in ("image_mean", "image_std")):
        return "its image processor does not say `image_mean` and `image_std`"
    return ""


# ---- what stands around an image, from processor and tokenizer


def _plain(text: str) -> Callable[[Json, Json], dict[str, Any]]:
    return lambda processor, tokenizer: {"token": tokenizer.get("image_token") or processor.get("image_token") or text}


def _contexts(_: Json, tokenizer: Json) -> dict[str, Any]:
    extra = tokenizer.get("extra_special_tokens")
    known = {**(extra if isinstance(extra, Mapping) else {}), **tokenizer}
    return {
        "token": known.get("context_image_token", "<IMG_CONTEXT>"),
        "start": known.get("start_image_token", "<img>"),
        "end": known.get("end_image_token", "</img>"),
    }


def _atoms(_: Json, __: Json) -> dict[str, Any]:
    around = {"start": "<IMG_START>", "end": "<IMG_END>", "after_overview": "<IMG_GRID>"}
    return {
        "token": "<image>",
        "feature_token": "<IMG_ATOM>",
        **around,
        "between_tiles": "<IMG_COL>",
        "between_rows": "<IMG_ROW>",
    }


def _patches(processor: Json, _: Json) -> dict[str, Any]:
    """The separators of its text are written in the code of the class, whatever the file says."""
    token = processor.get("image_token", "<|image|>")
    rows = "<|tile_y_separator|>"
    around = {"start": "<|image_start|>", "end": "<|image_end|>", "before_overview": "<|image|>"}
    tiles = {"between_tiles": "<|tile_x_separator|>", "between_rows": rows, "after_rows": rows}
    return {"token": token, "feature_token": "<|patch|>", **around, **tiles}


def _rows(_: Json, __: Json) -> dict[str, Any]:
    around = {"end": _FAKE, "before_tile": _FAKE + "<row_{row}_col_{column}>"}
    return {
        "token": "<image>",
        **around,
        "between_rows": "\n",
        "after_rows": "\n\n",
        "before_overview": _FAKE + "<global-img>",
    }


def _breaks(processor: Json, _: Json) -> dict[str, Any]:
    return {
        "token": processor.get("image_token", "[IMG]"),
        "between_rows": processor.get("image_break_token", "[IMG_BREAK]"),
        "end": processor.get("image_end_token", "[IMG_END]"),
    }


def _numbered(processor: Json, _: Json) -> dict[str, Any]:
    tile = str(processor.get("tile_token", "TILE")).replace("{", "{{").replace("}", "}}")
    return {
        "token": processor.get("image_token", "<image>"),
        "feature_token": processor.get("img_patch_token", "<|IMG_PATCH|>"),
        "start": processor.get("start_of_img_token", "<|START_OF_IMG|>"),
        "end": processor.get("end_of_img_token", "<|END_OF_IMG|>"),
        "before_tile": tile + "_{number}",
        "before_overview": processor.get("tile_global_token", "TILE_GLOBAL"),
    }


def _soft(_: Json, tokenizer: Json) -> dict[str, Any]:
    extra = tokenizer.get("extra_special_tokens")
    known = {**(extra if isinstance(extra, Mapping) else {}), **tokenizer}
    begin = known.get("boi_token", "<start_of_image>")
    return {
        "token": begin,
        "feature_token": known.get("image_token", "<image_soft_token>"),
        "start": f"\n\n{begin}",
        "end": f"{known.get('eoi_token', '<end_of_image>')}\n\n",
    }


# ---- how an image is cut, from its image processor


def _whole(pixels: Json) -> dict[str, Any]:
    return {"resize": "crop"} if pixels.get("do_center_crop", True) else {}


def _stretched(_: Json) -> dict[str, Any]:
    return {}


def _tiles(type_: str, *names: str) -> Callable[[Json], dict[str, Any]]:
    def read(pixels: Json) -> dict[str, Any]:
        keys = {"min_tiles": ("min_patches", 1), "max_tiles": ("max_patches", 16 if type_ == "canvas" else 12)}
        numbers = {name: pixels.get(*keys[name]) for name in names}
        return {"tiling": {"type": type_} | {name: n for name, n in numbers.items() if (name, n) != ("min_tiles", 1)}}

    return read


def _longest(type_: str) -> Callable[[Json], dict[str, Any]]:
    return lambda pixels: {"tiling": {"type": type_, "longest": pixels["size"]["longest_edge"]}}


def _volumes(pixels: Json) -> dict[str, Any]:
    numbers = {"min_pixels": pixels["size"]["shortest_edge"], "max_pixels": pixels["size"]["longest_edge"]}
    return {"tiling": {"type": "native_volume", **numbers}}


def _areas(pixels: Json) -> dict[str, Any]:
    size = pixels.get("size") or {}
    least = pixels.get("min_pixels") or size.get("shortest_edge") or size["min_pixels"]
    most = pixels.get("max_pixels") or size.get("longest_edge") or size["max_pixels"]
    return {"tiling": {"type": "native", "min_pixels": least, "max_pixels": most}}


_TILING: Mapping[str, Callable[[Json], dict[str, Any]]] = MappingProxyType(
    {
        "CLIPImageProcessor": _whole,
        "SiglipImageProcessor": _stretched,
        "Gemma3ImageProcessor": _stretched,
        "LlavaNextImageProcessor": _stretched,
        "LlavaOnevisionImageProcessor": _stretched,
        "MllamaImageProcessor": _stretched,
        "GotOcr2ImageProcessor": _tiles("closest_grid", "min_tiles", "max_tiles"),
        "Ovis2ImageProcessor": _tiles("covering_grid", "max_tiles"),
        "Llama4ImageProcessor": _tiles("canvas", "max_tiles"),
        "Idefics3ImageProcessor": _longest("longest_side"),
        "SmolVLMImageProcessor": _longest("longest_side"),
        "PixtralImageProcessor": _longest("native"),
        "Qwen2VLImageProcessor": _areas,
        "Glm4vImageProcessor": _volumes,
    }
)
_QWEN = (("Qwen2VLImageProcessor",), _plain("<|image_pad|>"))
# Class of processor -> the image processors that it is known with, and the texts around its images.
_FAMILIES: Mapping[str, tuple[tuple[str, ...], Callable[[Json, Json], dict[str, Any]]]] = MappingProxyType(
    {
        "AyaVisionProcessor": (("GotOcr2ImageProcessor",), _numbered),
        "Gemma3Processor": (("Gemma3ImageProcessor",), _soft),
        "Glm4vProcessor": (("Glm4vImageProcessor",), _plain("<|image|>")),
        "Idefics3Processor": (("Idefics3ImageProcessor",), _rows),
        "InternVLProcessor": (("GotOcr2ImageProcessor",), _contexts),
        "Llama4Processor": (("Llama4ImageProcessor",), _patches),
        "LlavaNextProcessor": (("LlavaNextImageProcessor",), _plain("<image>")),
        "LlavaOnevisionProcessor": (("LlavaOnevisionImageProcessor",), _plain("<image>")),
        "LlavaProcessor": (("CLIPImageProcessor", "SiglipImageProcessor"), _plain("<image>")),
        "MllamaProcessor": (("MllamaImageProcessor",), _plain("<|image|>")),
        "Ovis2Processor": (("Ovis2ImageProcessor",), _atoms),
        "PixtralProcessor": (("PixtralImageProcessor",), _breaks),
        "Qwen2VLProcessor": _QWEN,
        "Qwen2_5_VLProcessor": _QWEN,
        "Qwen3VLProcessor": _QWEN,
        "SmolVLMProcessor": (("SmolVLMImageProcessor",), _rows),
    }
)
