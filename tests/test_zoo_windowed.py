"""Ready graphs of models whose tower sees windows: what the published configs say, with the published counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import graphvlm
from graphvlm.importers import import_config
from graphvlm.weights import expected

GRAPHS = Path(__file__).parents[1] / "graphs"

_LLAMA = {
    "model_type": "llama",
    "vocab_size": 102400,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 30,
    "num_attention_heads": 32,
    "max_position_embeddings": 16384,
    "rms_norm_eps": 1e-06,
}
_SIGLIP = {
    "model_type": "siglip_vision_model",
    "image_size": 384,
    "patch_size": 16,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "vision_use_head": False,
}
_SAM = {"model_type": "sam_vision_model", "global_attn_indexes": [2, 5, 8, 11]}
_HYBRID = {"text_config": _LLAMA, "vision_config": _SIGLIP, "high_res_vision_config": _SAM}

# graph -> published config and number of parameters
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "deepseek_vl_7b": (
        {"model_type": "deepseek_vl_hybrid", "tie_word_embeddings": False, **_HYBRID},
        7_331_390_721,
    ),
    "got_ocr2": ({"model_type": "got_ocr2"}, 560_528_640),
}

# the decoders, and the tower of both
PARTS = frozenset(("deepseek_llm_7b", "got_ocr2_0_5b", "sam_vit_b"))


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_is_what_the_published_config_says(name: str, tmp_path: Path) -> None:
    """The same keys and shapes of a checkpoint, and the published number of parameters."""
    (tmp_path / "config.json").write_text(json.dumps(MODELS[name][0]))
    (tmp_path / "imported.yaml").write_text(import_config(tmp_path), encoding="utf-8")
    shipped = graphvlm.load(GRAPHS / f"{name}.yaml")
    imported = graphvlm.load(tmp_path / "imported.yaml")
    assert expected(shipped) == expected(imported)
    assert {name: node.spec for name, node in shipped.nodes.items()} == {
        name: node.spec for name, node in imported.nodes.items()
    }
    assert shipped.parameter_count == MODELS[name][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_reference_has_as_many(name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    import torch

    config, count = MODELS[name]
    made = transformers.AutoConfig.for_model(**json.loads(json.dumps(config)))
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(made)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
