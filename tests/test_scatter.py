"""Features that are added to the words at their places, as those of Molmo are, against plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import graphvlm

from .running import TINY, inputs, packaged, randomise

pytestmark = pytest.mark.usefixtures("one_thread")


def test_features_are_added_to_the_words() -> None:
    graph = graphvlm.load(TINY, overrides=["nodes.fused.placing=add", "outputs.fused=fused"])
    model: Any = packaged(graph).Model()
    randomise(model)
    keywords = inputs(graph)
    ids = keywords["input_ids"]
    with torch.no_grad():
        features = model.encode_image(keywords["pixel_values"]).flatten(0, 1)
        expected = model.text(ids)
        assert bool((ids == 99).any())
        expected[ids == 99] += features
        assert torch.equal(model(**keywords).fused, expected)
