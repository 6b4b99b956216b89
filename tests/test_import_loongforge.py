"""`graphvlm import` of LoongForge's YAML: composition, what builds, what is filled in, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphvlm
from graphvlm.diagnostics import Diagnostic, GraphError, Source
from graphvlm.importers import import_config
from graphvlm.importers.loongforge.compose import compose

from .running import ROOT

CORPUS = ROOT.parent / "shared" / "corpus" / "loongforge"
MODELS = CORPUS / "models"
shipped = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"NOT IMPORTED: the files of LoongForge are not in {CORPUS}")

DEFINITIONS = sorted(
    path.relative_to(MODELS).with_suffix("").as_posix()
    for path in MODELS.rglob("*.yaml")
    if path.parent.name != "ckpt_convert"
)
COMPOSITIONS = [
    name for name in DEFINITIONS if "@model.foundation" in (MODELS / f"{name}.yaml").read_text(encoding="utf-8")
]
BROKEN = "custom/qwen_vit_llama3_8b"  # its image token is outside the vocabulary

# What the language cannot say yet -> a word of the refusal. Everything else of LoongForge's own classes builds.
LATER: Mapping[str, str] = MappingProxyType(
    {
        "deepseek4/": "`DeepseekV4Config`",
    }
)
# What LoongForge itself cannot build, or is no model of vision and language -> a word of the refusal.
NOT_OURS: Mapping[str, str] = MappingProxyType(
    {
        "qwen/": "no class `QwenConfig`",
        "embodied/": "is an embodied model",
        "wan/": "is a diffusion model",
        "qwen_image/": "is a diffusion model",
        "lora/": "is no model",
    }
)
# Published parameters of models whose definitions have the published sizes.
COUNTS: Mapping[str, int] = MappingProxyType(
    {
        "llama3/llama3_1_8b": 8_030_261_248,
        "llama3/llama3_1_405b": 405_853_388_800,
        "llama2/llama2_7b": 6_738_415_616,
        "qwen2.5/qwen2_5_7b": 7_615_616_512,
        "qwen3/qwen3_30b_a3b": 30_532_122_624,
        "qwen3/qwen3_235b_a22b": 235_093_634_560,
        "deepseek2/deepseek_v2": 235_741_434_880,
        "deepseek3/deepseek_v3": 671_026_419_200,
        "deepseek3/deepseek_v3_2_sparse": 671_877_944_064,
        "glm5/glm5": 743_911_218_432,
        "glm5.2/glm5_2": 743_377_019_904,
        "internlm2.5/internlm2_5_20b": 19_861_260_288,
        "internvl2.5/internvl2_5_8b": 8_075_365_376,
        "internvl2.5/internvl2_5_78b": 78_408_318_336,
        "internvl3.5/internvl3_5_8b": 8_528_318_464,
        "qwen2.5vl/qwen2_5_vl_3b": 3_754_622_976,
        "qwen2.5vl/qwen2_5_vl_7b": 8_292_166_656,
        "qwen2.5vl/qwen2_5_vl_72b": 73_410_777_344,
        "qwen3_vl/qwen3_vl_30b_a3b": 31_070_754_032,
        "ernie4_5_vl/ernie4_5_vl_28b_a3b": 29_399_294_336,
        "minicpm_v_4_6/minicpm_v_4_6": 1_300_428_016,
    }
)


def starting(table: Mapping[str, str], name: str) -> str:
    return next((word for start, word in table.items() if name.startswith(start)), "")


BUILD = [name for name in DEFINITIONS if name != BROKEN and not starting(LATER, name) and not starting(NOT_OURS, name)]


def refusals(path: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(GraphError) as raised:
        import_config(path)
    return raised.value.diagnostics


@shipped
def test_every_file_was_thought_of() -> None:
    assert len(DEFINITIONS) == 144
    assert len(COMPOSITIONS) == 35
    groups = {name: sum(each.startswith(f"{name}/") for each in DEFINITIONS) for name in ("embodied", "wan", "lora")}
    assert groups == {"embodied": 13, "wan": 2, "lora": 2}
    assert len([name for name in BUILD if name not in COMPOSITIONS]) == 74
    assert len([name for name in BUILD if name in COMPOSITIONS]) == 34


@shipped
def test_composition_is_that_of_hydra() -> None:
    """All 139 files that Hydra composes; functions are names there and here, and paths begin with the environment."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        word = re.fullmatch(r"<\w+:(.*)>", value) if isinstance(value, str) else None
        return word[1] if word else re.sub(r"^/tmp/.*?(?=/configs/)", "", value) if isinstance(value, str) else value

    expected = json.loads((CORPUS / "composed.json").read_text(encoding="utf-8"))
    assert len(expected) == 139
    for name, composed in expected.items():
        file = MODELS / name.removeprefix("configs/models/")
        assert compose(file).tree.plain() == plain(composed), name


@shipped
@pytest.mark.parametrize("name", BUILD)
def test_shipped_file_builds(name: str, tmp_path: Path) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(import_config(MODELS / f"{name}.yaml"), encoding="utf-8")
    assert (graphvlm.build(graph, tmp_path) / "model.py").is_file()
    if name in COUNTS:
        assert graphvlm.load(graph).parameter_count == COUNTS[name]


@shipped
@pytest.mark.parametrize("name", [name for name in DEFINITIONS if starting(NOT_OURS, name)])
def test_other_files_are_refused_in_one_line(name: str) -> None:
    (problem,) = refusals(MODELS / f"{name}.yaml")
    assert problem.rule == "unsupported-config"
    assert starting(NOT_OURS, name) in problem.message
    assert "\n" not in problem.message


