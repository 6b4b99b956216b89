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

from .published import ENCODER_DECODERS, LLAMAS, MASKED, MODELS, TEXTS
from .published.images import TOWER, tower
from .published.sounds import TOWERS as SOUND_TOWERS
from .test_zoo_graphs import PARTS as PARTS_OF_GRAPHS
from .test_zoo_text import PARTS as TEXT_PARTS

ROOT = Path(__file__).parents[1]
GRAPHS = sorted((ROOT / "graphs").glob("*.yaml"))
CATALOG = ROOT / "graphs" / "catalog"


# part -> published config and number of parameters; SigLIP towers without their pooling head
DECODERS: dict[str, tuple[dict[str, Any], int]] = {
    **LLAMAS,
    **{name: (part.config, part.parameters) for name, part in TEXTS.items()},
}
_BASE, _LARGE = (768, 12, 12, 3072), (1024, 24, 16, 4096)
_SO400M, _GIANT = (1152, 27, 16, 4304), (1536, 40, 16, 6144)
ENCODERS: dict[str, tuple[dict[str, Any], int]] = {
    "clip_vit_l_14_336": (tower("clip", 336, 14, *_LARGE), 303_507_456),
    "clip_vit_l_14": (tower("clip", 224, 14, *_LARGE), 303_179_776),
    "clip_vit_b_16": (tower("clip", 224, 16, *_BASE), 85_799_424),
    "clip_vit_b_32": (tower("clip", 224, 32, *_BASE), 87_456_000),
    "siglip_base_patch16_224": (tower("siglip", 224, 16, *_BASE), 85_797_120),
    "siglip_base_patch16_256": (tower("siglip", 256, 16, *_BASE), 85_843_200),
    "siglip_base_patch16_384": (tower("siglip", 384, 16, *_BASE), 86_088_960),
    "siglip_base_patch16_512": (tower("siglip", 512, 16, *_BASE), 86_433_024),
    "siglip_large_patch16_256": (tower("siglip", 256, 16, *_LARGE), 303_361_024),
    "siglip_large_patch16_384": (tower("siglip", 384, 16, *_LARGE), 303_688_704),
    "siglip_so400m_patch14_224": (tower("siglip", 224, 14, *_SO400M), 412_442_352),
    "siglip_so400m_patch14_384": (tower("siglip", 384, 14, *_SO400M), 412_987_248),
    "siglip2_base_patch16_224": (tower("siglip", 224, 16, *_BASE), 85_797_120),
    "siglip2_base_patch16_256": (tower("siglip", 256, 16, *_BASE), 85_843_200),
    "siglip2_base_patch16_384": (tower("siglip", 384, 16, *_BASE), 86_088_960),
    "siglip2_base_patch16_512": (tower("siglip", 512, 16, *_BASE), 86_433_024),
    "siglip2_large_patch16_256": (tower("siglip", 256, 16, *_LARGE), 303_361_024),
    "siglip2_large_patch16_384": (tower("siglip", 384, 16, *_LARGE), 303_688_704),
    "siglip2_large_patch16_512": (tower("siglip", 512, 16, *_LARGE), 304_147_456),
    "siglip2_so400m_patch14_224": (tower("siglip", 224, 14, *_SO400M), 412_442_352),
    "siglip2_so400m_patch14_384": (tower("siglip", 384, 14, *_SO400M), 412_987_248),
    "siglip2_so400m_patch16_256": (tower("siglip", 256, 16, *_SO400M), 412_649_712),
    "siglip2_so400m_patch16_384": (tower("siglip", 384, 16, *_SO400M), 413_018_352),
    "siglip2_so400m_patch16_512": (tower("siglip", 512, 16, *_SO400M), 413_534_448),
    "siglip2_giant_opt_patch16_256": (tower("siglip", 256, 16, *_GIANT), 1_134_838_272),
    "siglip2_giant_opt_patch16_384": (tower("siglip", 384, 16, *_GIANT), 1_135_329_792),
}
SOUNDS: dict[str, tuple[dict[str, Any], int]] = {
    "voxtral_audio": (SOUND_TOWERS["voxtral_audio"], 636_968_960),
    "qwen2_audio": (SOUND_TOWERS["qwen2_audio"], 636_968_960),
}
TOWERS = {**ENCODERS, **SOUNDS}
PARTS = {**DECODERS, **TOWERS}
# graph -> number of parameters; those of several modalities are compared in test_zoo_graphs
COUNTS = {path.stem: TEXTS[path.stem].parameters for path in GRAPHS if path.stem in TEXTS and path.stem not in MODELS}
# Meta's own classes: 10.629 and 88.552 billion; transformers stores tables of tiles expanded, and has more
COUNTS |= {"llama_3_2_vision_11b": 10_629_184_035, "llama_3_2_vision_90b": 88_552_318_523}
# KempnerForge's own builder, without a norm that nothing goes through, with its adapter and the tower
COUNTS |= {"kempnerforge_mot_7b": 14_370_885_632 - 4096 + 20_979_712 + ENCODERS["clip_vit_l_14"][1]}
COUNTS |= {"kempnerforge_moma_7b": 46_852_354_048 + 20_979_712 + ENCODERS["clip_vit_l_14"][1]}
# The card of the model says 5B; the tower has what its class in transformers has, but for a norm behind it
COUNTS |= {"llava_onevision_1_5_4b": 4_741_610_528}
# What the model cards say, 4.15, 3.37, 16.1 and 27.5 billion; the last three have the head of SigLIP too, which pools
COUNTS |= {"phi_3_vision_128k": 4_146_621_440, "deepseek_vl2_tiny": 3_370_501_440 - 15_238_352}
COUNTS |= {"deepseek_vl2_small": 16_148_349_504 - 15_238_352, "deepseek_vl2": 27_480_134_248 - 15_238_352}
# A class of transformers, which tests/test_oracles_video.py compares key by key
COUNTS |= {"timesformer_k400": 121_566_352}
# What nobody published whole: the tower and the decoder, which were, and a projector of two layers between them
COUNTS |= {
    name: ENCODERS[tower][1] + DECODERS[llm][1] + (inside + 1) * out + (out + 1) * out
    for name, tower, llm, inside, out in (
        ("siglip2_qwen3_8b", "siglip2_so400m_patch16_384", "qwen3_8b", 1152, 4096),
        ("siglip_qwen2_5_7b", "siglip_so400m_patch14_384", "qwen2_5_7b", 1152, 3584),
        ("prefix_clip_llama", "clip_vit_l_14", "llama_3_2_1b", 1024, 2048),
    )
}
# Towers that no importer reads: part -> what transformers calls them, fields, and what its class has besides
NATIVE_TOWERS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "rice_vit_l_14": (
        "mlcd_vision_model",
        dict(zip(TOWER, (336, 14, 1024, 24, 16, 4096), strict=True)) | {"num_key_value_groups": 1},
        ("post_layernorm",),
    ),
    "moon_vit_so400m_14": ("kimi_k25_vision", {}, ()),
    "timesformer_base_224": ("timesformer", {}, ()),
}
PARTS_OF_RECORDINGS = {"llama_3_2_vision_11b", "llama_3_2_vision_90b", "llama_3_2_vision_560"}
# as the smaller ones, without an importer: experts chosen like DeepSeek V2's beside attention like Llama's
PARTS_OF_RECORDINGS |= {"deepseek_moe_3b_vl2"}
PARTS_OF_RECORDINGS |= {
    "blip_text_base",
    "vit_b_16_224",
    "albef_text_base",
    "albef_answer_base",
    "albef_text_pairs",
    "alpro_text_base",
}
PARTS_OF_RECORDINGS |= {"eva_vit_g_14_lavis", "blip_text_pairs"}  # as the others of tests/test_oracles_training.py


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
    """A graph of nothing but the tower."""
    if part in ENCODERS:
        nodes: dict[str, Any] = {"vision": {"use": f"encoder/{part}", "inputs": "pixel_values"}}
        return {"inputs": {"pixel_values": "image"}, "nodes": nodes, "outputs": {"features": "vision"}}
    nodes = {"audio": {"use": f"encoder/{part}", "inputs": "sounds"}}
    return {"inputs": {"sounds": "audio"}, "nodes": nodes, "outputs": {"features": "audio"}}


