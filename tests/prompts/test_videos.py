"""Prompts with videos against the processors of transformers: what stands in a text, and how many tokens.

Pixels of videos want torchvision there; where it is installed they are compared too.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.video_utils import VideoMetadata

import graphvlm
from graphvlm.counting import video_counter
from graphvlm.diagnostics import GraphError
from graphvlm.prompts import videos

from .families import FAMILIES, processor, standing, without_checks
from .loading import ROOT, graph, processor_of
from .test_images import given, picture
from .tokenizing import tokenizer

# Graph -> model, class of its processor, the module that sizes its frames, side of a block, and limits of pixels.
NATIVE: dict[str, tuple[str, str, str, int, int, int]] = {
    "qwen2_5_vl_7b": ("qwen2_5_vl", "Qwen2_5_VLProcessor", "qwen2_vl", 28, 100352, 602112),
    "qwen3_vl_8b": ("qwen3_vl", "Qwen3VLProcessor", "qwen3_vl", 32, 4096, 25165824),
    "glm_4_1v_9b": ("glm4v", "Glm4vProcessor", "glm4v", 28, 12544, 47040000),
}


def words(name: str) -> Any:
    clips = videos(graph(name))
    assert clips is not None
    more = ("<|vision_start|>", "<|vision_end|>", "<|begin_of_image|>", "<|end_of_image|>", clips.prompt.token)
    numbers = {clips.prompt.feature: clips.token_id}
    return tokenizer(given(name), *FAMILIES[name][1], *more, numbers=numbers)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModuleType]:
    return cache(lambda name: processor_of(name, tmp_path_factory.mktemp(name)))


def theirs(name: str, frames: int, rate: float, height: int, width: int) -> str:
    """What their processor writes for a video whose frames were all taken."""
    model, cls, sizing, block, least, most = NATIVE[name]
    resize = standing(f"transformers.models.{sizing}.video_processing_{sizing}").smart_resize
    limits = {"factor": block, "min_pixels": least, "max_pixels": most}
    deep = {} if sizing == "qwen2_vl" else {"num_frames": frames, "temporal_factor": 2}
    high, wide = resize(height=height, width=width, **limits, **deep)
    made = without_checks(processor(model, cls))(
        tokenizer=words(name), video_processor=SimpleNamespace(merge_size=2, temporal_patch_size=2)
    )
    thw = torch.tensor([[-(-frames // 2), high // block * 2, wide // block * 2]])
    told = VideoMetadata(total_num_frames=frames, fps=rate, frames_indices=list(range(frames)))
    return str(made.replace_video_token({"video_grid_thw": thw, "video_metadata": [told]}, 0))


@pytest.mark.parametrize("name", NATIVE)
def test_texts_and_numbers_are_those_of_transformers(name: str, module: Callable[[str], ModuleType]) -> None:
    draw, count = random.Random(0), video_counter(graph(name))
    page = importlib.import_module(f"{module(name).__package__}.counts")
    assert count is not None
    for _ in range(12):
        frames, rate = draw.randrange(2, 40), draw.choice([1.0, 2.0, 3.7, 29.97])
        height, width = draw.randrange(20, 900), draw.randrange(20, 900)
        text = theirs(name, frames, rate, height, width)
        assert page.video_text(frames, rate, height, width) == text, (frames, rate, height, width)
        assert count(frames, height, width) == text.count(page.VIDEO_FEATURE)


def test_frames_of_one_size_have_a_newline_behind_them(module: Callable[[str], ModuleType]) -> None:
    name = "llava_onevision_qwen2_7b"
    make, _ = FAMILIES[name]
    page = importlib.import_module(f"{module(name).__package__}.counts")
    made = make(words(name))
    for frames in (1, 7, 32):
        shown = {"pixel_values_videos": torch.empty(1, frames, 3, 2, 2)}
        assert page.video_text(frames, 1.0, 9, 9) == made.replace_video_token(shown, 0)


def test_a_request_whose_videos_are_not_as_many_as_its_placeholders_is_named(
    module: Callable[[str], ModuleType],
) -> None:
    made = module("qwen3_vl_8b").Processor(words("qwen3_vl_8b"))
    with pytest.raises(ValueError, match=r"request 0 has 0 videos, and <\|video_pad\|> 1 times in its text"):
        made(["<|video_pad|>"])
    with pytest.raises(ValueError, match="a video of 1 frames is too short"):
        made(["<|video_pad|>"], videos=[[([picture(40, 50)], 1.0)]])


@pytest.mark.skipif(
    find_spec("torchvision") is None, reason="videos become pixels by torchvision, which is not installed"
)
@pytest.mark.parametrize("name", ["qwen2_5_vl_7b", "qwen3_vl_8b", "glm_4_1v_9b", "llava_onevision_qwen2_7b"])
def test_a_batch_has_images_and_videos(name: str, module: Callable[[str], ModuleType]) -> None:
    """The videos of all requests together, and the shapes that the model is given."""
    clips = videos(graph(name))
    assert clips is not None
    mark, token = given(name).prompt.token, clips.prompt.token
    shown = [np.asarray(picture(70, 90))] * 4
    inputs = module(name).Processor(words(name))(
        [f"a {token} b {mark}", f"{token}"], [[picture(60, 50)], []], [[(shown, 2.0)], [(shown, 1.0)]]
    )
    names = {ours for ours, _ in clips.inputs} | ({clips.seconds} if clips.seconds else set())
    assert {*inputs} == {"input_ids", "attention_mask"} | {ours for ours, _ in given(name).inputs} | names
    if clips.patch:
        grid = inputs["video_grid_thw"]
        assert grid[:, 0].tolist() == [2, 2]
        assert int(grid.prod(dim=1).sum()) == inputs["pixel_values_videos"].shape[0]
    if clips.seconds:
        assert inputs[clips.seconds].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["prompt.video.max_pixels=null"], "frames that keep their shape need"),
        (["prompt.video.before_frame='{at}'"], "`before_frame` has braces"),
        (["prompt.image=null"], "a prompt has them beside images"),
    ],
)
def test_what_does_not_fit_is_said(settings: list[str], says: str) -> None:
    with pytest.raises(GraphError, match=says):
        graphvlm.load(ROOT / "graphs" / "qwen3_vl_8b.yaml", overrides=settings)


def test_other_graphs_have_no_form_for_videos() -> None:
    with pytest.raises(GraphError, match="no encoder here takes frames"):
        graphvlm.load(ROOT / "graphs" / "llava_1_5_7b.yaml", overrides=["prompt.video.token=x"])
    with pytest.raises(GraphError, match="frames are of one size"):
        graphvlm.load(ROOT / "graphs" / "llava_onevision_qwen2_7b.yaml", overrides=["prompt.video.min_pixels=9"])
