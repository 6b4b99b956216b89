"""Images and videos in one prompt where both have the token of images (GLM-4V).

The reference takes the one or the other. Frames of its videos are as images in every way, so that as its images it is
given all frames and images in the order of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

from .agreement import LIMIT, attended, relative_error
from .multimodal.native import FILMS, GRIDS, seen
from .reference import IMAGE_TOKEN, Reference

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["glm4v", "glm4v_moe"])
def test_images_beside_videos(name: str, reference: Callable[[str], Reference], ours: Callable[[str], Any]) -> None:
    """A row with an image and then a video, one with a video between two images' words, one with neither."""
    model = reference(name).fresh()
    given = seen(("image", "video"), model.config, "left", torch.Generator().manual_seed(7))
    with torch.no_grad():
        logits = ours(name)(**given).logits
    images = [torch.tensor([(1, rows, columns)]) for _, rows, columns in GRIDS]
    films = [torch.tensor([(1, rows, columns)] * frames) for frames, rows, columns in FILMS]
    grids = torch.cat((images[0], films[0], films[1], *images[1:]))
    parts = [
        iter(torch.split(given[pixels], given[f"{kind}_grid_thw"].prod(1).tolist()))
        for kind, pixels in (("image", "pixel_values"), ("video", "pixel_values_videos"))
    ]
    order = [parts[0], parts[1], parts[1], parts[0], parts[0]]
    with torch.no_grad():
        expected = model(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            mm_token_type_ids=(given["input_ids"] == IMAGE_TOKEN).int(),
            pixel_values=torch.cat([next(part) for part in order]),
            image_grid_thw=grids,
        ).logits
    places = attended(given)
    assert relative_error(logits[places], expected[places]) <= LIMIT
