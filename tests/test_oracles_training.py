"""Training graphs against recorded steps of LAVIS: outputs, losses, scores, state afterwards, norms of gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from .oracles import Case, agree, check_gradients, marks, recorded
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


@pytest.mark.parametrize("call", ["onehot.", "by_id."])
def test_queries_learn_what_texts_say(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage of BLIP-2: a stack is called for its queries, a text, both, and a text after the queries."""
    case = recorded("lavis/blip2_qformer", tmp_path)
    ids = {"image_ids": case.inputs["image_id"]} if call == "by_id." else {}
    model = loaded("blip2_qformer", case, *(BY_ID if ids else ()))
    monkeypatch.setattr(torch, "multinomial", Drawn(case, call))
    given = inputs(case)
    labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
    output = model(**given, caption_labels=labels, **ids)
    for name in ("itc", "itm", "lm"):
        assert agree(getattr(output, name), case.outputs[f"{call}loss_{name}"]), name
    assert agree(output.loss, case.outputs[f"{call}loss"])
    assert agree(output.matching, case.outputs[f"{call}ce#{0 if ids else 2}.logits"])
    if call == "onehot.":
        output.loss.backward()
        for parameter in model.parameters():
            parameter.grad = parameter.grad if parameter.requires_grad else torch.zeros_like(parameter)
        first = {key.removeprefix(call): value for key, value in case.outputs.items()}
        check_gradients(model, case._replace(outputs=first), frozen=("visual_encoder.",))


@torch.no_grad()
def test_scores_of_queries_and_a_text(tmp_path: Path) -> None:
    case = recorded("lavis/blip2_itm", tmp_path)
    output = loaded("blip2_itm", case).eval()(**inputs(case))
    for ours, theirs in {"image_embeds": 1, "text_embeds": 2}.items():
        assert agree(getattr(output, ours), case.outputs[f"tap.Qformer.bert#{theirs}.last_hidden_state"])
    queries = output.image_embeds.size(1)
    assert agree(output.multimodal_embeds, case.outputs["tap.Qformer.bert#0.last_hidden_state"][:, :queries])
    for name in ("itm", "itc"):
        assert agree(getattr(output, name), case.outputs[name]), name


def test_queries_before_a_text(tmp_path: Path) -> None:
    """The second stage of BLIP-2: a gradient goes through the language model, to the queries alone."""
    case = recorded("lavis/blip2_opt", tmp_path)
    model = loaded("blip2_opt_training", case)
    given = inputs(case)
    labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
    labels[:, : case.config["prompt_length"]] = -100
    output = model(**given, caption_labels=labels)
    logits = case.outputs["tap.opt_model#0.logits"][:, -labels.size(1) :]
    check_second_stage(model, output, case, given["attention_mask"], logits)


def test_queries_before_a_text_that_is_encoded(tmp_path: Path) -> None:
    case = recorded("lavis/blip2_t5", tmp_path)
    model = loaded("blip2_t5_training", case)
    ids, mask = case.inputs["output.input_ids"], case.inputs["output.attention_mask"]
    answers = {"decoder_attention_mask": mask, "answer_labels": ids.masked_fill(mask == 0, -100)}
    answers["decoder_input_ids"] = F.pad(ids.masked_fill(mask == 0, 0)[:, :-1], (1, 0))
    output = model(**inputs(case), **answers)
    check_second_stage(model, output, case, mask, case.outputs["tap.t5_model#0.logits"])


def check_second_stage(model: Any, output: Any, case: Case, mask: torch.Tensor, logits: torch.Tensor) -> None:
    assert agree(output.loss, case.outputs["loss"])
    assert agree(output.logits[mask.bool()], logits[mask.bool()])
    output.loss.backward()
    for parameter in model.parameters():
        parameter.grad = parameter.grad if parameter.requires_grad else torch.zeros_like(parameter)
    check_gradients(model, case, frozen=("visual_encoder.", "opt_model.", "t5_model."))


def questions(case: Case) -> dict[str, torch.Tensor]:
    """The images, questions and answers of a case."""
    found = {"image": case.inputs["image"], "answer_ids": case.inputs["answer.input_ids"]}
    found |= {"input_ids": case.inputs["question.input_ids"], "attention_mask": case.inputs["question.attention_mask"]}
    return found | {"answer_mask": case.inputs["answer.attention_mask"]}


@pytest.mark.parametrize("name", ["albef_vqa", "blip_vqa"])
def test_answers_of_questions(name: str, tmp_path: Path) -> None:
    """Several for each question, each with a weight; ALBEF has a teacher."""
    case = recorded(f"lavis/{name}", tmp_path)
    model = loaded(f"{name}_training", case)
    given = questions(case)
    labels = given["answer_ids"].masked_fill(given["answer_mask"] == 0, -100)
    counts = {"answer_counts": case.inputs["n_answers"], "answer_weights": case.inputs["weight"]}
    if name == "albef_vqa":
        model.begin_step(step_of(case))
    output = model(**given, **counts, answer_labels=labels)
    there, asked = given["answer_mask"].bool(), given["attention_mask"].bool()
    assert agree(output.logits[there], case.outputs["intermediate_output.decoder_output.logits"][there])
    assert agree(output.question[asked], case.outputs["intermediate_output.encoder_output.last_hidden_state"][asked])
    assert agree(output.loss, case.outputs["loss"])
    if name == "albef_vqa":
        assert agree(output.teacher[:, :-1][there[:, 1:]], case.outputs["teacher_decoder_logits_shifted"][there[:, 1:]])
        check_step(model, output, case, {})
    else:
        output.loss.backward()
        check_gradients(model, case)


