"""Training graphs against recorded steps of LAVIS: outputs, losses, scores, state afterwards, norms of gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from .oracles import Case, agree, check_gradients, marks, recorded
from .running import randomise
from .training_cases import Drawn, check_state, inputs, loaded, step_of

pytestmark = marks("lavis")


def test_scores_of_pairs(tmp_path: Path) -> None:
    case = recorded("lavis/blip_itm", tmp_path)
    output = loaded("blip_itm", case).eval()(**inputs(case))
    for name in ("image_embeds", "itm", "itc"):
        assert agree(getattr(output, name), case.outputs[name]), name


def test_a_caption(tmp_path: Path) -> None:
    case = recorded("lavis/blip_caption", tmp_path)
    model = loaded("blip_caption_training", case)
    given = inputs(case)
    labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
    labels[:, : case.config["prompt_length"]] = -100
    assert labels.equal(case.outputs["intermediate_output.decoder_labels"])
    output = model(**given, caption_labels=labels)
    assert agree(output.loss, case.outputs["loss"])
    there = given["attention_mask"].bool()
    assert agree(output.logits[there], case.outputs["intermediate_output.decoder_output.logits"][there])
    output.loss.backward()
    check_gradients(model, case)


def test_pretraining_with_teachers_and_a_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of ALBEF: teachers first, then the losses, all with the pairs that the reference drew."""
    case = recorded("lavis/albef_pretrain", tmp_path)
    model = loaded("albef_pretrain", case)
    monkeypatch.setattr(torch, "multinomial", Drawn(case))
    model.begin_step(step_of(case))
    masked = {"masked_ids": case.inputs["rand.mlm_input_ids"], "masked_labels": case.inputs["rand.mlm_labels"]}
    output = model(**inputs(case), **masked)
    expected = {"image_to_text": "sims.sim_i2t", "text_to_image": "sims.sim_t2i", "loss": "loss"}
    expected |= {"matching": "intermediate_output.itm_logits"}
    expected |= {name: f"loss_{name}" for name in ("itc", "itm", "mlm")}
    check_step(model, output, case, expected)


def check_step(model: Any, output: Any, case: Case, expected: dict[str, str]) -> None:
    """What a step gave, changed and would change by gradients."""
    for ours, theirs in expected.items():
        assert agree(getattr(output, ours), case.outputs[theirs]), ours
    check_state(model, case)
    output.loss.backward()
    for parameter in model.parameters():
        parameter.grad = parameter.grad if parameter.requires_grad else torch.zeros_like(parameter)
    check_gradients(model, case, frozen=TEACHERS)


