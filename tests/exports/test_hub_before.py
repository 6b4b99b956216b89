"""Features before the text, in the directory for transformers: prompts that begin with placeholder tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from graphvlm.diagnostics import GraphError
from graphvlm.exporters.hub import Options, export
from graphvlm.rendering import render_hub

from ..packages import lint
from . import contract
from .directories import PROMPT, from_seed, golden, loaded, prompted, tiny

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "own_modules", "own_cache")]

_PREFIX = (
    "nodes.fused={type: prefix, placeholder: null, inputs: null}",
    "nodes.fused.inputs={text: text, image: projector}",
)
_SOUND = (
    "inputs.audio={type: features, dim: 12}",
    "nodes.sound={kind: projector, type: linear, inputs: audio}",
)
CASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "images": (*_PREFIX, "nodes.fused.images=3"),
        "logits_of_all": (*_PREFIX, "nodes.fused.logits=all"),
        "two_behind_each_other": (
            *_PREFIX,
            *_SOUND,
            "nodes.second={kind: fusion, type: prefix, inputs: {text: fused, image: sound}}",
            "nodes.llm.inputs=second",
        ),
        "before_and_among": (
            *_PREFIX,
            *_SOUND,
            "nodes.fused.inputs.text=among",
            "nodes.among={kind: fusion, type: scatter, inputs: {text: text, sound: sound, ids: input_ids},"
            " placeholder: {sound: 98}}",
        ),
    }
)
USUAL = "before_and_among"
# Clips of sound, padded at their ends, before the text.
CLIPS = (
    *_PREFIX,
    "inputs={pixel_values: null, clips: audio, clip_mask: mask}",
    "nodes={vision: null, projector: null}",
    "checkpoint=null",
    "nodes.tower={kind: encoder, type: audio, inputs: {audio: clips, mask: clip_mask}, audio: {bins: 5, frames: 12},"
    " front: {strides: [2]}, position: learned, dim: 16, layers: 1, norm: {type: layer}, attention: {heads: 2},"
    " mlp: {hidden: 20}}",
    "nodes.sound={kind: projector, type: linear, inputs: tower}",
    "nodes.fused.inputs={text: text, image: sound}",
)


@pytest.mark.parametrize("case", [*(pytest.param(n, marks=[] if n == USUAL else pytest.mark.long) for n in CASES)])
def test_the_numbers_are_those_of_the_package(case: str, tmp_path: Path) -> None:
    """Logits of a batch with padding, and greedy text; by a process that has no graphvlm."""
    found = export(tiny(CASES[case]), tmp_path / "x", Options(), lambda _: None)
    assert found.checked is not None
    assert found.checked.difference <= 1e-5
    assert found.checked.same
    assert contract.broken(contract.Directory(found.folder)) == {}
    said = [line for line in lint(found.folder).splitlines() if "RUF012" not in line]
    assert [line for line in said if not line.startswith("Found ")] == []


@pytest.mark.long
def test_what_trains_is_exported_without_its_loss(tmp_path: Path) -> None:
    """BLIP-2's second stage: the loss that transformers makes of labels takes its place."""
    said = list[str]()
    found = export(golden("blip2_opt_training"), tmp_path / "x", Options(), said.append)
    assert said[0] == "`lm` left out: transformers makes a loss of labels itself"
    assert found.agrees


def test_a_mask_that_is_made_while_reading_has_no_place() -> None:
    with pytest.raises(GraphError, match=r"`fused.mask`, which is made with the text that is read"):
        render_hub(golden("blip2_t5_training"))


def test_rows_that_show_less_have_fewer_placeholders(tmp_path: Path) -> None:
    """Where clips are padded, the package masks their ends, and a prompt leaves them out."""
    graph = tiny(CLIPS)
    folder = export(graph, tmp_path / "x", Options(verify=False), lambda _: None).folder
    ours, theirs = from_seed(graph), loaded(folder, "AutoModelForMultimodalLM")
    clips, mask = torch.randn(2, 5, 12), torch.tensor([[1] * 12, [1] * 6 + [0] * 6])
    text, seen = torch.tensor([[5, 6, 7], [0, 8, 9]]), torch.tensor([[1, 1, 1], [0, 1, 1]])
    ids = torch.tensor([[101] * 6 + [5, 6, 7], [0] * 4 + [101] * 3 + [8, 9]])
    shown = torch.tensor([[1] * 9, [0] * 4 + [1] * 5])
    given = {"clips": clips, "clip_mask": mask}
    with torch.no_grad():
        expected = ours(text, attention_mask=seen, **given).logits
        whole = theirs(input_ids=ids, attention_mask=shown, input_features=clips, clip_mask=mask).logits
    assert torch.allclose(whole[:, -3:][seen.bool()], expected[seen.bool()], rtol=0, atol=1e-5)


def test_a_number_that_is_said_is_that_of_the_placeholder() -> None:
    files = render_hub(tiny((*_PREFIX, "prompt.image.token_id=77")))
    assert '"image_token": 77' in files["config.json"]
    assert "clamp" not in files["modeling_tiny.py"]


def test_the_processor_puts_images_first(tmp_path: Path) -> None:
    """Before the token that begins a text, and one for each text where no text says how many it has."""
    from PIL import Image
    from transformers import AutoProcessor

    folder = prompted(
        tmp_path / "x", overrides=(*_PREFIX, *PROMPT, "prompt.image={token_id: 99, start: null}"), begin=True
    )
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    image = Image.effect_noise((100, 80), 64).convert("RGB")
    for text in ("hello", "hello <image>"):
        batch = processor(images=image, text=text, return_tensors="pt")
        assert batch["input_ids"].tolist() == [[*[99] * 16, 1, 4]]
    batch = processor(images=[[image], []], text=["<image> hello", "hello"], return_tensors="pt", padding=True)
    assert (batch["input_ids"] == 99).sum(dim=1).tolist() == [16, 0]
    content = [{"type": "text", "text": "hello"}, {"type": "image", "image": image}]
    given = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert given["input_ids"].tolist() == [[*[99] * 16, 1, 3, 5, 4]]
    assert loaded(folder).generate(**given, max_new_tokens=3, do_sample=False).shape[1] > 20


def test_what_is_made_of_the_text_itself_has_no_place() -> None:
    """It cannot be encoded ahead."""
    graph = tiny(
        (
            *_PREFIX,
            "nodes.again={kind: projector, type: linear, out: 40, inputs: text}",
            "nodes.fused.inputs.image=again",
            "nodes={vision: null, projector: null}",
            "checkpoint=null",
            "inputs.pixel_values=null",
            "checkpoint=null",
        )
    )
    with pytest.raises(GraphError, match="features that stand before the text"):
        render_hub(graph)
