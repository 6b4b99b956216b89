"""Ready graphs of models that take images of any size: what the published configs say, with the published counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import graphvlm
from graphvlm.importers import import_config
from graphvlm.weights import expected

GRAPHS = Path(__file__).parents[1] / "graphs"

_TOKENS = {"image_token_id": 151655, "video_token_id": 151656}
_MERGED = {"spatial_merge_size": 2, "temporal_patch_size": 2}
_QWEN2 = {"depth": 32, "num_heads": 16, "patch_size": 14, **_MERGED}
_QWEN3 = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_heads": 16,
    "patch_size": 16,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [8, 16, 24],
    **_MERGED,
}
_SECTIONS2 = {"rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}
_SECTIONS3 = {"rope_theta": 5e6, "rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20]}}


def text(dim: int, hidden: int, layers: int, heads: int, shared: int, **fields: Any) -> dict[str, Any]:
    return {
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "rms_norm_eps": 1e-06,
        **fields,
    }


def qwen2(model_type: str, most: int, vision: dict[str, Any]) -> dict[str, Any]:
    """As published: the fields of the text beside those of the whole."""
    sizes = text(3584, 18944, 28, 28, 4, vocab_size=152064, max_position_embeddings=most, **_SECTIONS2)
    return {"model_type": model_type, **_TOKENS, **sizes, "vision_config": {**_QWEN2, **vision}}


def qwen3(model_type: str, out: int, part: dict[str, Any]) -> dict[str, Any]:
    own = {"head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 262144, **_SECTIONS3}
    vision = {"model_type": model_type, "out_hidden_size": out, **_QWEN3}
    whole = {"model_type": model_type, "tie_word_embeddings": False, **_TOKENS}
    return whole | {"text_config": {"model_type": f"{model_type}_text", **own, **part}, "vision_config": vision}


_GLM_TEXT = text(4096, 13696, 40, 32, 2, model_type="glm4v_text", vocab_size=151552, max_position_embeddings=65536)
_GLM_TEXT |= {"rms_norm_eps": 1e-05, "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
_GLM_TEXT |= {"rope_scaling": {"rope_type": "default", "mrope_section": [8, 12, 12]}}
_EXPERTS = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
_MISTRAL = text(5120, 32768, 40, 32, 8, model_type="mistral", head_dim=128, vocab_size=131072)
_MISTRAL |= {"max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 1e9, "sliding_window": None}
_PIXTRAL = {"model_type": "pixtral", "patch_size": 14, "image_size": 1540, "hidden_act": "silu"}
_SMALL = {"model_type": "mistral3", "text_config": _MISTRAL, "vision_config": _PIXTRAL, "tie_word_embeddings": False}

# graph -> published config and number of parameters
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "qwen2_vl_7b": (qwen2("qwen2_vl", 32768, {"embed_dim": 1280, "hidden_size": 3584}), 8_291_375_616),
    "qwen2_5_vl_7b": (qwen2("qwen2_5_vl", 128000, {"hidden_size": 1280, "out_hidden_size": 3584}), 8_292_166_656),
    "qwen3_vl_8b": (qwen3("qwen3_vl", 4096, text(4096, 12288, 36, 32, 8)), 8_767_123_696),
    "qwen3_vl_30b_a3b": (qwen3("qwen3_vl_moe", 2048, text(2048, 6144, 48, 32, 4, **_EXPERTS)), 31_070_754_032),
    "mistral_small_3_1_24b": (_SMALL, 24_011_361_280),
    "glm_4_1v_9b": ({"model_type": "glm4v", "text_config": _GLM_TEXT, "vision_config": {}}, 10_292_777_472),
}

# the decoder of each, and the towers
PARTS = frozenset((*MODELS, "qwen2_vl_vision", "qwen2_5_vl_vision", "qwen3_vl_vision", "glm4v_vision", "pixtral_400m"))


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_is_what_the_published_config_says(name: str, tmp_path: Path) -> None:
    """The same keys and shapes of a checkpoint, and the published number of parameters."""
    (tmp_path / "config.json").write_text(json.dumps(MODELS[name][0]))
    (tmp_path / "imported.yaml").write_text(import_config(tmp_path), encoding="utf-8")
    shipped, imported = graphvlm.load(GRAPHS / f"{name}.yaml"), graphvlm.load(tmp_path / "imported.yaml")
    # files of Qwen3-VL-MoE have the rows of experts as columns, if version 4 of transformers wrote them
    ours, theirs = ({key: sorted(shape) for key, shape in expected(each).items()} for each in (shipped, imported))
    assert ours == theirs
    assert shipped.parameter_count == MODELS[name][1]


def test_the_published_tower() -> None:
    """Qwen2.5-VL's tower with its merger."""
    nodes = graphvlm.load(GRAPHS / "qwen2_5_vl_7b.yaml").nodes
    assert nodes["vision"].parameter_count + nodes["merger"].parameter_count == 676_550_144


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
