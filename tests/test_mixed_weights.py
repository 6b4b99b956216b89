"""The tower of one complete model and the decoder of another, wherever `transformers` keeps them in its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphvlm import weights

from .running import randomise, small
from .test_load_save import assert_agreement, package, problems, theirs

transformers: Any = pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

pytestmark = pytest.mark.usefixtures("one_thread")

VISION: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 42,
    "patch_size": 14,
}
OTHER_VISION: dict[str, Any] = {**VISION, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2}


def build(name: str, **config: Any) -> Any:
    model_class = getattr(transformers, f"{name}ForConditionalGeneration")
    model = model_class(getattr(transformers, f"{name}Config")(**config, tie_word_embeddings=False))
    randomise(model, len(name))
    return model


def decoder(name: str) -> Any:
    """A complete model with the decoder of the tiny graph, and quite another tower."""
    text = theirs().config.text_config.to_dict()
    vision: dict[str, Any] = dict(OTHER_VISION)
    if name == "Idefics3":
        return build(name, text_config=text, vision_config=vision, image_token_id=97)
    if name == "InternVL":
        vision |= {"image_size": [42, 42], "patch_size": [14, 14]}
        return build(name, text_config=text, vision_config=vision, image_token_id=97)
    if name == "Mistral3":
        vision |= {"model_type": "pixtral", "head_dim": 4}
        return build(name, text_config=text, vision_config=vision, image_token_id=97)
    vision |= {"model_type": "siglip_vision_model"}
    return build(name, text_config=text, vision_config=vision, image_token_id=97)


def tower(name: str) -> Any:
    """A complete model with the tower of the tiny graph."""
    if name == "CLIP":
        text: dict[str, Any] = {
            "hidden_size": 24,
            "intermediate_size": 44,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
        }
        model = transformers.CLIPModel(transformers.CLIPConfig(vision_config=VISION, text_config=text))
        randomise(model, 4)
        return model
    vision = {**VISION, "model_type": "clip_vision_model"}
    text = {
        "model_type": "qwen2",
        "hidden_size": 16,
        "intermediate_size": 20,
        "num_hidden_layers": 1,
        "vocab_size": 131,
    }
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    return build(name, vision_config=vision, text_config=text, image_token_id=130)


def inner(model: Any) -> Any:
    """The language model inside a complete model, without its head."""
    return model.model.text_model if hasattr(model.model, "text_model") else model.model.language_model


def in_memory(model: Any, folder: Path) -> None:
    """The keys as modules are called, which some programs write."""
    folder.mkdir()
    tensors: dict[str, Tensor] = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("layout", ["files", "memory"])
@pytest.mark.parametrize("name", ["Idefics3", "InternVL", "Mistral3", "VipLlava", "LlavaNext"])
def test_tower_of_one_and_decoder_of_another(name: str, layout: str, tmp_path: Path) -> None:
    towers = {"Idefics3": "CLIP", "InternVL": "LlavaNext", "Mistral3": "VipLlava", "VipLlava": "CLIP"}
    first, second = tower(towers.get(name, "VipLlava")), decoder(name)
    for model, folder in ((first, tmp_path / "a"), (second, tmp_path / "b")):
        if layout == "files":
            model.save_pretrained(folder)
        else:
            in_memory(model, folder)
    reference = theirs()
    vision = first.vision_model if hasattr(first, "vision_model") else first.model.vision_tower
    reference.model.vision_tower.load_state_dict(vision.state_dict(), strict=False)
    reference.model.language_model.load_state_dict(inner(second).state_dict())
    reference.lm_head.load_state_dict(second.lm_head.state_dict())
    ours = package().from_pretrained({"vision": tmp_path / "a", "llm": tmp_path / "b"}).eval()
    for theirs_, mine in zip(
        reference.model.multi_modal_projector.parameters(), ours.projector.parameters(), strict=True
    ):
        theirs_.data.copy_(mine)
    assert_agreement(ours, reference)
    graph = small("tiny")
    assert weights.check(graph, tmp_path / "a", "vision").fits
    assert weights.check(graph, tmp_path / "b", "llm").fits


def test_problems_are_named_as_in_the_package(tmp_path: Path) -> None:
    """Missing, misshapen and unexpected keys of a decoder that lies elsewhere; the other tower is nobody's concern."""
    decoder("Idefics3").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    keys = load_file(file)
    del keys["model.text_model.layers.1.self_attn.o_proj.weight"]
    keys["model.text_model.norm.weight"] = torch.zeros(2)
    keys["model.text_model.layers.2.mlp.up_proj.weight"] = torch.zeros(2)
    save_file(keys, file)
    assert problems(lambda: package().from_pretrained({"llm": tmp_path})) == [
        "misshapen: language_model.model.norm.weight is (2,), not (48,) (llm)",
        "missing: language_model.model.layers.1.self_attn.o_proj.weight (llm)",
        "unexpected: language_model.model.layers.2.mlp.up_proj.weight (llm)",
    ]
    report = weights.check(small("tiny"), tmp_path, "llm")
    assert report.missing == ("language_model.model.layers.1.self_attn.o_proj.weight",)
    assert report.unexpected == ("language_model.model.layers.2.mlp.up_proj.weight",)


def test_a_head_that_is_not_there_is_missing(tmp_path: Path) -> None:
    """Nothing else that ends in `weight` is taken for it."""
    decoder("Idefics3").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    keys = load_file(file)
    del keys["lm_head.weight"]
    save_file(keys, file)
    found = problems(lambda: package().from_pretrained({"llm": tmp_path}))
    assert found == ["missing: language_model.lm_head.weight (llm)"]


def test_another_tower_is_refused_whole(tmp_path: Path) -> None:
    """Pixtral's tower is not CLIP's: every key is named, and nothing is loaded."""
    decoder("Mistral3").save_pretrained(tmp_path)
    found = problems(lambda: package().from_pretrained({"vision": tmp_path}))
    assert "missing: vision_tower.embeddings.patch_embedding.weight (vision)" in found
    assert all(problem.endswith(" (vision)") for problem in found)
