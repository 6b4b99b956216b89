"""The pages of every strategy: laid out, typed, without an argument that nothing reads."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphvlm
from graphvlm import rendering
from graphvlm.diagnostics import GraphError
from graphvlm.hub import prompting
from graphvlm.ir import Graph
from graphvlm.pages.package import prompt_pages

from ..packages import lint, type_check, unread

ROOT = Path(__file__).parents[2]
TINY = ROOT / "graphs" / "tiny.yaml"
TILES = ROOT / "tests" / "golden" / "graphs" / "tiles.yaml"
LONG = "prompt.image.token=<a_placeholder_of_many_letters_that_takes_the_place_of_an_image>"
GRAPHS = (
    "aya_vision_8b",
    "idefics3_8b_llama3",
    "internvl3_8b",
    "llama_4_scout",
    "llava_onevision_qwen2_7b",
    "mistral_small_3_1_24b",
    "mllama_11b",
    "ovis2_8b",
    "prefix_clip_llama",
    "qwen2_5_vl_7b",
    "qwen3_vl_8b",
    "glm_4_1v_9b",
)


HEARD = ("audio_flamingo_3", "qwen2_audio_7b", "voxtral_mini_3b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages of these pages alone, of both profiles."""
    made = tmp_path_factory.mktemp("pages")
    for name in HEARD:
        pages = prompt_pages(graphvlm.load(ROOT / "graphs" / f"{name}.yaml"), "input_ids", "attention_mask")
        write(made / f"prompted_{name}", {file: rendering.text_of(page) for file, page in pages.items()})
    for name in GRAPHS:
        for end, more in (("", []), ("_long", [LONG])):
            graph = graphvlm.load(ROOT / "graphs" / f"{name}.yaml", overrides=[*more, "prompt.image.resize=stretch"])
            pages = prompt_pages(graph, "input_ids", "attention_mask")
            write(made / f"prompted_{name}{end}", {file: rendering.text_of(page) for file, page in pages.items()})
    return made


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir()
    for name, text in {"__init__.py": "", **files}.items():
        (folder / name).write_text(text)


def test_ruff_has_nothing_to_say(folder: Path) -> None:
    assert lint(folder) == ""


def test_every_argument_is_read(folder: Path) -> None:
    assert unread(folder) == ""


@pytest.mark.slow
def test_mypy_has_nothing_to_say(folder: Path) -> None:
    assert type_check(folder) == ""


def tiny(*settings: str) -> Graph:
    return graphvlm.load(TINY, overrides=[f"prompt.image.{each}" for each in settings])


@pytest.mark.parametrize(
    ("settings", "rule", "says"),
    [
        (["tiling.type=native"], "bad-prompt", "by `native` are not what the encoder"),
        (["tiling.type=longest_side"], "bad-prompt", "by `longest_side` are not"),
        (["tiling.type=canvas"], "bad-prompt", "needs `max_tiles`"),
        (["tiling={type: closest_grid, min_tiles: 5, max_tiles: 4}"], "bad-prompt", "`min_tiles` is 5, more than"),
        (["tiling={type: canvas, max_tiles: 4, min_tiles: 2}"], "unread-setting", "`tiling.min_tiles` is not read"),
        (["tiling={type: whole, longest: 4}"], "unread-setting", "`tiling.longest` is not read"),
        (["between_tiles=x"], "unread-setting", "`prompt.image.between_tiles` is not read"),
        (["tiling={type: canvas, max_tiles: 4}", "before_tile='{x}'"], "bad-prompt", "braces that stand for nothing"),
        (["tiling={type: canvas, max_tiles: 4}", "before_tile='{row'"], "bad-prompt", "braces that stand for nothing"),
        (["tiling={type: canvas, max_tiles: 4}", "before_tile='{row:>9}'"], "bad-prompt", "braces"),
        (["tiling={type: canvas, max_tiles: 4}", "before_tile='{0}'"], "bad-prompt", "braces"),
        (["tiling={type: natives}"], "bad-value", "natives"),
    ],
)
def test_what_does_not_fit_is_said(settings: list[str], rule: str, says: str) -> None:
    with pytest.raises(GraphError) as caught:
        tiny(*settings)
    found = [each for each in caught.value.diagnostics if each.rule == rule]
    assert [says in each.message for each in found] == [True]
    assert found[0].help
    assert found[0].span


def test_a_graph_without_such_images_has_no_form_for_them() -> None:
    with pytest.raises(GraphError, match="no encoder here takes images that a prompt could have"):
        graphvlm.load(ROOT / "graphs" / "bert_base.yaml", overrides=["prompt.image.token=x"])


def test_tiles_are_square() -> None:
    with pytest.raises(GraphError, match="takes images of 56 x 42 pixels"):
        graphvlm.load(
            TINY, overrides=["nodes.vision.image.size=[56, 42]", "prompt.image.tiling={type: canvas, max_tiles: 4}"]
        )


def test_the_profile_has_the_same_counts() -> None:
    """And says into how many pieces an image is cut, where those of all images lie side by side."""
    pieces = {
        "internvl3_8b": "[each // TOKENS for each in tokens]",
        "qwen2_5_vl_7b": "[each * 4 for each in tokens]",
        "llava_onevision_qwen2_7b": "[1] * len(image_sizes)",
    }
    for name, wanted in pieces.items():
        pages, files = prompting.processor(graphvlm.load(ROOT / "graphs" / f"{name}.yaml"))
        assert {*pages} == {f"processing_{name}.py", f"tokens_{name}.py"}
        assert pages[f"processing_{name}.py"].views["processor"].pieces == wanted
        assert {*files} == {"processor_config.json", "preprocessor_config.json"}


def test_the_profile_needs_the_names_of_processors() -> None:
    names = ("inputs={image_sizes: null, measures: sizes}", "nodes.tiles.inputs.sizes=measures")
    graph = graphvlm.load(TILES, overrides=[*names, "nodes.packed.inputs.sizes=measures"])
    with pytest.raises(GraphError, match=r"no form for `prompt.image` of this graph: .* `measures` is none"):
        prompting.processor(graph)
