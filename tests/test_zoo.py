"""The shipped parts are what the published configs say, with the published numbers of parameters; the graphs load."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
import yaml

import graphvlm
from graphvlm.importers import import_config
from graphvlm.keys import entries, shapes

from .published import TEXTS
from .test_zoo_native import PARTS as PARTS_OF_GRAPHS
from .test_zoo_text import PARTS as TEXT_PARTS
from .test_zoo_windowed import PARTS as WINDOWED_PARTS

ROOT = Path(__file__).parents[1]
GRAPHS = sorted((ROOT / "graphs").glob("*.yaml"))
CATALOG = ROOT / "graphs" / "catalog"


def llama(dim: int, hidden: int, layers: int, heads: int, **fields: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        **fields,
    }


def llama3(dim: int, hidden: int, layers: int, heads: int, factor: float = 0.0, **fields: Any) -> dict[str, Any]:
    scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    base: dict[str, Any] = {"vocab_size": 128256, "num_key_value_heads": 8, "rope_theta": 500000.0}
    base["max_position_embeddings"] = 131072 if factor else 8192
    base["rope_scaling"] = scaling | {"original_max_position_embeddings": 8192} if factor else None
    return llama(dim, hidden, layers, heads, **base, **fields)


def mistral(**fields: Any) -> dict[str, Any]:
    sizes = {"model_type": "mistral", "num_key_value_heads": 8, "max_position_embeddings": 32768}
    return llama(4096, 14336, 32, 32, **{**sizes, **fields})


def qwen2(dim: int, hidden: int, layers: int, heads: int, shared: int, **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"model_type": "qwen2", "vocab_size": 151936, "num_key_value_heads": shared}
    base |= {
        "tie_word_embeddings": True,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-06,
        "max_position_embeddings": 32768,
    }
    base |= {"use_sliding_window": False, "sliding_window": 32768, "max_window_layers": layers}
    return llama(dim, hidden, layers, heads, **{**base, **fields})


def qwen3(dim: int, hidden: int, layers: int, heads: int, tied: bool = True) -> dict[str, Any]:
    base: dict[str, Any] = {"model_type": "qwen3", "vocab_size": 151936, "num_key_value_heads": 8, "head_dim": 128}
    base |= {
        "tie_word_embeddings": tied,
        "rope_theta": 1000000,
        "rms_norm_eps": 1e-06,
        "max_position_embeddings": 40960,
    }
    base |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": layers, "attention_bias": False}
    return llama(dim, hidden, layers, heads, **base)


def tower(kind: str, *sizes: int) -> dict[str, Any]:
    names = ["image_size", "patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
    return {"model_type": f"{kind}_vision_model", **dict(zip(names, sizes, strict=True))}


# part -> published config and number of parameters; SigLIP towers without their pooling head (with it: 428,225,600)
DECODERS: dict[str, tuple[dict[str, Any], int]] = {
    "vicuna_7b": (llama(4096, 11008, 32, 32, vocab_size=32064), 6_738_939_904),
    "vicuna_13b": (llama(5120, 13824, 40, 40, vocab_size=32064), 13_016_519_680),
    "llama_2_7b": (llama(4096, 11008, 32, 32), 6_738_415_616),
    "llama_2_13b": (llama(5120, 13824, 40, 40), 13_015_864_320),
    "llama_3_8b": (llama3(4096, 14336, 32, 32), 8_030_261_248),
    "llama_3_1_8b": (llama3(4096, 14336, 32, 32, factor=8.0), 8_030_261_248),
    "llama_3_2_1b": (llama3(2048, 8192, 16, 32, factor=32.0, tie_word_embeddings=True), 1_235_814_400),
    "llama_3_2_3b": (llama3(3072, 8192, 28, 24, factor=32.0, tie_word_embeddings=True), 3_212_749_824),
    "mistral_7b_v0_1": (mistral(sliding_window=4096), 7_241_732_096),
    "mistral_7b_v0_3": (mistral(sliding_window=None, vocab_size=32768, rope_theta=1e6), 7_248_023_552),
    "ministral_3b": (
        llama(3072, 8192, 30, 32, num_key_value_heads=8, head_dim=128, vocab_size=131072)
        | {"max_position_embeddings": 131072, "rope_theta": 1e8},
        4_014_136_320,
    ),
    "qwen2_5_0_5b": (qwen2(896, 4864, 24, 14, 2), 494_032_768),
    "qwen2_5_1_5b": (qwen2(1536, 8960, 28, 12, 2), 1_543_714_304),
    "qwen2_5_3b": (qwen2(2048, 11008, 36, 16, 2), 3_085_938_688),
    "qwen2_5_7b": (qwen2(3584, 18944, 28, 28, 4, vocab_size=152064, tie_word_embeddings=False), 7_615_616_512),
    "qwen2_audio_7b": (
        qwen2(4096, 11008, 32, 32, 32, vocab_size=156032, tie_word_embeddings=False, rope_theta=10000.0)
        | {"rms_norm_eps": 1e-05, "max_position_embeddings": 8192},
        7_754_878_976,
    ),
    "qwen3_0_6b": (qwen3(1024, 3072, 28, 16), 596_049_920),
    "qwen3_1_7b": (qwen3(2048, 6144, 28, 16), 1_720_574_976),
    "qwen3_4b": (qwen3(2560, 9728, 36, 32), 4_022_468_096),
    "qwen3_8b": (qwen3(4096, 12288, 36, 32, tied=False), 8_190_735_360),
    **{name: (part.config, part.parameters) for name, part in TEXTS.items()},
}
SO400M = (1152, 27, 16, 4304)
ENCODERS: dict[str, tuple[dict[str, Any], int]] = {
    "clip_vit_l_14_336": (tower("clip", 336, 14, 1024, 24, 16, 4096), 303_507_456),
    "clip_vit_l_14": (tower("clip", 224, 14, 1024, 24, 16, 4096), 303_179_776),
    "clip_vit_b_16": (tower("clip", 224, 16, 768, 12, 12, 3072), 85_799_424),
    "clip_vit_b_32": (tower("clip", 224, 32, 768, 12, 12, 3072), 87_456_000),
    "siglip_base_patch16_224": (tower("siglip", 224, 16, 768, 12, 12, 3072), 85_797_120),
    "siglip_large_patch16_384": (tower("siglip", 384, 16, 1024, 24, 16, 4096), 303_688_704),
    "siglip_so400m_patch14_384": (tower("siglip", 384, 14, *SO400M), 412_987_248),
    "siglip2_base_patch16_224": (tower("siglip", 224, 16, 768, 12, 12, 3072), 85_797_120),
    "siglip2_so400m_patch14_384": (tower("siglip", 384, 14, *SO400M), 412_987_248),
    "siglip2_so400m_patch16_384": (tower("siglip", 384, 16, *SO400M), 413_018_352),
    "siglip2_so400m_patch16_512": (tower("siglip", 512, 16, *SO400M), 413_534_448),
}
_WHISPER_OLDER = ["num_mel_bins", "d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"]
_WHISPER = ["num_mel_bins", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
SOUNDS: dict[str, tuple[dict[str, Any], int]] = {
    "voxtral_audio": (
        {"model_type": "voxtral_encoder", **dict(zip(_WHISPER, (128, 1280, 32, 20, 5120), strict=True))},
        636_968_960,
    ),
    "qwen2_audio": (
        {"model_type": "qwen2_audio_encoder", **dict(zip(_WHISPER_OLDER, (128, 1280, 32, 20, 5120), strict=True))},
        636_968_960,
    ),
}
PARTS = {**DECODERS, **ENCODERS, **SOUNDS}
# graph -> number of parameters; the reference has as many
MODELS = {"qwen2_audio_7b": 8_397_094_912, "voxtral_mini_3b": 4_676_271_104}
MODELS |= {"llava_v1_6_mistral_7b": 7_566_747_648, "llava_onevision_qwen2_7b": 8_029_890_080}
MODELS |= {"idefics3_8b_llama3": 8_462_086_384, "smolvlm2_2_2b": 2_246_784_880}
# Meta's own classes: 10.629 and 88.552 billion; transformers stores tables of tiles expanded, and has more
MODELS |= {"llama_3_2_vision_11b": 10_629_184_035, "llama_3_2_vision_90b": 88_552_318_523}
PARTS_OF_RECORDINGS = {"llama_3_2_vision_11b", "llama_3_2_vision_90b", "llama_3_2_vision_560"}
MODELS |= {path.stem: TEXTS[path.stem].parameters for path in GRAPHS if path.stem in TEXTS}


def config_of(part: str) -> dict[str, Any]:
    """The published config; a tower stands in a LLaVA, one of sound in a model of its own."""
    if part in DECODERS:
        return DECODERS[part][0]
    if part in SOUNDS:
        whole = SOUNDS[part][0]["model_type"].removesuffix("_encoder")
        return {"model_type": whole, "audio_config": SOUNDS[part][0], "audio_token_id": 24}
    strategy = "default" if part.startswith("clip") else "full"
    return {
        "model_type": "llava",
        "vision_config": ENCODERS[part][0],
        "vision_feature_select_strategy": strategy,
        "image_token_index": 31999,
    }


def alone(part: str) -> dict[str, Any]:
    """A graph of nothing but the part."""
    if part in ENCODERS:
        nodes: dict[str, Any] = {"vision": {"use": f"encoder/{part}", "inputs": "pixel_values"}}
        return {"inputs": {"pixel_values": "image"}, "nodes": nodes, "outputs": {"features": "vision"}}
    if part in SOUNDS:
        nodes = {"audio": {"use": f"encoder/{part}", "inputs": "sounds"}}
        return {"inputs": {"sounds": "audio"}, "nodes": nodes, "outputs": {"features": "audio"}}
    text = {"kind": "encoder", "type": "token_embedding", "inputs": "input_ids"}
    nodes = {"text": text, "llm": {"use": f"decoder/{part}", "inputs": "text"}}
    return {"inputs": {"input_ids": "tokens"}, "nodes": nodes, "outputs": {"logits": "llm.logits"}}


_NODE = {**dict.fromkeys(DECODERS, "llm"), **dict.fromkeys(ENCODERS, "vision"), **dict.fromkeys(SOUNDS, "audio")}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_what_the_published_config_says(part: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of(part)))
    node = yaml.safe_load(import_config(tmp_path))["nodes"][_NODE[part]]
    shipped = yaml.safe_load((CATALOG / node["kind"] / f"{part}.yaml").read_text(encoding="utf-8"))
    assert shipped.pop("description")
    assert shipped.pop("source").startswith("https://")
    assert {key: value for key, value in node.items() if key not in ("inputs", "output")} == shipped


@pytest.mark.parametrize("part", PARTS)
def test_a_part_has_the_published_number_of_parameters(part: str, tmp_path: Path) -> None:
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "name": "alone", **alone(part)}), encoding="utf-8")
    keys = shapes(entries(graphvlm.load(path)))
    assert sum(prod(shape) for shape in keys.values()) == PARTS[part][1]


@pytest.mark.parametrize("part", PARTS)
def test_the_reference_has_as_many(part: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    import torch

    config, count = PARTS[part]
    made = transformers.models.auto.configuration_auto.AutoConfig.for_model(**config)
    made.vision_use_head = False
    auto = transformers.AutoModelForCausalLM if part in DECODERS else transformers.AutoModel
    with torch.device("meta"):
        model = auto.from_config(made)
    balance = [buffer for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias")]
    assert sum(tensor.numel() for tensor in (*model.parameters(), *balance)) == count


def test_every_part_is_tested() -> None:
    shipped = {path.stem for kind in ("decoder", "encoder") for path in (CATALOG / kind).glob("*.yaml")}
    assert shipped == PARTS.keys() | PARTS_OF_GRAPHS | WINDOWED_PARTS | TEXT_PARTS | PARTS_OF_RECORDINGS


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_has_as_many_parameters_as_the_reference(name: str) -> None:
    assert graphvlm.load(ROOT / "graphs" / f"{name}.yaml").parameter_count == MODELS[name]


@pytest.mark.parametrize("path", GRAPHS, ids=[path.stem for path in GRAPHS])
def test_a_shipped_graph_is_without_fault(path: Path) -> None:
    graph = graphvlm.load(path)
    assert graph.name == path.stem


def test_tiny_is_tiny_and_odd() -> None:
    graph = graphvlm.load(ROOT / "graphs" / "tiny.yaml")
    keys = {key.name: key.shape for entry in entries(graph) for key in entry.keys}
    assert 20_000 < sum(prod(shape) for shape in keys.values()) < 100_000
