"""Checkpoints: shards, parts from different directories, one error for all problems, types, the way back."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import graphvlm

from .running import TINY, inputs, packaged, randomise, small, variant

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@cache
def package(name: str = "tiny") -> Any:
    return packaged(small(name) if name == "tiny" else variant(name))


def checkpoint(name: str = "tiny") -> Any:
    return sys.modules[f"{package(name).__name__}.checkpoint"]


def made(seed: int = 0, name: str = "tiny") -> Any:
    """A model with random weights."""
    model = package(name).Model()
    randomise(model, seed)
    return model


def saved(folder: Path, seed: int = 0, name: str = "tiny") -> dict[str, Tensor]:
    """The weights of a random model, written to `folder`."""
    made(seed, name).save_pretrained(folder)
    return load_file(folder / WHOLE)


def equal(left: Any, right: Any) -> bool:
    ours, theirs = left.state_dict(), right.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


# ---- shards


def test_shards_are_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint(), "SHARD_BYTES", 50_000)
    model = made()
    model.save_pretrained(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    shards = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    assert all(re.fullmatch(rf"model-\d{{5}}-of-{len(shards):05d}\.safetensors", name) for name in shards)
    assert set(index["weight_map"].values()) == set(shards)
    assert index["metadata"]["total_size"] == sum(parameter.nbytes for parameter in model.parameters())
    for name in shards:
        keys = load_file(tmp_path / name)
        assert keys.keys() == {key for key, file in index["weight_map"].items() if file == name}
        assert sum(tensor.nbytes for tensor in keys.values()) <= 50_000 or len(keys) == 1
    assert equal(package().from_pretrained(tmp_path), model)


def test_a_later_save_leaves_nothing_of_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"mine")
    for bytes_, seed in ((5 * 1024**3, 1), (50_000, 2), (20_000, 3), (5 * 1024**3, 4)):
        monkeypatch.setattr(checkpoint(), "SHARD_BYTES", bytes_)
        model = made(seed)
        model.save_pretrained(tmp_path)
        assert equal(package().from_pretrained(tmp_path), model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_model.safetensors", WHOLE, "tokenizer.json"]


def test_files_beside_the_weights_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published directories hold the same weights twice, in other formats and under other names."""
    monkeypatch.setattr(checkpoint(), "SHARD_BYTES", 50_000)
    model = made()
    model.save_pretrained(tmp_path)
    save_file({"layers.0.attention.wq.weight": torch.zeros(2)}, tmp_path / "consolidated.safetensors")
    assert equal(package().from_pretrained(tmp_path), model)


def test_any_file_name_will_do(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / WHOLE).rename(tmp_path / "weights.safetensors")
    assert equal(package().from_pretrained(str(tmp_path)), made())


@pytest.mark.parametrize("name", ["transformers_llava", "transformers_sharded"])
def test_what_transformers_saved_loads(name: str, tmp_path: Path) -> None:
    model = theirs()
    model.save_pretrained(tmp_path, **({"max_shard_size": "60KB"} if name.endswith("sharded") else {}))
    assert (tmp_path / INDEX).exists() is name.endswith("sharded")
    ours = package().from_pretrained(tmp_path).eval()
    assert_agreement(ours, model)


