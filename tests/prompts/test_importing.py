"""Prompts from what lies beside a config: those of ready graphs, which others compare with the processors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import graphvlm
from graphvlm.importers import import_config
from graphvlm.importers.huggingface.prompts import Beside, read_prompt
from graphvlm.prompts import pictures

from .families import FAMILIES
from .loading import graph
from .test_images import words


def files(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the processor of a family writes of itself, and of its image processor."""
    made = FAMILIES[name][0](words(name))
    pixels = made.image_processor.to_dict()
    kept = {key: value for key, value in vars(made).items() if isinstance(value, str | int | float)}
    return {**kept, "processor_class": type(made).__name__}, json.loads(json.dumps(pixels, default=list))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prompt_is_that_of_the_ready_graph(name: str) -> None:
    processor, pixels = files(name)
    found, unread = read_prompt(Beside(preprocessor=pixels, processor=processor))
    assert unread == ""
    written = graph(name).prompt.image
    assert written is not None
    read = graphvlm.load(
        graph(name).tree.span.source.name, overrides=["prompt=null", f"prompt={json.dumps(found)}"]
    ).prompt.image
    assert read is not None
    tiling = replace(read, tiling=written.tiling) if read.tiling is None else read
    assert tiling == written


def test_a_directory_gives_template_and_images(tmp_path: Path) -> None:
    """A directory as it is published: of a model of odd sizes, with its files."""
    from transformers import LlavaNextConfig

    grids = [[336, 672], [672, 336]]
    config = LlavaNextConfig(image_grid_pinpoints=grids, text_config={"model_type": "llama", "vocab_size": 32064})
    (tmp_path / "config.json").write_text(config.to_json_string())
    processor, pixels = files("llava_v1_6_mistral_7b")
    (tmp_path / "processor_config.json").write_text(json.dumps(processor))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pixels))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}\n{{ m }}'\"{% endfor %}")
    text = import_config(tmp_path)
    (tmp_path / "made.yaml").write_text(text)
    made = graphvlm.load(tmp_path / "made.yaml")
    assert made.prompt.template == "{% for m in messages %}\n{{ m }}'\"{% endfor %}"
    found = pictures(made)
    assert found is not None
    assert (found.tiling.type, found.resolutions) == ("resolutions", ((336, 672), (672, 336)))
    pixels["do_rescale"] = False
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pixels))
    assert "# No `prompt.image`: its image processor has `do_rescale: false`\n" in import_config(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_processor_type": "OddImageProcessor"}, "with a OddImageProcessor is not known"),
        ({"rescale_factor": "1"}, "another number than 1 / 255"),
        ({"resample": [1]}, "resamples by [1]"),
        ({"image_mean": None}, "does not say `image_mean`"),
        ({"size": "large"}, "a size of its PixtralImageProcessor is missing"),
    ],
)
def test_what_is_not_known_is_said(change: dict[str, Any], says: str) -> None:
    processor, pixels = files("mistral_small_3_1_24b")
    found, unread = read_prompt(Beside(preprocessor={**pixels, **change}, processor=processor))
    assert found == {}
    assert says in unread


def test_an_unknown_processor_is_said() -> None:
    assert read_prompt(Beside({"size": 3}, {"processor_class": "Odd"})) == (
        {},
        "its processor is 'Odd', which is not known here",
    )
    assert read_prompt(Beside(template="x")) == ({"template": "x"}, "")
