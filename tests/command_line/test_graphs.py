"""Writing graphs and looking around: `new`, `import`, `list`, `show`, `explain`, `schema`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import graphvlm
from graphvlm import resources

from .running import Cli


@pytest.mark.parametrize(
    "choices",
    [
        [],
        ["--fusion", "prefix"],
        ["--encoder", "clip_vit_b_32", "--projector", "linear", "--decoder", "llama_3_2_1b"],
        ["--from", "prefix_clip_llama"],
        ["--encoder", "qwen2_5_vl_vision", "--fusion", "prefix"],
        ["--encoder", "qwen2_audio", "--decoder", "t5_base"],
        ["--encoder", "timesformer_base_224", "--decoder", "llama_3_2_vision_11b"],
    ],
    ids=" ".join,
)
def test_new_graphs_are_good(choices: list[str], cli: Cli, tmp_path: Path) -> None:
    assert cli("new", "graphs/mine", *choices).out == f"{Path('graphs/mine.yaml')}\n"
    assert yaml.safe_load((tmp_path / "graphs/mine.yaml").read_text())["name"] == "mine"
    checked = cli("check", "graphs/mine.yaml")
    assert checked.code == 0, checked.out


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            ["--encoder", "bert_base_uncased"],
            "reads what other nodes give; start from a graph that has it: --from bert_base",
        ),
        (
            ["--decoder", "t5_base", "--fusion", "prefix"],
            "reads image features in its layers (`encoded`)",
        ),
        (["--decoder", "ernie_4_5_vl_28b_a3b"], "reads more than a text and images"),
        (["--encoder", "siglop_base_patch16_224"], "did you mean `encoder/siglip_base_patch16_224`?"),
    ],
)
def test_what_a_starter_has_nothing_for(choices: list[str], said: str, cli: Cli, tmp_path: Path) -> None:
    refused = cli("new", "mine", *choices)
    assert refused.code == 2
    assert said in refused.err
    assert not (tmp_path / "mine.yaml").exists()


def test_every_part_makes_a_good_starter(cli: Cli, tmp_path: Path) -> None:
    """Or it is said what the part needs besides."""
    refused = []
    for index, (kind, name) in enumerate(part.split("/") for part, _ in resources.part_files()):
        if kind in ("encoder", "decoder"):
            made = cli("new", f"mine_{index}", f"--{kind}", name)
            if made.code:
                assert "start from" in made.err or "by hand" in made.err
                refused.append(name)
            else:
                graphvlm.load(tmp_path / f"mine_{index}.yaml")
    known = ("text", "bert", "t5", "ernie", "upper")
    assert [name for name in refused if not any(word in name for word in known)] == []


def test_new_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# precious\n")
    assert cli("new", "mine").code == 2
    assert (tmp_path / "mine.yaml").read_text() == "# precious\n"


QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 101,
    "hidden_size": 40,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}


def test_import(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN3))
    assert cli("import", ".", "-o", "mine.yaml", "--name", "mine").code == 0
    assert cli("check", "mine.yaml").code == 0
    assert cli("import", ".", "-o", "mine.yaml", "--name", "mine").code == 0
    assert cli("import", ".", "-o", "mine.yaml", "--name", "other").code == 2
    assert cli("import", ".", "-o", "mine.yaml", "--name", "other", "--force").code == 0
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["name"] == "other"
    (tmp_path / "config.json").write_text(json.dumps(QWEN3 | {"frobnicate": 2}))
    refused = cli("import", "config.json")
    assert (refused.code, refused.out) == (1, "")
    assert "frobnicate" in refused.err


def test_list(cli: Cli) -> None:
    everything = json.loads(cli("list", "--format", "json").out)
    graphs = {entry["name"]: entry for entry in everything["graphs"]}
    assert graphs["llava_1_5_7b"]["parameters"] == 7_063_427_072
    parts = {entry["name"]: entry["parameters"] for entry in everything["parts"]}
    assert parts["decoder/llama_3_8b"] == 8_030_261_248
    assert [name for name, count in parts.items() if not count and name.startswith(("encoder/", "decoder/"))] == []
    assert [entry["name"] for entry in graphs.values() if not entry["parameters"]] == []


def test_list_searches(cli: Cli) -> None:
    found = json.loads(cli("list", "parts", "encoder", "CLIP", "336", "--format", "json").out)
    assert [entry["name"] for entry in found] == ["encoder/clip_vit_l_14_336"]
    assert "tiny" in cli("list", "graphs").out
    assert "encoder/" not in cli("list", "graphs").out
    assert cli("list", "nothing_like_it").out == "nothing found\n"


def test_list_by_kind(cli: Cli) -> None:
    assert "decoder/" not in cli("list", "qwen", "siglip", "--kind", "encoder").out
    assert "checkpoint/" not in cli("list").out
    (entry,) = json.loads(cli("list", "parts", "clip", "336", "--kind", "encoder", "--json").out)
    assert {name: entry[name] for name in ("layers", "dim", "heads", "kv_heads", "tokens", "vocab")} == {
        "layers": 24,
        "dim": 1024,
        "heads": 16,
        "kv_heads": 16,
        "tokens": 577,
        "vocab": None,
    }
    assert re.search(r"^  decoder/qwen3_8b +8.19 B +36 x 4096 +32/8 +40960  Qwen3 8B$", cli("list", "qwen3").out, re.M)
    maps = json.loads(cli("list", "parts", "--kind", "checkpoint", "--json").out)
    assert "checkpoint/llama" in {entry["name"] for entry in maps}


def test_sizes_are_kept(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cache folder; a file that cannot be read, or a folder that cannot be written, changes nothing."""
    monkeypatch.setenv("GRAPHVLM_CACHE", str(tmp_path / "cache"))
    first = cli("list", "clip").out
    (kept,) = (tmp_path / "cache").glob("sizes_*.json")
    assert json.loads(kept.read_text())["encoder/clip_vit_l_14_336"]["parameters"] == 303_507_456
    assert cli("list", "clip").out == first
    kept.write_text("{")
    assert cli("list", "clip").out == first
    monkeypatch.setenv("GRAPHVLM_CACHE", "/dev/null/nowhere")
    assert cli("list", "clip").out == first


