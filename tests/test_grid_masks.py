"""Masks over the places of patches where these are not known: each mistake is one diagnostic."""

from __future__ import annotations

import pytest

from graphvlm.diagnostics import Source

from .diagnosing import edited, problems, under

TOWER = "attention: {heads: 3, bias: true"
NATIVE = "use: encoder/qwen2_5_vl_vision"


@pytest.mark.parametrize(
    ("graph", "edits", "marked", "said"),
    [
        ("tiny", {TOWER: f"{TOWER}, mask: {{grid_window: 2}}"}, "{grid_window: 2}", "is not given a grid"),
        ("tiny", {TOWER: f"{TOWER}, mask: place"}, "place", "goes by places in all frames of a video"),
        (
            "qwen2_5_vl_7b",
            {NATIVE: f"{NATIVE}\n    attention: {{mask: {{grid_window: 8, edge: padded}}}}"},
            *("padded", "which cannot be filled up"),
        ),
    ],
)
def test_a_mask_without_its_places(graph: str, edits: dict[str, str], marked: str, said: str) -> None:
    (found,) = problems(edited(edits, graph))
    assert found.rule == "bad-mask"
    assert under(found.span) == marked
    assert said in found.message


def test_windows_in_a_video() -> None:
    tower = "{use: encoder/timesformer_base_224, inputs: clips, attention: {mask: {grid_window: 2}}}"
    text = f"version: 1\nname: clips\ninputs: {{clips: video}}\nnodes:\n  tower: {tower}\noutputs: {{x: tower}}\n"
    (found,) = problems(Source("clips.yaml", text))
    assert found.rule == "bad-mask"
    assert under(found.span) == "{grid_window: 2}"
    assert "is of images of any size" in found.message