@torch.no_grad()
@pytest.mark.parametrize("name", ["albef_vqa", "blip_vqa"])
def test_the_answer_that_is_said_most_readily(name: str, tmp_path: Path) -> None:
    case = recorded(f"lavis/{name}", tmp_path)
    given = questions(case)
    given |= {
        "answer_ids": case.inputs["answer_list.input_ids"],
        "answer_mask": case.inputs["answer_list.attention_mask"],
    }
    output = loaded(name, case).eval()(**given)
    assert output.chosen.equal(case.outputs["rank.topk_ids"])
    assert agree(output.losses, case.outputs["rank.candidate_loss"])
    assert output.answer.equal(case.outputs["rank.best"])


@pytest.mark.parametrize("name", ["albef_nlvr", "blip_nlvr"])
def test_whether_a_text_is_true_of_two_images(name: str, tmp_path: Path) -> None:
    """Layers attend to the images in turn, with keys and values of pairs together, or to both and put them together."""
    case = recorded(f"lavis/{name}", tmp_path)
    model = loaded(name, case)
    given = {key: value for key, value in case.inputs.items() if key == "label"}
    given |= {"image_0": case.inputs["image0"], "image_1": case.inputs["image1"]}
    given |= {key: case.inputs[f"text.{key}"] for key in ("input_ids", "attention_mask")}
    if name == "albef_nlvr":
        model.begin_step(step_of(case))
    output = model(**given)
    there = given["attention_mask"].bool()
    assert agree(output.text[there], case.outputs["intermediate_output.encoder_output.last_hidden_state"][there])
    assert agree(output.scores, case.outputs["tap.cls_head#0"])
    assert agree(output.loss, case.outputs["loss"])
    if name == "albef_nlvr":
        assert agree(output.scores_teacher, case.outputs["tap.cls_head_m#0"])
        predicted = loaded(name, case).eval()(**given).scores
        assert agree(predicted, case.outputs["predict.predictions"])
        kept = {key: value for key, value in case.outputs.items() if "after.text_encoder_m." not in key}
        check_step(model, output, case._replace(outputs=kept), {})
    else:
        output.loss.backward()
        check_gradients(model, case)


def videos(case: Case) -> dict[str, torch.Tensor]:
    """The frames of a case before its channels, and its texts."""
    texts = {key: case.inputs[f"text.{key}"] for key in ("input_ids", "attention_mask")}
    return {"video": case.inputs["video"].transpose(1, 2), **texts}


def test_likeness_and_matching_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text and a video in one sequence, through the upper layers of the text's stack."""
    case = recorded("lavis/alpro_retrieval", tmp_path)
    model = loaded("alpro_retrieval", case)
    monkeypatch.setattr(torch, "multinomial", Drawn(case))
    model.begin_step()
    given = videos(case)
    output = model(**given)
    losses = {"loss": "loss", "vtc": "loss_vtc", "vtm": "loss_vtm", "matching": "intermediate_output.vtm_logits"}
    for ours, theirs in losses.items():
        assert agree(getattr(output, ours), case.outputs[theirs]), ours
    there = F.pad(given["attention_mask"].bool(), (0, case.config["vision"]["output_tokens"]), value=True)
    expected = case.outputs["intermediate_output.encoder_output.last_hidden_state"]
    assert agree(output.fused[: len(expected)][there], expected[there])
    output.loss.backward()
    check_gradients(model, case)


def test_answers_about_videos(tmp_path: Path) -> None:
    case = recorded("lavis/alpro_qa", tmp_path)
    model = loaded("alpro_qa", case)
    output = model(**videos(case), label=case.inputs["answers"])
    assert agree(output.scores, case.outputs["logits"])
    assert agree(output.scores, case.outputs["predict.predictions"])
    assert agree(output.loss, case.outputs["loss"])
    output.loss.backward()
    check_gradients(model, case)


@torch.no_grad()
@pytest.mark.parametrize("name", ["albef", "blip"])
def test_the_likeliest_are_looked_at_once_more(name: str, tmp_path: Path) -> None:
    case = recorded(f"lavis/{name}_retrieval", tmp_path)
    texts = {key: case.inputs[f"eval.text.{key}"] for key in ("input_ids", "attention_mask")}
    output = loaded(f"{name}_search", case).eval()(image=case.inputs["image"], **texts)
    assert agree(output.image_to_text, case.outputs["eval.score_i2t"])
    assert agree(output.text_to_image, case.outputs["eval.score_t2i"])


# Pairs with the same id belong together.
BY_ID = (
    "inputs.image_ids=classes",
    "nodes.itc.inputs.ids=image_ids",
    "nodes.itc.gather=true",
    "nodes.pairs.inputs.ids=image_ids",
)


# What is a teacher's in files of LAVIS, or stored with the weights.
TEACHERS = (
    "text_decoder_m.",
    *("visual_encoder_m.", "text_encoder_m.", "vision_proj_m.", "text_proj_m.", "cls_head_m."),
    *("image_queue", "text_queue", "queue_ptr", "idx_queue", "ptr_queue"),
)
