"""The directory for transformers: what it gives, what its sources must be, what has no form there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graphvlm.diagnostics import GraphError
from graphvlm.exporters.hub import Exported
from graphvlm.rendering import render_hub

from ..packages import lint
from . import contract, judging
from .directories import ODD, golden, loaded, prompted

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "own_modules")]

# Ready graphs at a tiny size: positions by grids with features between layers, and images that are seen as a whole.
READY = ("qwen3_vl_4b", "gemma_3_4b")
LONG = (
    "qwen2_5_vl_7b",
    "glm_4_1v_9b",
    "paligemma_3b",
    "speech",
    "sliding_sandwich",
    "chunked_experts",
    "sparse_latent",
    "gated_parallel",
    "tiles",
)


@pytest.mark.parametrize("name", ["tiny", ODD, *READY, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)])
def test_a_process_without_graphvlm_gives_what_the_package_gives(made: Callable[[str], Exported], name: str) -> None:
    """Logits of a batch with padding, and greedy text with the cache of `transformers`."""
    found = made(name).checked
    assert found is not None
    assert found.difference <= 1e-5
    assert found.same
    assert found.tokens >= 2


@pytest.mark.parametrize("name", ["tiny", ODD, *READY, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)])
def test_every_clause_of_the_contract(made: Callable[[str], Exported], name: str) -> None:
    assert contract.broken(contract.Directory(made(name).folder)) == {}


@pytest.mark.parametrize(
    "name", ["tiny", ODD, *READY, "speech", "sliding_sandwich", "chunked_experts", "sparse_latent", "gated_parallel"]
)
def test_the_code_is_laid_out(name: str, tmp_path: Path) -> None:
    """Lists on classes are what `transformers` wants there."""
    for file, text in render_hub(golden(name)).items():
        (tmp_path / file).write_text(text)
    said = [line for line in lint(tmp_path).splitlines() if "RUF012" not in line]
    assert [line for line in said if not line.startswith("Found ")] == []


# Clause, file, what stands there, and what breaks the clause.
BENT = [
    (
        "attention_backend",
        "language_model.py",
        "_supports_attention_backend = True",
        "_supports_attention_backend = False",
    ),
    ("keywords_reach_attention", "language_model.py", "rope, mask, cache, **kwargs)", "rope, mask, cache)"),
    ("one_call_of_the_interface", "language_model.py", "scaling=self.scaling", "scaling=self.head_dim**-0.5"),
    ("dispatching_modules", "language_model.py", "Attention(config, layer_idx)", "Attention(config, 0)"),
    ("activations_are_modules", "language_model.py", "self.act_fn(self.gate_proj(x))", "F.silu(self.gate_proj(x))"),
    ("projections_are_siblings", "language_model.py", "v = self.v_proj(x)", "v = self.v_proj(1 * x)"),
    ("tensor_parallel_plan", "configuration_tiny.py", "attn.q_proj", "attention.q_proj"),
    ("pipeline_plan", "configuration_tiny.py", '"norm": (', '"final": ('),
    ("placeholders_are_named", "configuration_tiny.py", "def image_token_id", "def image_token_number"),
    ("features_are_pooled", "modeling_tiny.py", "Pooling(pooler_output=", "Pooling(last_hidden_state="),
    ("auto_map", "config.json", "TinyModel", "TinyForConditionalGeneration"),
    ("head_is_of_the_text", "modeling_tiny.py", "logits = self.lm_head(", "logits = 2 * self.lm_head("),
    ("layers_are_swapped", "vision_tower.py", "nn.LayerNorm(", 'type("Own", (nn.LayerNorm,), {})('),
    ("experts_are_recognised", "language_model.py", "top_k_weights: Tensor,", "share: Tensor,"),
    ("positions_by_grids", "modeling_qwen3_vl_4b.py", "return positions, behind - length", "return positions, behind"),
]


@pytest.mark.parametrize("bent", BENT, ids=[row[0] for row in BENT])
def test_a_clause_that_is_broken_is_found(
    made: Callable[[str], Exported], tmp_path: Path, bent: tuple[str, str, str, str]
) -> None:
    """Checks that could not fail would be worth nothing."""
    clause, file, right, wrong = bent
    folder = tmp_path / clause
    of = "qwen3_vl_4b" if "qwen" in file else "linear_hybrid" if "experts" in clause else "tiny"
    shutil.copytree(made(of).folder, folder)
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong))
    if "F.silu" in wrong:
        (folder / file).write_text("import torch.nn.functional as F\n" + text.replace(right, wrong))
    assert clause in contract.broken(contract.Directory(folder))


def test_caches_of_transformers(made: Callable[[str], Exported]) -> None:
    """A static cache and beams of two give what they give without one."""
    model = loaded(made("tiny").folder)
    ids = torch.tensor([[1, *[99] * 16, 5, 6], [0, 1, *[99] * 16, 5]])
    mask, pixels = (ids != 0).long(), torch.randn(2, 3, 56, 56)
    given = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels, "max_new_tokens": 5, "do_sample": False}
    whole = model.generate(**given, use_cache=False, eos_token_id=None)
    assert torch.equal(model.generate(**given, eos_token_id=None), whole)
    assert torch.equal(model.generate(**given, cache_implementation="static", eos_token_id=None), whole)
    beams = model.generate(**given, num_beams=2, eos_token_id=None)
    assert torch.equal(model.generate(**given, num_beams=2, use_cache=False, eos_token_id=None), beams)


def test_a_model_that_was_loaded_is_saved_and_loaded(made: Callable[[str], Exported], tmp_path: Path) -> None:
    model = loaded(made("tiny").folder)
    model.save_pretrained(tmp_path / "again")
    again = loaded(tmp_path / "again")
    ids = torch.tensor([[1, 4, 5]])
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


def test_the_trainer_runs(made: Callable[[str], Exported], tmp_path: Path) -> None:
    """Two steps, with checkpointing of gradients; every weight but the tower's unread ones moves."""
    pytest.importorskip("accelerate", reason="the Trainer of transformers needs accelerate")
    from transformers import Trainer, TrainingArguments

    model = loaded(made("tiny").folder)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    ids = torch.tensor([1, *[99] * 16, 5, 6, 7])
    labels = ids.masked_fill(ids == 99, -100)
    row = {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(3, 56, 56),
    }
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        gradient_checkpointing=True,
        disable_tqdm=True,
    )
    done = Trainer(model=model, args=arguments, train_dataset=[row] * 4).train()
    assert done.global_step == 2
    still = [name for name, tensor in model.named_parameters() if torch.equal(tensor, before[name])]
    assert still == []


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("paired_frames", "positions that follow from `merger.grid`, which is encoded first"),
        ("segments", "several segments at ports of their own, in `llm`"),
    ],
)
def test_what_has_no_form_is_named(name: str, named: str) -> None:
    with pytest.raises(GraphError) as caught:
        render_hub(golden(name))
    assert {each.rule for each in caught.value.diagnostics} == {"outside-profile"}
    assert any(named in each.message for each in caught.value.diagnostics)
    assert all(
        each.span is not None and each.help for each in caught.value.diagnostics if "this graph" not in each.message
    )


