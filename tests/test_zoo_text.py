"""Encoders of text in the catalog, and graphs of them: what the published configs say, with the published counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import graphvlm
from graphvlm.importers import import_config
from graphvlm.weights import expected

ROOT = Path(__file__).parents[1]


class Published(NamedTuple):
    """A config, as its repository has it but for the class, and how many parameters that class has."""

    config: dict[str, Any]
    parameters: int


def _bert(made: str, dim: int = 768, layers: int = 12, heads: int = 12) -> dict[str, Any]:
    sizes = {"hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {"model_type": "bert", "architectures": [made], **sizes, "intermediate_size": 4 * dim}


_ROBERTA = {
    "model_type": "roberta",
    "architectures": ["RobertaModel"],
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-05,
}

_DISTILBERT = {"model_type": "distilbert", "architectures": ["DistilBertModel"]}

# part -> the model of its config, embeddings included
ENCODERS = {
    "bert_base_uncased": Published(_bert("BertModel"), 109_482_240),
    "bert_large_uncased": Published(_bert("BertModel", 1024, 24, 16), 335_141_888),
    "roberta_base": Published(_ROBERTA, 124_645_632),
    "distilbert_base_uncased": Published(_DISTILBERT, 66_362_880),
}
MODELS = {"bert_base": Published(_bert("BertForMaskedLM"), 109_514_298)}
PARTS = frozenset(ENCODERS)


def imported(config: dict[str, Any], folder: Path) -> Path:
    """The graph of a config."""
    (folder / "config.json").write_text(json.dumps(config))
    path = folder / "imported.yaml"
    path.write_text(import_config(folder), encoding="utf-8")
    return path


@pytest.mark.parametrize("part", ENCODERS)
def test_a_part_is_what_the_published_config_says(part: str, tmp_path: Path) -> None:
    path = imported(ENCODERS[part].config, tmp_path)
    node = yaml.safe_load(path.read_text(encoding="utf-8"))["nodes"]["encoder"]
    shipped = yaml.safe_load((ROOT / "graphs" / "catalog" / "encoder" / f"{part}.yaml").read_text(encoding="utf-8"))
    assert shipped.pop("description")
    assert shipped.pop("source").startswith("https://")
    assert {key: value for key, value in node.items() if key != "inputs"} == shipped
    assert graphvlm.load(path).parameter_count == ENCODERS[part].parameters


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_is_what_the_published_config_says(name: str, tmp_path: Path) -> None:
    """The same keys and shapes of a checkpoint, and the published number of parameters."""
    shipped = graphvlm.load(ROOT / "graphs" / f"{name}.yaml")
    found = graphvlm.load(imported(MODELS[name].config, tmp_path))
    assert expected(shipped) == expected(found)
    assert {node: each.spec for node, each in shipped.nodes.items()} == {
        node: each.spec for node, each in found.nodes.items()
    }
    assert shipped.parameter_count == MODELS[name].parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ENCODERS, *MODELS])
def test_the_reference_has_as_many(name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    import torch

    config, count = {**ENCODERS, **MODELS}[name]
    (made,) = config["architectures"]
    with torch.device("meta"):
        model = getattr(transformers, made)(transformers.AutoConfig.for_model(**config))
    assert sum(parameter.numel() for parameter in model.parameters()) == count