_NODE = {**dict.fromkeys(DECODERS, "llm"), **dict.fromkeys(ENCODERS, "vision"), **dict.fromkeys(SOUNDS, "audio")}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_what_the_published_config_says(part: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of(part)))
    node = yaml.safe_load(import_config(tmp_path))["nodes"][_NODE[part]]
    shipped = yaml.safe_load((CATALOG / node["kind"] / f"{part}.yaml").read_text(encoding="utf-8"))
    assert shipped.pop("description")
    assert shipped.pop("source").startswith("https://")
    assert {key: value for key, value in node.items() if key not in ("inputs", "output")} == shipped


@pytest.mark.parametrize("part", TOWERS)
def test_a_tower_has_the_published_number_of_parameters(part: str, tmp_path: Path) -> None:
    """Decoders are compared key by key in tests/parity/test_full_size.py."""
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "name": "alone", **alone(part)}), encoding="utf-8")
    keys = shapes(entries(graphvlm.load(path)))
    assert sum(prod(shape) for shape in keys.values()) == PARTS[part][1]


@pytest.mark.parametrize("part", TOWERS)
def test_the_reference_has_as_many(part: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    import torch

    config, count = PARTS[part]
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**config))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("part", NATIVE_TOWERS)
def test_a_tower_under_another_name(part: str, tmp_path: Path) -> None:
    """As many numbers as the class of the reference, which has its parameters."""
    transformers = pytest.importorskip("transformers", reason="the oracle of this test is not installed")
    import torch

    model_type, fields, besides = NATIVE_TOWERS[part]
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(model_type, **fields))
    count = sum(each.numel() for name, each in model.named_parameters() if not name.startswith(besides))
    inputs = {"video": "video"} if part.startswith("timesformer") else {"patches": "patches", "grid": "grid"}
    nodes = {"vision": {"use": f"encoder/{part}", "inputs": inputs}}
    graph = {"version": 1, "name": "alone", "inputs": inputs, "nodes": nodes}
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump(graph | {"outputs": {"features": "vision"}}), encoding="utf-8")
    assert graphvlm.load(path).parameter_count == count