def test_text_alone_is_a_causal_language_model() -> None:
    found = json.loads(render_hub(judging.graph("gemma_2_9b"))["config.json"])
    assert {*found["auto_map"]} == {"AutoConfig", "AutoModel", "AutoModelForCausalLM"}
    assert found["final_logit_softcapping"] == 30.0
    assert "text_config" not in found
    found = json.loads(render_hub(golden("sliding_sandwich"))["config.json"])
    assert {*found["layer_types"]} == {"sliding_attention", "full_attention"}


def test_a_processor_makes_what_the_model_takes(tmp_path: Path) -> None:
    """A chat with an image, and a batch of texts with one and with two; counts before the model runs."""
    from PIL import Image
    from transformers import AutoProcessor

    folder = prompted(tmp_path / "x")
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    image = Image.effect_noise((100, 80), 64).convert("RGB")
    content = [{"type": "image", "image": image}, {"type": "text", "text": "hello"}]
    given = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert given["input_ids"].tolist() == [[3, 5, 6, *[99] * 16, 4]]
    assert given["pixel_values"].shape == (1, 3, 56, 56)
    assert processor._get_num_multimodal_tokens(image_sizes=[(80, 100)]).num_image_tokens == [16]

    model = loaded(folder)
    assert model.generate(**given, max_new_tokens=3, do_sample=False).shape[1] > 20
    batch = processor(
        images=[[image], [image, image]],
        text=["<image> hello", "hello <image> <image>"],
        return_tensors="pt",
        padding=True,
        return_text_replacement_offsets=True,
    )
    offsets = batch.pop("text_replacement_offsets")
    assert [len(row) for row in offsets] == [1, 2]
    assert offsets[0][0]["replacement"] == "[" + "<image>" * 16
    assert batch["pixel_values"].shape == (3, 3, 56, 56)
    assert (batch["input_ids"] == 99).sum(dim=1).tolist() == [16, 32]
    with torch.no_grad():
        assert model(**batch).logits.shape[:2] == batch["input_ids"].shape


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """The most common failure of all, said before there is a batch."""
    from transformers import AutoProcessor

    with pytest.raises(ValueError, match="<image> is token 98 of the tokenizer, and 99 for the model"):
        AutoProcessor.from_pretrained(prompted(tmp_path / "x", 98), trust_remote_code=True)