def test_show(cli: Cli) -> None:
    text = cli("show", "encoder/clip_vit_l_14_336").out
    assert text.startswith("# encoder/clip_vit_l_14_336: 303,507,456 parameters\n")
    assert yaml.safe_load(text)["checkpoint"]["names"]["norm"] == "post_layernorm"
    shown = json.loads(cli("show", "decoder/vicuna_7b", "--format", "json").out)
    assert (shown["parameters"], shown["settings"]["layers"]) == (6_738_939_904, 32)
    assert yaml.safe_load(cli("show", "tiny").out)["nodes"]["text"]["vocab"] == 101


def test_explain(cli: Cli) -> None:
    listed = cli("explain").out
    assert re.search(r"^unknown-key +\S", listed, re.MULTILINE)
    page = cli("explain", "unknown-key").out
    assert page.startswith("unknown-key: ")
    assert "Wrong:" in page
    assert "Right:" in page
    rules = json.loads(cli("explain", "--format", "json").out)
    assert json.loads(cli("explain", "unknown-key", "--format", "json").out) in rules


def test_schema(cli: Cli, tmp_path: Path) -> None:
    schema = json.loads(cli("schema").out)
    assert "nodes" in schema["properties"]
    assert "$ref" in json.dumps(schema)
    assert not re.search(r'"\$ref": "[^#]', json.dumps(schema))
    assert cli("schema", "--reference").out.startswith("# ")
    cli("schema", "-o", "graph.schema.json")
    assert json.loads((tmp_path / "graph.schema.json").read_text()) == schema
