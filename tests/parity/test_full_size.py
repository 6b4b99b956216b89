"""Checkpoints of published sizes: exactly the keys and shapes that the reference has on the meta device.

The reference's own conversion gives the keys that it writes to files. What it writes and a package does not read must
be among the keys that the package names as unused.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the oracle of these tests is not installed")

import torch

import graphvlm
from graphvlm.importers import import_config
from graphvlm.importers.huggingface.models import ARCHITECTURES, ENCODERS
from graphvlm.keys import dead_patterns, ignored_patterns
from graphvlm.passes import apply_all
from graphvlm.weights import expected

from ..published import ENCODER_DECODERS, LLAMAS, MASKED, MODELS, TEXT_ENCODERS, TEXTS, Published

pytestmark = pytest.mark.slow

TEXT_CONFIGS = {name: Published("", "", *config) for name, config in LLAMAS.items()}
TEXT_CONFIGS |= TEXTS | TEXT_ENCODERS | MASKED | ENCODER_DECODERS


def one_size_of_each(configs: dict[str, Published]) -> list[Any]:
    """The first of every type of model; its other sizes when `-m long` asks for them."""
    kinds = [
        (each.config["model_type"], each.config.get("text_config", {}).get("model_type")) for each in configs.values()
    ]
    return [
        pytest.param(name, marks=[pytest.mark.long] if kind in kinds[:index] else [])
        for index, (name, kind) in enumerate(zip(configs, kinds, strict=True))
    ]


def reference(config: dict[str, Any]) -> tuple[dict[str, tuple[int, ...]], int]:
    """Key -> shape of the files of the reference, and its number of parameters and of balancing biases of experts."""
    import transformers
    from transformers.core_model_loading import revert_weight_conversion

    made = transformers.AutoConfig.for_model(**json.loads(json.dumps(config)))
    (name,) = config.get("architectures", (ARCHITECTURES[config["model_type"]],))
    with torch.device("meta"):
        model = getattr(transformers, name)(made)
    text = config.get("text_config", config)
    if text["model_type"] in ENCODERS and text.get("tie_word_embeddings") is False:
        # these classes tie the head whatever their file says, until they find one of its own there
        language = getattr(model, "language_model", model)
        language.lm_head.weight = torch.nn.Parameter(language.lm_head.weight.detach())
    balance = [buffer for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias")]
    files = revert_weight_conversion(model, model.state_dict())
    count = sum(tensor.numel() for tensor in (*model.parameters(), *balance))
    return {key: tuple(tensor.shape) for key, tensor in files.items()}, count


def check(published: Published, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(published.config))
    (folder / "imported.yaml").write_text(import_config(folder), encoding="utf-8")
    whole = graphvlm.load(folder / "imported.yaml")
    graph, ours = apply_all(whole), expected(whole)
    theirs, count = reference(published.config)
    assert {key: shape for key, shape in ours.items() if theirs.get(key) != shape} == {}
    unused = (*dead_patterns(graph), *ignored_patterns(graph))
    assert {key for key in theirs.keys() - ours.keys() if not any(fnmatchcase(key, each) for each in unused)} == set()
    assert whole.parameter_count == count == published.parameters


@pytest.mark.parametrize("name", one_size_of_each(TEXT_CONFIGS))
def test_text(name: str, tmp_path: Path) -> None:
    check(TEXT_CONFIGS[name], tmp_path)


@pytest.mark.parametrize("name", one_size_of_each(MODELS))
def test_several_modalities(name: str, tmp_path: Path) -> None:
    check(MODELS[name], tmp_path)