def theirs() -> Any:
    """The tiny graph as a model of transformers, with random weights."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    vision = transformers.CLIPVisionConfig(
        hidden_size=24, intermediate_size=44, num_hidden_layers=3, num_attention_heads=3, image_size=42, patch_size=14
    )
    text = transformers.LlamaConfig(
        vocab_size=101,
        hidden_size=48,
        intermediate_size=72,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=20,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        pad_token_id=None,
    )
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=97)
    model = transformers.LlavaForConditionalGeneration(config).eval()
    randomise(model, 11)
    return model


def assert_agreement(ours: Any, reference: Any) -> None:
    keywords = inputs(small("tiny"))
    with torch.no_grad():
        expected = reference(**keywords).logits
        assert float((ours(**keywords).logits - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_there_and_back_again(tmp_path: Path) -> None:
    """What we save, transformers loads; the weights of the dead layer are its own."""
    reference = theirs()
    reference.save_pretrained(tmp_path / "theirs")
    ours = made(3).eval()
    ours.save_pretrained(tmp_path / "ours")
    shutil.copy(tmp_path / "theirs" / "config.json", tmp_path / "ours")
    loaded, report = type(reference).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert all("layers.2." in key or "post_layernorm" in key for key in report["missing_keys"])
    assert_agreement(ours, loaded.eval())


def test_buffers_are_not_saved(tmp_path: Path) -> None:
    keys = saved(tmp_path)
    assert len(keys) == sum(len(names) for names in checkpoint_keys().values())
    assert not [key for key in keys if key.endswith((".cos", ".sin"))]


def checkpoint_keys() -> dict[str, list[str]]:
    """Our parameter -> the keys that it is made of."""
    found: dict[str, list[str]] = {}
    for path, parameter in package().Model().named_parameters():
        single = torch.nn.Module()
        container = single
        for part in path.split(".")[:-1]:
            child = torch.nn.Module()
            container.add_module(part, child)
            container = child
        container.register_parameter(path.rpartition(".")[2], parameter)
        found[path] = [key for key, _ in checkpoint().references(single)]
    return found


# ---- parts


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path, dict[str, Tensor], dict[str, Tensor]]:
    """Two checkpoints of the whole, and their tensors."""
    return tmp_path / "a", tmp_path / "b", saved(tmp_path / "a", 1), saved(tmp_path / "b", 2)


def of(keys: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in keys.items() if key.startswith(prefix)}


def holds(model: Any, keys: dict[str, Tensor], prefix: str) -> bool:
    """Whether a model has the weights of a checkpoint below a prefix."""
    found = dict(checkpoint().references(model))
    wanted = {key: tensor for key, tensor in keys.items() if key.startswith(prefix)}
    return bool(wanted) and all(torch.equal(found[key], tensor) for key, tensor in wanted.items())


def test_parts_of_two_wholes(two: tuple[Path, Path, dict[str, Tensor], dict[str, Tensor]]) -> None:
    a, b, first, second = two
    model = package().from_pretrained({"vision": a, "llm": b})
    assert holds(model, first, "vision_tower.")
    assert holds(model, second, "language_model.")
    assert not holds(model, first, "multi_modal_projector.")
    assert not holds(model, second, "multi_modal_projector.")
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    assert all(float(parameter.detach().std()) > 0 for parameter in model.projector.parameters())
    assert bool(model(**inputs(small("tiny"))).logits.isfinite().all())


def test_parts_alone(two: tuple[Path, Path, dict[str, Tensor], dict[str, Tensor]], tmp_path: Path) -> None:
    """A directory that holds nothing but the part, without the prefix it has in a whole."""
    _, b, first, second = two
    for name, prefix in (("tower", "vision_tower."), ("text", "language_model.")):
        (tmp_path / name).mkdir()
        save_file(of(first, prefix), tmp_path / name / WHOLE)
    model = package().from_pretrained({"vision": tmp_path / "tower", "llm": str(tmp_path / "text"), "projector": b})
    assert holds(model, first, "vision_tower.")
    assert holds(model, first, "language_model.")
    assert holds(model, second, "multi_modal_projector.")


def test_parts_that_transformers_saved(tmp_path: Path) -> None:
    """A whole CLIP, with the text tower that nobody wants, and a language model of its own."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    reference = theirs()
    text = transformers.LlamaForCausalLM(reference.config.text_config)
    clip = transformers.CLIPModel(
        transformers.CLIPConfig(
            vision_config=reference.config.vision_config.to_dict(),
            text_config={"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1},
        )
    )
    for model, name in ((text, "text"), (clip, "clip")):
        randomise(model, len(name))
        model.save_pretrained(tmp_path / name)
    reference.model.language_model.load_state_dict(text.model.state_dict())
    reference.lm_head.load_state_dict(text.lm_head.state_dict())
    reference.model.vision_tower.load_state_dict(clip.vision_model.state_dict(), strict=False)
    reference.save_pretrained(tmp_path / "whole")
    ours = package().from_pretrained(
        {"vision": tmp_path / "clip", "llm": tmp_path / "text", "projector": tmp_path / "whole"}
    )
    assert_agreement(ours.eval(), reference)


def test_one_part_is_enough(two: tuple[Path, Path, dict[str, Tensor], dict[str, Tensor]]) -> None:
    a, _, first, _ = two
    torch.manual_seed(1)
    model = package().from_pretrained({"vision": a})
    assert holds(model, first, "vision_tower.")
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    assert float(model.text.weight.detach().std()) > 0
    assert torch.equal(model.llm.norm.weight, torch.ones(48))


def test_no_such_part(two: tuple[Path, Path, dict[str, Tensor], dict[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match=r"no part 'tower'; the parts are vision, projector, llm"):
        package().from_pretrained({"tower": two[0]})


# ---- problems


def changed(folder: Path, **tensors: Tensor | None) -> Path:
    """A checkpoint with some keys changed or, for None, gone; `__` stands for a dot."""
    keys = saved(folder)
    for name, tensor in tensors.items():
        key = name.replace("__", ".")
        if tensor is None:
            del keys[key]
        else:
            keys[key] = tensor
    save_file(keys, folder / WHOLE)
    return folder


def problems(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ValueError, match="does not fit") as caught:
        call()
    return sorted(line.strip() for line in str(caught.value).splitlines()[1:])


def test_every_problem_is_in_one_error(tmp_path: Path) -> None:
    folder = changed(
        tmp_path,
        language_model__lm_head__weight=None,
        multi_modal_projector__linear_1__bias=None,
        vision_tower__pre_layrnorm__weight=torch.zeros(25),
        language_model__model__layers__0__self_attn__k_proj__weight=torch.zeros(41, 48),
        language_model__model__layers__2__mlp__up_proj__weight=torch.zeros(2),
        multi_modal_projector__linear_3__bias=torch.zeros(2),
    )
    assert problems(lambda: package().from_pretrained(folder)) == [
        "misshapen: language_model.model.layers.0.self_attn.k_proj.weight is (41, 48), not (40, 48)",
        "misshapen: vision_tower.pre_layrnorm.weight is (25,), not (24,)",
        "missing: language_model.lm_head.weight",
        "missing: multi_modal_projector.linear_1.bias",
        "unexpected: language_model.model.layers.2.mlp.up_proj.weight",
        "unexpected: multi_modal_projector.linear_3.bias",
    ]


def test_problems_of_parts_are_in_one_error_too(tmp_path: Path) -> None:
    a = changed(tmp_path / "a", vision_tower__pre_layrnorm__weight=None, language_model__lm_head__weight=torch.zeros(3))
    b = changed(tmp_path / "b", language_model__lm_head__weight=torch.zeros(3), vision_tower__pre_layrnorm__weight=None)
    found = problems(lambda: package().from_pretrained({"vision": a, "llm": b}))
    assert found == [
        "misshapen: language_model.lm_head.weight is (3,), not (101, 48) (llm)",
        "missing: vision_tower.pre_layrnorm.weight (vision)",
    ]


def test_what_is_dead_may_be_there_or_not(tmp_path: Path) -> None:
    whole = packaged(graphvlm.load(TINY, overrides=["passes.dead_layers=false"])).Model()
    randomise(whole)
    whole.save_pretrained(tmp_path)
    assert set(saved(tmp_path / "pruned")) < set(load_file(tmp_path / WHOLE))
    tiny = packaged(graphvlm.load(TINY))
    assert equal(tiny.from_pretrained(tmp_path), tiny.from_pretrained(tmp_path))


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_no_weights(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=where):
        package().from_pretrained(tmp_path / where)


def test_a_shard_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint(), "SHARD_BYTES", 50_000)
    made().save_pretrained(tmp_path)
    lost = sorted(tmp_path.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=lost.name):
        package().from_pretrained(tmp_path)


# ---- types and devices


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_type_of_the_files_is_the_default(dtype: torch.dtype, tmp_path: Path) -> None:
    model = made().to(dtype)
    model.save_pretrained(tmp_path)
    loaded = package().from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {dtype}
    assert equal(loaded, model)


def test_the_type_may_be_chosen(tmp_path: Path) -> None:
    model = made()
    model.save_pretrained(tmp_path)
    loaded = package().from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in (*loaded.parameters(), *loaded.buffers())} == {torch.bfloat16}
    assert equal(loaded, model.to(torch.bfloat16))
    assert bool(loaded(**half(inputs(small("tiny")))).logits.isfinite().all())


def half(keywords: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.bfloat16() if value.is_floating_point() else value for key, value in keywords.items()}


def test_tables_are_as_if_built_in_that_type(tmp_path: Path) -> None:
    """Computed in float32 and rounded once."""
    made().save_pretrained(tmp_path)
    exact = package().from_pretrained(tmp_path, dtype=torch.float64)
    assert [name for name, _ in exact.named_buffers()] == ["llm.rope.cos", "llm.rope.sin"]
    rounded = package().from_pretrained(tmp_path, dtype=torch.bfloat16)
    plain = package().from_pretrained(tmp_path)
    for name, buffer in plain.named_buffers():
        assert torch.equal(rounded.get_buffer(name), buffer.bfloat16())


def test_mixed_types_become_one(tmp_path: Path) -> None:
    keys = {key: tensor if "norm" in key else tensor.bfloat16() for key, tensor in saved(tmp_path).items()}
    save_file(keys, tmp_path / WHOLE)
    assert len({parameter.dtype for parameter in package().from_pretrained(tmp_path).parameters()}) == 1


def test_frozen_stays_frozen(tmp_path: Path) -> None:
    saved(tmp_path, name="frozen")
    loaded = package("frozen").from_pretrained(tmp_path)
    assert not any(parameter.requires_grad for parameter in loaded.vision.parameters())
    assert all(parameter.requires_grad for parameter in loaded.projector.parameters())


def test_loading_draws_nothing_that_it_need_not(tmp_path: Path) -> None:
    """A whole checkpoint leaves no room for random weights."""
    saved(tmp_path)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    package().from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
