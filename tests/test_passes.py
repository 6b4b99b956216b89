"""Every pass leaves the results as they are: the same checkpoint, loaded through the name maps of both packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import graphvlm
from graphvlm.ir import Graph
from graphvlm.keys import dead_keys, dead_patterns
from graphvlm.passes import ALL, apply_all

from .running import GRAPHS, RUN, TINY, VARIANTS, inputs, packaged, randomise, shrinking, sizes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

LIMIT = 1e-5  # of the largest value, in float32
PASSES = (*ALL, "label_logits")
CASES = (*(f"small_{name}" for name in RUN), *VARIANTS)


@cache
def graph(case: str, switched: str, on: bool) -> Graph:
    """A small graph with one pass on or off."""
    switch = f"passes.{switched}={str(on).lower()}"
    if case in VARIANTS:
        return graphvlm.load(TINY, overrides=[*VARIANTS[case], switch])
    name = case.removeprefix("small_")
    return graphvlm.load(GRAPHS / f"{name}.yaml", overrides=[*shrinking(name), switch])


def idle(case: str, switched: str) -> bool:
    """Whether a pass finds nothing to do: the code is the same without it, and so is what it computes."""
    made = (graphvlm.render(graph(case, switched, on)) for on in (True, False))
    on, off = ({file: text for file, text in files.items() if file.endswith(".py")} for files in made)
    return on == off


class Pair(NamedTuple):
    """The models with a pass and without, with the same weights."""

    graph: Graph
    on: Any
    off: Any


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[str, str], Pair]:
    def make(case: str, switched: str) -> Pair:
        with_pass, without = (graph(case, switched, on) for on in (True, False))
        off = packaged(without).Model().eval()  # in training, a router may draw at random
        randomise(off)
        off.save_pretrained(tmp_path / "weights")
        return Pair(with_pass, packaged(with_pass).from_pretrained(tmp_path / "weights").eval(), off)

    return make


def checkpoint(model: Any) -> Any:
    """The module `checkpoint` of the package that a model is from."""
    return sys.modules[f"{type(model).__module__.rpartition('.')[0]}.checkpoint"]


def close(made: Tensor, expected: Tensor) -> bool:
    return float((made - expected).abs().max()) <= LIMIT * max(float(expected.abs().max()), 1e-30)


@pytest.mark.parametrize("switched", PASSES)
@pytest.mark.parametrize("case", CASES)
def test_outputs_are_equal(case: str, switched: str, pair: Callable[[str, str], Pair]) -> None:
    if idle(case, switched):
        return
    both = pair(case, switched)
    keywords = inputs(both.graph, sizes(both.graph, seq=11), padded=True)
    with torch.no_grad():
        made, expected = (model(**keywords)._asdict() for model in (both.on, both.off))
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        assert close(made[name], value), name


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of every parameter, under the keys of checkpoint files: what is merged comes apart again."""
    parameters = dict(model.named_parameters())
    learning = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    found = torch.autograd.grad(loss, list(learning.values()), allow_unused=True)
    by_name = dict(zip(learning, found, strict=True))
    with torch.no_grad():
        for name, parameter in parameters.items():
            gradient = by_name.get(name)
            parameter.copy_(torch.zeros_like(parameter) if gradient is None else gradient)
    return dict(checkpoint(model).references(model))


@pytest.mark.parametrize("switched", PASSES)
@pytest.mark.parametrize(
    "case",
    [
        "small_tiny",
        "small_siglip2_qwen3_8b",
        "small_prefix_clip_llama",
        "qkv_bias",
        "mixed_windows",
        "layer_kinds",
        "yarn_rope",
    ],
)
def test_gradients_are_equal(case: str, switched: str, pair: Callable[[str, str], Pair]) -> None:
    """Of the loss over some of the tokens, for every key of the checkpoint."""
    both = pair(case, switched)
    keywords = {**inputs(both.graph), "labels": labels(both.graph)}
    made, expected = (gradients(model, model.loss(**keywords)) for model in (both.on, both.off))
    assert made.keys() <= expected.keys()
    for key, value in expected.items():
        if key in made:
            scale = max(float(other.abs().max()) for name, other in expected.items() if module(name) == module(key))
            assert float((made[key] - value).abs().max()) <= LIMIT * scale, key
        else:
            assert not value.any(), f"{key} is gone, and the loss depends on it"