def test_every_part_is_tested() -> None:
    shipped = {path.stem for kind in ("decoder", "encoder") for path in (CATALOG / kind).glob("*.yaml")}
    assert (
        shipped
        == PARTS.keys()
        | PARTS_OF_GRAPHS
        | TEXT_PARTS
        | (MODELS.keys() & shipped)
        | PARTS_OF_RECORDINGS
        | NATIVE_TOWERS.keys()
    )


@pytest.mark.parametrize("name", COUNTS)
def test_a_graph_has_as_many_parameters_as_the_reference(name: str) -> None:
    assert graphvlm.load(ROOT / "graphs" / f"{name}.yaml").parameter_count == COUNTS[name]


def test_every_graph_is_counted() -> None:
    """But for those of LAVIS, whose weights are compared with recordings, and a composition of LoongForge's."""
    counted = {*COUNTS, *MODELS, *MASKED, *ENCODER_DECODERS, "tiny", "glm_5_2_moon_vit"}
    recorded = ("albef_", "blip_", "blip2_", "alpro_")
    assert [path.stem for path in GRAPHS if path.stem not in counted and not path.stem.startswith(recorded)] == []


@pytest.mark.parametrize("path", GRAPHS, ids=[path.stem for path in GRAPHS])
def test_a_shipped_graph_is_without_fault(path: Path) -> None:
    graph = graphvlm.load(path)
    assert graph.name == path.stem


def test_tiny_is_tiny_and_odd() -> None:
    graph = graphvlm.load(ROOT / "graphs" / "tiny.yaml")
    keys = {key.name: key.shape for entry in entries(graph) for key in entry.keys}
    assert 20_000 < sum(prod(shape) for shape in keys.values()) < 100_000
