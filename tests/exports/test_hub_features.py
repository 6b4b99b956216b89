"""The directory for transformers of graphs that write no text: what towers, pairs of them and classifiers give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graphvlm.diagnostics import GraphError
from graphvlm.exporters.hub import Exported
from graphvlm.rendering import render_hub

from ..packages import lint
from .directories import golden, loaded

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "own_modules")]

# Words that are masked; and, long, whether a text and an image belong together, and the vectors of both.
LONG = ("blip_itm", "albef_features")
KINDS = ("bert_base", *(pytest.param(name, marks=pytest.mark.long) for name in LONG))


@pytest.mark.parametrize("name", KINDS)
def test_a_process_without_graphvlm_gives_what_the_package_gives(made: Callable[[str], Exported], name: str) -> None:
    """Every output."""
    found = made(name)
    assert found.checked is not None
    assert found.checked.difference <= 1e-5
    assert found.agrees


@pytest.mark.parametrize("name", ["bert_base", "timesformer_k400", "image_tower", *LONG])
def test_the_code_is_laid_out(name: str, tmp_path: Path) -> None:
    for file, text in render_hub(golden(name)).items():
        (tmp_path / file).write_text(text)
    said = [line for line in lint(tmp_path).splitlines() if "RUF012" not in line]
    assert [line for line in said if not line.startswith("Found ")] == []


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("blip_itm", []),
        ("bert_base", ["AutoModelForMaskedLM"]),
        ("timesformer_k400", ["AutoModelForVideoClassification"]),
        ("image_tower", []),
    ],
)
def test_what_loads_it(name: str, kinds: list[str]) -> None:
    found = json.loads(render_hub(golden(name))["config.json"])["auto_map"]
    assert [*found] == ["AutoConfig", "AutoModel", *kinds]


def test_scores_and_labels_give_a_loss(made: Callable[[str], Exported], tmp_path: Path) -> None:
    """Words that are masked; the rest does not count. What was loaded is saved and loaded again."""
    model = loaded(made("bert_base").folder, "AutoModelForMaskedLM")
    ids, labels = torch.tensor([[5, 6, 7], [8, 9, 10]]), torch.tensor([[-100, 6, -100], [8, -100, -100]])
    with torch.no_grad():
        found = model(input_ids=ids, labels=labels)
    expected = torch.nn.functional.cross_entropy(found.logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(found.loss, expected, rtol=0, atol=1e-6)
    model.save_pretrained(tmp_path / "again")
    with torch.no_grad():
        assert torch.equal(loaded(tmp_path / "again", "AutoModel")(input_ids=ids).logits, found.logits)


@pytest.mark.long
def test_it_is_built_on_meta_and_encodes_apart(made: Callable[[str], Exported]) -> None:
    import transformers

    folder = made("blip_itm").folder
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    with torch.device("meta"):
        transformers.AutoModel.from_config(config, trust_remote_code=True)
    model = loaded(folder, "AutoModel")
    side = config.vision_config.image_size
    pixels, ids = torch.randn(2, 3, side, side), torch.tensor([[5, 6], [7, 8]])
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids, pixel_values=pixels)[0], model.get_image_features(pixels)[0])


@pytest.mark.parametrize(("name", "named"), [("matching", "a loss, in `total`"), ("blip_search", "a sampler, in")])
def test_what_is_for_training_has_no_form(name: str, named: str) -> None:
    with pytest.raises(GraphError, match=named):
        render_hub(golden(name))
