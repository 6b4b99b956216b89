"""Prompts with images against the processors of transformers: tokens, counts and pixels of images of odd sizes."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from transformers.image_utils import SizeDict

from graphvlm.counting import counter
from graphvlm.prompts import Pictures, pictures, videos

from .families import FAMILIES, THEIRS, processor, standing, without_checks
from .loading import graph, processor_of
from .tokenizing import tokenizer

SIZES = ((57, 91), (130, 71), (333, 490), (41, 260))


def given(name: str) -> Pictures:
    found = pictures(graph(name))
    assert found is not None
    return found


def words(name: str) -> Any:
    """A tokenizer with the tokens of a family, those of videos too where its prompt has any."""
    clips = videos(graph(name))
    numbers = {clips.prompt.feature: clips.token_id} if clips else {}
    return tokenizer(given(name), *FAMILIES[name][1], *numbers, numbers=numbers)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModuleType]:
    """The module of the processor of a graph; nothing of its model is written."""

    @cache
    def load(name: str) -> ModuleType:
        return processor_of(name, tmp_path_factory.mktemp(name))

    return load


def picture(height: int, width: int) -> Image.Image:
    torch.manual_seed(height * width)
    return Image.fromarray(torch.randint(256, (height, width, 3), dtype=torch.uint8).numpy())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_processor_is_that_of_transformers(name: str, module: Callable[[str], ModuleType]) -> None:
    """A batch of requests with one image and with two, of different sizes: ids, mask and everything of the images."""
    make, made = FAMILIES[name][0], words(name)
    mark = given(name).prompt.token
    texts = [f"<bos>a\n{mark} b", f"<bos>{mark}c{mark}\n\n d"]
    images = [[picture(*SIZES[0])], [picture(*SIZES[1]), picture(*SIZES[2])]]
    ours = module(name).Processor(made)(texts, images)
    theirs = make(made)(images=images, text=texts, padding=True, padding_side="left", return_tensors="pt")
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
        assert value.dtype == theirs[key].dtype
    wanted = {*theirs, *graph(name).inputs} - {"token_type_ids", "mm_token_type_ids"}
    assert {*ours} >= {key for key in wanted if key in theirs and key in {*graph(name).inputs, "attention_mask"}}


def sizes(number: int) -> list[tuple[int, int]]:
    """Heights and widths: small and large, square, long, and those that two grids fit equally well.

    None is of 1 or 3 pixels, which theirs takes for channels.
    """
    draw = random.Random(0)
    odd = [(4 + draw.randrange(40) ** 2, 4 + draw.randrange(40) ** 2) for _ in range(number)]
    return [*odd, (336, 336), (672, 336), (448, 896), (1000, 1000), (896, 448), (1456, 364), (2000, 3000), (37, 7000)]


def counted(name: str) -> Callable[[int, int], int]:
    count = counter(graph(name))
    assert count is not None
    return lambda height, width: int(count(height, width, 1)["features"])


@pytest.mark.parametrize("name", THEIRS)
def test_the_numbers_are_those_of_transformers(name: str) -> None:
    """Of hundreds of sizes; what stands around the tokens is taken off theirs."""
    theirs, ours = FAMILIES[name][0](words(name)), counted(name)
    for height, width in sizes(300):
        if max(height, width) <= 200 * min(height, width):
            assert ours(height, width) == THEIRS[name](theirs, height, width), (height, width)


def test_an_image_that_is_too_narrow_is_refused() -> None:
    with pytest.raises(ValueError, match="3 x 1000 pixels is too narrow"):
        counted("qwen2_5_vl_7b")(3, 1000)


def test_canvases_are_those_of_transformers(module: Callable[[str], ModuleType]) -> None:
    """Its image processor is for torchvision alone: the functions that choose, and its text, for hundreds of sizes."""
    name = "llama_4_scout"
    found = standing("transformers.models.llama4.image_processing_llama4")
    side = SizeDict(height=336, width=336)
    canvases = torch.tensor(found.find_supported_resolutions(max_num_chunks=16, patch_size=side))
    theirs = without_checks(processor("llama4", "Llama4Processor"))(None, tokenizer(given(name)))
    ours = importlib.import_module(f"{module(name).__package__}.counts")
    for height, width in sizes(300):
        high, wide = (int(pixels) // 336 for pixels in found.get_best_fit((height, width), canvases))
        made = {"pixel_values": [torch.empty(1, 3, 336, 336)], "aspect_ratios": [(high, wide)]}
        text = theirs.replace_image_token(made, 0)
        assert ours.image_text(height, width) == text
        assert ours.image_tokens(height, width) == text.count("<|patch|>")


@pytest.mark.parametrize("name", ["llava_onevision_qwen2_7b", "idefics3_8b_llama3", "qwen2_5_vl_7b"])
def test_requests_without_images_may_stand_beside_others(name: str, module: Callable[[str], ModuleType]) -> None:
    mark = given(name).prompt.token
    made = module(name).Processor(words(name))
    batch = made(["none at all", f"a {mark}"], [[], [picture(*SIZES[3])]])
    alone = made([f"a {mark}"], [[picture(*SIZES[3])]])
    length = alone["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"][1:, -length:], alone["input_ids"])
    assert torch.equal(batch["pixel_values"].flatten()[-8:], alone["pixel_values"].flatten()[-8:])
    assert "pixel_values" not in made(["none at all"])


def test_a_request_whose_images_are_not_as_many_as_its_placeholders_is_named(
    module: Callable[[str], ModuleType],
) -> None:
    made = module("llava_1_5_7b").Processor(words("llava_1_5_7b"))
    one = picture(*SIZES[0])
    with pytest.raises(ValueError, match="request 1 has 1 images, and <image> 2 times in its text"):
        made(["<image>", "<image> <image>"], [[one], [one]])
    with pytest.raises(ValueError, match="request 0 has 0 images, and <image> 1 times"):
        made(["<image>"])
    with pytest.raises(ValueError, match="2 texts, and images for 1"):
        made(["<image>", "b"], [[one]])


def test_places_are_those_of_the_features(module: Callable[[str], ModuleType]) -> None:
    """One run of tokens a row of the image, where texts stand between."""
    name = "mistral_small_3_1_24b"
    made = module(name).Processor(words(name))
    ids = made(["a[IMG]b", "[IMG]"], [[picture(57, 91)], [picture(30, 20)]])["input_ids"]
    assert [[end - start for start, end in row] for row in made.places(ids)] == [[4, 4, 4], [1, 1]]


def test_a_tokenizer_of_another_model_is_refused(module: Callable[[str], ModuleType]) -> None:
    other = tokenizer(replace(given("llava_1_5_7b"), token_id=7))
    with pytest.raises(ValueError, match="<image> is token 7 of the tokenizer, and 32000 for the model"):
        module("llava_1_5_7b").Processor(other)
