"""Ready graphs of several modalities: what the published configs say, with the published numbers of parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import graphvlm
from graphvlm.importers import import_config
from graphvlm.weights import expected

from .published import MODELS

GRAPHS = Path(__file__).parents[1] / "graphs"
CATALOG = GRAPHS / "catalog"
# Parts that these graphs and no other test compare with a config, beside decoders named like their graph.
PARTS = frozenset(
    (
        *("qwen2_vl_vision", "qwen2_5_vl_vision", "qwen3_vl_vision", "qwen3_vl_vision_small"),
        *("glm4v_vision", "pixtral_400m", "sam_vit_b", "internvit_300m_448", "internvit_6b_448"),
        *(
            "llama_4_vision",
            "paddleocr_vl_vision",
            "ernie_4_5_vl_vision",
            *("minicpm_v_4_6_vision", "minicpm_v_4_6_vision_upper"),
            "eva_vit_g_14_224",
            "aimv2_large_448",
            "aimv2_huge_448",
        ),
        *("deepseek_llm_7b", "got_ocr2_0_5b", "mistral_small_3_1_24b"),
    )
)


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_is_what_the_published_config_says(name: str, tmp_path: Path) -> None:
    """The same nodes, keys and shapes as the importer makes of the config, and the published number of parameters."""
    (tmp_path / "config.json").write_text(json.dumps(MODELS[name].config))
    (tmp_path / "imported.yaml").write_text(import_config(tmp_path), encoding="utf-8")
    shipped, imported = graphvlm.load(GRAPHS / f"{name}.yaml"), graphvlm.load(tmp_path / "imported.yaml")
    # files of Qwen3-VL-MoE have the rows of experts as columns, if version 4 of transformers wrote them
    ours, theirs = ({key: sorted(shape) for key, shape in expected(each).items()} for each in (shipped, imported))
    assert ours == theirs
    specs, expected_specs = ({key: node.spec for key, node in each.nodes.items()} for each in (shipped, imported))
    assert specs == expected_specs
    assert shipped.parameter_count == MODELS[name].parameters


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_says_where_it_is_from(name: str) -> None:
    shipped = yaml.safe_load((GRAPHS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert (shipped["description"], shipped["source"]) == (MODELS[name].description, MODELS[name].source)


def test_the_published_tower() -> None:
    """Qwen2.5-VL's tower with its merger."""
    nodes = graphvlm.load(GRAPHS / "qwen2_5_vl_7b.yaml").nodes
    assert nodes["vision"].parameter_count + nodes["merger"].parameter_count == 676_550_144


def test_every_part_is_of_a_graph() -> None:
    used = {
        Path(line.split("use:")[1].split()[0].strip(",}")).name
        for name in MODELS
        for line in (GRAPHS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        if "use: encoder/" in line or "use: decoder/" in line
    }
    assert used >= PARTS