@pytest.mark.parametrize("name", ["albef_retrieval", "blip_retrieval"])
def test_retrieval_by_ids(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = recorded(f"lavis/{name}", tmp_path)
    model = loaded(name, case)
    monkeypatch.setattr(torch, "multinomial", Drawn(case))
    model.begin_step(step_of(case))
    output = model(**inputs(case), image_ids=case.inputs["image_id"])
    losses = {"matching": "intermediate_output.itm_logits", "itc": "loss_itc", "itm": "loss_itm", "loss": "loss"}
    check_step(model, output, case, losses | {"image_to_text": "sims.sim_i2t"})


def test_pretraining_with_a_tied_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of BLIP: pairs are encoded again from their ids, and the decoder has the encoder's weights."""
    case = recorded("lavis/blip_pretrain", tmp_path)
    model = loaded("blip_pretrain", case)
    assert model.decoder.layers[0].mlp.up.weight is model.text.layers[0].mlp.up.weight
    monkeypatch.setattr(torch, "multinomial", Drawn(case))
    model.begin_step(step_of(case))
    given = inputs(case)
    labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
    output = model(**given, caption_labels=labels)
    expected = {"image_to_text": "sims.sim_i2t", "text_to_image": "sims.sim_t2i", "loss": "loss"}
    expected |= {name: f"loss_{name}" for name in ("itc", "itm", "lm")}
    check_step(model, output, case, expected)


def test_classes_with_a_teacher(tmp_path: Path) -> None:
    case = recorded("lavis/albef_classification", tmp_path)
    model = loaded("albef_classification", case)
    model.begin_step(step_of(case))
    output = model(**inputs(case), label=case.inputs["label"])
    check_step(model, output, case, {"scores": "logits", "scores_teacher": "logits_m", "loss": "loss"})


@torch.no_grad()
def test_features_of_images_texts_and_both(tmp_path: Path) -> None:
    case = recorded("lavis/albef_features", tmp_path)
    output = loaded("albef_features", case).eval()(**inputs(case))
    there = inputs(case)["attention_mask"].bool()
    for mode in ("image", "text", "multimodal"):
        for key, expected in case.outputs.items():
            if key.startswith(f"{mode}.") and "image" in key:
                assert agree(getattr(output, key.removeprefix(f"{mode}.")), expected), key
            elif key.startswith(f"{mode}."):
                assert agree(getattr(output, key.removeprefix(f"{mode}."))[there], expected[there]), key


# What is a teacher's in files of LAVIS, or stored with the weights.
TEACHERS = (
    *("visual_encoder_m.", "text_encoder_m.", "vision_proj_m.", "text_proj_m.", "cls_head_m."),
    *("image_queue", "text_queue", "queue_ptr", "idx_queue", "ptr_queue"),
)


# The classes of transformers

VISION = "nodes.vision.checkpoint.use=checkpoint/blip2_vision"


def blip(**more: Any) -> Any:
    """A tiny configuration of transformers' BLIP, with the eps of the original."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    text: dict[str, Any] = {"vocab_size": 97, "hidden_size": 24, "encoder_hidden_size": 36, "intermediate_size": 40}
    text |= {"num_hidden_layers": 3, "num_attention_heads": 3, "max_position_embeddings": 48, "layer_norm_eps": 1e-12}
    vision: dict[str, Any] = {
        "hidden_size": 36,
        "intermediate_size": 52,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
    }
    vision |= {"image_size": 24, "patch_size": 8, "layer_norm_eps": 1e-6, "hidden_act": "gelu"}
    return transformers.BlipConfig(text_config=text | more, vision_config=vision, image_text_hidden_size=12)


def as_case(config: Any) -> Case:
    """What `training_cases` reads of a case."""
    text, vision = config.text_config, config.vision_config
    return Case(
        {
            "vision": {
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                "width": vision.hidden_size,
                "layers": vision.num_hidden_layers,
                "heads": vision.num_attention_heads,
                "mlp_ratio": vision.intermediate_size / vision.hidden_size,
                "layer_norm_eps": vision.layer_norm_eps,
            },
            "text": {
                "vocab_size": text.vocab_size,
                "width": text.hidden_size,
                "layers": text.num_hidden_layers,
                "heads": text.num_attention_heads,
                "intermediate": text.intermediate_size,
                "max_positions": text.max_position_embeddings,
                "layer_norm_eps": text.layer_norm_eps,
            },
            "embed_dim": config.image_text_hidden_size,
            "token_ids": {"enc": 5, "dec_bos": 4},
        },
        {},
        {},
        Path(),
    )


@torch.no_grad()
def test_transformers_scores_pairs_alike(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    reference = transformers.BlipForImageTextRetrieval(blip()).eval()
    randomise(reference)
    reference.save_pretrained(tmp_path)
    case = as_case(reference.config)._replace(weights=tmp_path)
    prefixes = "checkpoint.prefixes={vision: vision_model., text: text_encoder., words: text_encoder.}"
    model = loaded("blip_itm", case, prefixes, VISION).eval()
    given = random_batch()
    pairs = given["input_ids"].clone()
    pairs[:, 0] = 5
    expected = reference(input_ids=pairs, pixel_values=given["image"], attention_mask=given["attention_mask"])
    alone = reference(
        input_ids=given["input_ids"],
        pixel_values=given["image"],
        attention_mask=given["attention_mask"],
        use_itm_head=False,
    )
    output = model(**given)
    assert agree(output.itm, expected.itm_score)
    assert agree(output.itc, alone.itm_score)


@torch.no_grad()
def test_transformers_writes_the_same_captions(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    reference = transformers.BlipForConditionalGeneration(blip(is_decoder=True)).eval()
    randomise(reference)
    reference.save_pretrained(tmp_path)
    case = as_case(reference.config)._replace(weights=tmp_path)
    prefixes = "checkpoint.prefixes={vision: vision_model., text: {cls.: text_decoder.cls., '': text_decoder.bert.}}"
    model = loaded("blip_caption", case, prefixes, VISION).eval()
    given = random_batch()
    expected = reference(
        input_ids=given["input_ids"], pixel_values=given["image"], attention_mask=given["attention_mask"]
    )
    there = given["attention_mask"].bool()
    assert agree(model(**given).logits[there], expected.logits[there])


def random_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(6, 97, (3, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {"image": torch.randn(3, 3, 24, 24, generator=generator), "input_ids": ids, "attention_mask": mask}