def module(key: str) -> str:
    """A bias is measured by its module: that of keys without rotary positions has no gradient but rounding."""
    return key.rpartition(".")[0]


def labels(of: Graph) -> Tensor:
    """Labels for some of the tokens of the text."""
    ids = inputs(of)["input_ids"]
    chosen = torch.rand(ids.shape, generator=torch.Generator().manual_seed(5)) < 0.4
    return torch.where(chosen, ids, -100)


# ---- label_logits


@pytest.mark.parametrize("case", ["small_tiny", "small_prefix_clip_llama", "tied", "whole_prefix", "text_alone"])
def test_the_loss_is_that_of_all_logits(case: str, pair: Callable[[str, str], Pair]) -> None:
    """As defined: cross entropy of token i + 1 under the logits at i, over the labels that count."""
    both = pair(case, "label_logits")
    keywords = inputs(both.graph)
    targets = labels(both.graph)
    with torch.no_grad():
        logits = both.off(**keywords).logits[:, -targets.size(1) : -1]
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())
        for model in (both.on, both.off):
            assert close(model.loss(**keywords, labels=targets), expected)


@pytest.mark.parametrize("case", ["small_tiny", "prefix", "whole_prefix", "small_siglip2_qwen3_8b"])
def test_the_head_runs_for_labels_only(case: str, pair: Callable[[str, str], Pair]) -> None:
    both = pair(case, "label_logits")
    rows: list[int] = []
    for model in (both.on, both.off):
        model.llm.head.register_forward_pre_hook(lambda _, given: rows.append(given[0].numel() // given[0].size(-1)))
        model.loss(**inputs(both.graph), labels=labels(both.graph))
    counted = int((labels(both.graph)[:, 1:] != -100).sum())
    known = sizes(both.graph)
    assert rows == [counted, prod(known.shape(both.graph.port(both.graph.outputs["logits"]).shape[:2]))]


@pytest.mark.parametrize(
    "case", ["small_tiny", "small_prefix_clip_llama", "whole_prefix", "window", "dynamic_rope", "text_alone"]
)
def test_the_prompt_needs_the_last_logits_only(case: str, pair: Callable[[str, str], Pair]) -> None:
    both = pair(case, "label_logits")
    keywords = inputs(both.graph, padded=True)
    tokens = []
    for model in (both.on.eval(), both.off.eval()):
        generate = sys.modules[f"{type(model).__module__.rpartition('.')[0]}.generate"].generate
        tokens.append(generate(model, keywords.pop("input_ids"), **keywords, max_new_tokens=6, eos_token_id=None))
        keywords = inputs(both.graph, padded=True)
    assert tokens[0].shape[1] == keywords["input_ids"].shape[1] + 6
    assert torch.equal(*tokens)


# ---- merge_projections


def test_projections_are_merged_where_they_can_be() -> None:
    def matrices(case: str, node: str = "llm") -> set[str]:
        spec = apply_all(graph(case, "merge_projections", True)).nodes[node].spec
        return {
            found.path.split(".")[-2] for found in spec.parameters() if ".attn.w" in found.path or ".mlp." in found.path
        }

    assert matrices("small_tiny") == {"wqkv", "wo", "gate_up", "down"}
    assert matrices("small_tiny", "vision") == {"wqkv", "wo", "up", "down"}
    assert matrices("query_bias") == {"wq", "wk", "wv", "wo", "gate_up", "down"}
    assert matrices("tensor_parallel") == {"wq", "wk", "wv", "wo", "gate", "up", "down"}
    assert matrices("tensor_parallel", "vision") == {"wqkv", "wo", "up", "down"}


def test_what_is_frozen_in_part_is_not_merged() -> None:
    frozen = graphvlm.load(TINY, overrides=['freeze=["llm.layers.*.attn.wq"]'])
    model = packaged(frozen).Model()
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == {
        "llm.layers.0.attn.wq.weight",
        "llm.layers.1.attn.wq.weight",
    }


def test_different_heads_in_one_stack_come_apart_as_they_were(tmp_path: Path) -> None:
    """Layers whose merged matrices have other shares than those of the rest."""
    where = "{at: [1], attention: {kv_heads: 3}}, {at: [2], attention: {kv_heads: 6}}"
    change = f"nodes.llm.layers={{count: 4, where: [{where}]}}"
    apart, merged = (
        packaged(graphvlm.load(TINY, overrides=[change, f"passes.merge_projections={flag}"]))
        for flag in ("false", "true")
    )
    model = apart.Model()
    randomise(model)
    model.save_pretrained(tmp_path)
    keywords = inputs(graphvlm.load(TINY))
    with torch.no_grad():
        assert close(merged.from_pretrained(tmp_path)(**keywords).logits, model(**keywords).logits)


# ---- dead_layers


def dead_cases() -> Iterator[str]:
    for case in CASES:
        if apply_all(graph(case, "dead_layers", True)).dead:
            yield case


@pytest.mark.parametrize("case", list(dead_cases()))
def test_the_keys_of_what_is_dead_are_named(case: str, pair: Callable[[str, str], Pair], tmp_path: Path) -> None:
    """What a package leaves out of a checkpoint is what it says: by pattern, and key by key."""
    both = pair(case, "dead_layers")
    both.on.save_pretrained(tmp_path / "on")
    off, on = (load_file(tmp_path / name / "model.safetensors") for name in ("weights", "on"))
    assert on.keys() < off.keys()
    gone = off.keys() - on.keys()
    rewritten = apply_all(both.graph)
    assert {key: tuple(off[key].shape) for key in gone} == dead_keys(rewritten)
    unused = checkpoint(both.on).UNUSED
    assert set(dead_patterns(rewritten)) <= set(unused)
    assert {key for key in off if any(fnmatchcase(key, pattern) for pattern in dead_patterns(rewritten))} == gone
    assert rewritten.parameter_count + sum(off[key].numel() for key in gone) == both.graph.parameter_count


def test_the_readme_names_what_is_dead() -> None:
    readme = graphvlm.render(graphvlm.load(GRAPHS / "llava_1_5_7b.yaml"))["README.md"]
    assert "`vision.layers.23`, in checkpoints `vision_tower.encoder.layers.23.*`" in readme
    assert "`vision.norm`, in checkpoints `vision_tower.post_layernorm.*`" in readme
    assert "12,598,272 parameters" in readme


def test_llava_with_its_dead_layers_is_the_reference() -> None:
    """7B on meta: with dead layers every key and shape of the reference, without them less those two modules."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    whole = graphvlm.load(GRAPHS / "llava_1_5_7b.yaml", overrides=["passes.dead_layers=false"])
    text = transformers.LlamaConfig(vocab_size=32064, rms_norm_eps=1e-5, max_position_embeddings=4096)
    with torch.device("meta"):
        model = packaged(whole).Model()
        theirs = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(text_config=text))
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted == sum(parameter.numel() for parameter in theirs.parameters()) == 7_063_427_072
    spelled = {checkpoint(model).in_files(key): tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in checkpoint(model).references(model)} == spelled
    pruned = graphvlm.load(GRAPHS / "llava_1_5_7b.yaml")
    assert counted - apply_all(pruned).parameter_count == 12_598_272