@shipped
@pytest.mark.parametrize("name", [name for name in DEFINITIONS if starting(LATER, name)])
def test_missing_option_is_named(name: str) -> None:
    found = refusals(MODELS / f"{name}.yaml")
    assert any(starting(LATER, name) in problem.message for problem in found)
    assert {problem.rule for problem in found} <= {"unsupported-config", "unknown-config-field"}


@shipped
def test_image_token_outside_the_vocabulary() -> None:
    (problem,) = refusals(MODELS / f"{BROKEN}.yaml")
    assert problem.rule == "placeholder-outside-vocabulary"
    assert "151655" in problem.message
    assert "128256 tokens" in problem.message
    assert "tokenizer of Llama 3" in problem.labels[0].text


@shipped
def test_checkpoint_maps_are_no_models() -> None:
    maps = sorted(MODELS.rglob("ckpt_convert/*.yaml"))
    assert len(maps) == 51
    for path in maps:
        with pytest.raises(GraphError) as raised:
            import_config(path)
        assert len(raised.value.diagnostics) == 1, path


LLM = """_target_: loongforge.models.foundation.Qwen3Config
num_layers: 3
hidden_size: 48
ffn_hidden_size: 56
num_attention_heads: 6
group_query_attention: true
num_query_groups: 2
kv_channels: 20
qk_layernorm: true
add_qkv_bias: false
vocab_size_in_config_file: 131
num_experts: 4
moe_ffn_hidden_size: 24
moe_layer_freq: ${moe_freq:"[0]*1+[1]*2"}
moe_router_topk: 2
max_position_embeddings: 512
"""


def write(folder: Path, text: str, name: str = "group/model.yaml") -> Path:
    path = folder / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_filled_in_is_said(tmp_path: Path) -> None:
    text = import_config(write(tmp_path, LLM))
    assert "layers: {count: 3, where: [{name: dense, at: [0], mlp: {hidden: 56, moe: null}}]}" in text
    assert "# eps: not in the source file; from the default of Megatron-core 0.15" in text
    assert "# top" not in text
    assert "# max_tokens" not in text
    graphvlm.load(Source("imported.yaml", text))


def test_a_launch_script_fills_in_what_the_file_lacks(tmp_path: Path) -> None:
    text = import_config(write(tmp_path, LLM.replace("moe_router_topk: 2\n", ""), "qwen3/qwen3_30b_a3b.yaml"))
    assert "# eps: not in the source file; from examples/qwen3/pretrain/pretrain_qwen3_30b_a3b.sh" in text
    assert "# top: not in the source file; from examples/qwen3/pretrain/pretrain_qwen3_30b_a3b.sh" in text


# the line that is replaced, and by what -> the rule, a word of the message, and the line it points at
REFUSED = [
    ("num_layers: 3", "num_layers: three", "invalid-config", "`num_layers`", 2),
    ("num_layers: 3", "num_layer: 3", "unknown-config-field", "`num_layer`", 2),
    ("num_layers: 3", "num_layers: 4", "contradictory-config", "3 layers, and there are 4", 14),
    ("num_query_groups: 2", "num_query_groups: 4", "contradictory-config", "cannot share", 7),
    ("moe_router_topk: 2\n", "", "invalid-config", "`moe_router_topk` is missing", 1),
    ("moe_router_topk: 2", "moe_router_score_function: sqrtsoftplus", "invalid-config", "`sigmoid`", 15),
    ("max_position_embeddings: 512\n", "", "invalid-config", "`max_position_embeddings` is missing", 1),
    ("kv_channels: 20", "normalization: LayerNorm", "unsupported-config", "`normalization`", 8),
    ("kv_channels: 20", "swiglu: false", "unsupported-config", "`swiglu`", 8),
    ("kv_channels: 20", "rotary_emb_func: SomeRotaryEmbedding", "unsupported-config", "SomeRotaryEmbedding", 8),
    ("kv_channels: 20", "kv_channels: ${eval:1+1}", "invalid-config", "`${eval:1+1}`", 8),
    ("kv_channels: 20", "kv_channels: ${moe_freq:2}", "invalid-config", "pattern", 8),
    ("foundation.Qwen3Config", "foundation.Qwen4Config", "unsupported-config", "`Qwen4Config`", 1),
]


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: tuple[str, str, str, str, int], tmp_path: Path) -> None:
    old, new, rule, word, line = case
    assert old in LLM
    found = refusals(write(tmp_path, LLM.replace(old, new, 1)))
    problem = next(problem for problem in found if word in problem.message)
    assert problem.rule == rule
    assert problem.span is not None
    assert problem.span.line == line


@pytest.mark.parametrize(
    ("defaults", "word"),
    [
        ("[{../../../../etc@model.foundation: passwd}]", "leads out of"),
        ("[/etc/passwd]", "no group and option"),
        ("[model]", "without an end"),
        ("[{../../models/nothing@model.foundation: here}]", "does not exist"),
        ("[3]", "an entry of `defaults`"),
    ],
)
def test_defaults_stay_within_the_definitions(defaults: str, word: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"defaults: {defaults}\nmodel: {{model_type: vlm}}\n")
    assert word in refusals(path)[0].message


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_only_diagnostics_come_of_bad_files(data: st.DataObject) -> None:
    lines = LLM.splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    values = ["-1", "0", "1e400", ".nan", "[]", "{}", '""', "true", "[[1]]", "9" * 50, "${act:", "${oc.env:HOME}", "~"]
    lines[index] = f"{lines[index].partition(':')[0]}: {data.draw(st.sampled_from(values))}"
    with TemporaryDirectory() as folder:
        try:
            text = import_config(write(Path(folder), "\n".join(lines)))
            graphvlm.load(Source("imported.yaml", text))
        except GraphError:
            pass
