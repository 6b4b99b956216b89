"""`graphvlm import` of KempnerForge's TOML: shipped files, parameters as its own builder counts, refusals."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphvlm
from graphvlm.diagnostics import Diagnostic, GraphError, Source
from graphvlm.importers import import_config
from graphvlm.ir import Graph
from graphvlm.weights import expected

from .running import ROOT

CORPUS = ROOT.parent / "shared" / "corpus" / "kempnerforge"
shipped = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"NOT IMPORTED: the files of KempnerForge are not in {CORPUS}")

# What KempnerForge's own builder counts: parameters of the transformer, and of the adapter.
COUNTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "model/llama_7b": (8_030_261_248, 0),
        "model/llama_13b": (14_840_386_560, 0),
        "model/llama_70b": (70_553_706_496, 0),
        "train/vlm_7b": (7_391_293_440, 20_979_712),
        "train/vlm_7b_ac": (7_391_293_440, 20_979_712),
        "train/vlm_7b_siglip2": (8_030_261_248, 19_931_136),
        "train/vlm_debug": (29_141_760, 164_352),
        "train/vlm_debug_moe": (34_125_568, 164_352),
        "train/vlm_7b_cross_attn": (9_337_516_032, 20_979_712),
        "train/vlm_7b_freeze_schedule": (9_337_516_032, 20_979_712),
        "train/vlm_7b_siglip2_cross_attn": (9_976_483_840, 19_931_136),
        "train/vlm_video_webvid": (257_092_608, 787_456),
        # it counts a norm that nothing goes through
        "train/vlm_7b_mot": (14_370_885_632 - 4096, 20_979_712),
        "train/vlm_debug_mot": (32_552_192 - 256, 164_352),
        "train/vlm_7b_moma": (46_852_354_048, 20_979_712),
        "train/vlm_debug_moma": (36_223_744, 164_352),
    }
)
BROKEN = "model/moe_small"
FILES = sorted(path.relative_to(CORPUS).with_suffix("").as_posix() for path in CORPUS.rglob("*.toml"))


def imported(path: Path) -> Graph:
    return graphvlm.load(Source("imported.yaml", import_config(path)))


def parameters(graph: Graph, *nodes: str) -> int:
    specs = (graph.nodes[name].spec for name in nodes if name in graph.nodes)
    return sum(prod(parameter.shape) for spec in specs for parameter in spec.parameters())


def refusals(path: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(GraphError) as raised:
        import_config(path)
    return raised.value.diagnostics


@shipped
def test_every_file_was_thought_of() -> None:
    assert len(FILES) == 34
    assert {*COUNTS, BROKEN} <= set(FILES)


@shipped
@pytest.mark.parametrize("name", [name for name in FILES if name != BROKEN])
def test_shipped_file_builds(name: str, tmp_path: Path) -> None:
    graph = imported(CORPUS / f"{name}.toml")
    if name in COUNTS:
        assert (parameters(graph, "text", "llm"), parameters(graph, "adapter")) == COUNTS[name]
    graph_file = tmp_path / "graph.yaml"
    graph_file.write_text(import_config(CORPUS / f"{name}.toml"), encoding="utf-8")
    assert (graphvlm.build(graph_file, tmp_path) / "model.py").is_file()


@shipped
def test_keys_outside_every_section_are_refused() -> None:
    (problem,) = refusals(CORPUS / f"{BROKEN}.toml")
    assert problem.rule == "invalid-config"
    assert "`dim` stands outside every section" in problem.message
    assert problem.span is not None
    assert problem.span.line == 2


ORACLE = ROOT.parent / "shared" / "oracles" / "kempnerforge"


@pytest.mark.skipif(not ORACLE.is_dir(), reason=f"NOT COMPARED: the recordings of KempnerForge are not in {ORACLE}")
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["joint_decoder", "cross_attention", "mot", "moma"])
def test_imported_model_computes_what_was_recorded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recording's configuration as a TOML file, imported; its weights under the names that the import gives."""
    from .oracles import agree, recorded
    from .running import packaged

    case = recorded(f"kempnerforge/{name}", tmp_path)
    path = tmp_path / f"{name}.toml"
    path.write_text(toml_of(case.config), encoding="utf-8")
    model = packaged(imported(path)).from_pretrained(case.weights)
    if name == "moma":  # the noise of its training was recorded
        draws = iter(case.inputs[f"rand.gumbel#{number}"] for number in range(16))
        monkeypatch.setattr(sys.modules[type(model.llm).__module__], "gumbel", lambda _: next(draws))
    logits = model.train()(case.inputs["input_ids"], image_features=case.inputs["vision_features"]).logits
    assert agree(logits, case.outputs["logits"])


def toml_of(config: dict[str, Any]) -> str:
    """The sections that say what a recording's configuration says."""
    vision = config["vision"]
    sections = {
        "model": config["model"],
        "vision_encoder": {"type": "random", "feature_dim": vision["feature_dim"], "num_tokens": vision["num_tokens"]},
        "adapter": config["adapter"],
        "vlm": {"arch": config["arch"], **config["vlm"]},
    }
    if experts := sections["vlm"].pop("moma_experts_per_modality", None):
        sections["vlm.moma_experts_per_modality"] = experts
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


MODEL = """[model]
dim = 48
n_layers = 3
n_heads = 6
n_kv_heads = 2
vocab_size = 131
num_experts = 4
moe_frequency = 2
moe_shared_experts = 1

[vision_encoder]
type = "clip"
path = "openai/clip-vit-base-patch32"

[adapter]
hidden_dim = 20
activation = "relu"

[vlm]
freeze = [{module = "vision_encoder"}, {module = "adapter", frozen = false}]

[train]
anything = 1
"""


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "7b.toml"
    path.write_text(MODEL, encoding="utf-8")
    text = import_config(path)
    assert "name: model_7b\n" in text
    assert "output: {layer: -1, drop_cls: true}" in text
    assert "sparse" in text
    assert "freeze: [vision]" in text
    graph = graphvlm.load(Source("imported.yaml", text))
    assert graph.nodes["adapter"].inputs["features"].name == "vision"


def test_pooling_by_attention_is_two_nodes(tmp_path: Path) -> None:
    path = tmp_path / "pooled.toml"
    pooled = MODEL.replace('hidden_dim = 20\nactivation = "relu"', 'type = "attentional_pool"\npool_window = 7')
    path.write_text(pooled, encoding="utf-8")
    graph = graphvlm.load(Source("imported.yaml", import_config(path)))
    assert graph.nodes["pool"].signature.outputs["query"].shape[1:] == (1, 768)
    keys = {key for key in expected(graph) if key.startswith("adapter.")}
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "out_proj")
    assert keys == {f"adapter.{name}.{leaf}" for name in names for leaf in ("weight", "bias")}


CROSS = '[vlm]\narch = "cross_attention"\ncross_attention_every_n_layers = {}\n'
CHOOSING = 'arch = "moma"\nmoma_experts_per_modality = {{image = 2, text = {}}}'
# the line that is replaced, and by what -> the rule, a word of the message, and the line it points at
REFUSED = [
    ("dim = 48", "dim = 48.5", "invalid-config", "`model.dim` must be a whole number", 2),
    ("dim = 48", "dim = 0", "invalid-config", "at least 1", 2),
    ("dim = 48", "dmi = 48", "unknown-config-field", "`model.dmi`", 2),
    ("dim = 48", "dim = 50", "contradictory-config", "multiple of 6 heads", 2),
    ("n_kv_heads = 2", "n_kv_heads = 4", "contradictory-config", "cannot share", 5),
    ("num_experts = 4", "num_experts = 1", "contradictory-config", "`model.moe_top_k`", 1),
    ("moe_frequency = 2", "moe_frequency = 4", "contradictory-config", "none would have experts", 8),
    ("moe_frequency = 2", 'moe_router = "sigmoid_topk"', "unsupported-config", "sigmoid", 8),
    ("moe_frequency = 2", "moe_capacity_factor = 1.25", "unsupported-config", "moe_capacity_factor", 8),
    ("moe_frequency = 2", 'norm_type = "batch"', "invalid-config", "`rmsnorm`", 8),
    ("moe_frequency = 2", "qk_norm = 1", "invalid-config", "true or false", 8),
    ('type = "clip"', 'type = "dino"', "invalid-config", "`siglip2`", 12),
    ('path = "openai/clip-vit-base-patch32"', 'path = "openai/clip"', "unsupported-config", "catalog", 13),
    ("hidden_dim = 20", 'pre_norm = "rmsnorm"', "unsupported-config", "pre_norm", 16),
    ('freeze = [{module = "vision_encoder"}, ', 'freeze = [{module = "llm"}, ', "unsupported-config", "llm", 20),
    ("[vlm]", CROSS.format(8), "contradictory-config", "none would see the image", 21),
    ("[vlm]", CROSS.format(2) + "cross_attention_n_heads = 5", "contradictory-config", "5 heads must divide", 22),
    ("[vlm]", '[vlm]\narch = "mot"\nmot_modalities = ["image", "audio"]', "unsupported-config", "mot_modalities", 21),
    ("[vlm]", '[vlm]\narch = "mot"\nmot_image_n_heads = 3', "contradictory-config", "share one attention", 21),
    ("[vlm]", '[video]\n[vlm]\narch = "mot"', "unsupported-config", "frames of a video", 21),
    ("[vlm]", '[vlm]\narch = "moma"', "invalid-config", "moma_experts_per_modality", 19),
    ("[vlm]", "[vlm]\n" + CHOOSING.format(2), "contradictory-config", "with `moma` experts choose", 7),
    ("[vlm]", "[vlm]\n" + CHOOSING.format(0), "invalid-config", "whole numbers for `image` and `text`", 21),
    ("[train]", "[trian]", "unknown-config-field", "`trian`", 22),
    ("[vlm]", "[eval]", "invalid-config", "no `[vlm]`", 11),
    ("dim = 48", "dim = ", "invalid-config", "not TOML", 2),
]


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: tuple[str, str, str, str, int], tmp_path: Path) -> None:
    old, new, rule, word, line = case
    path = tmp_path / "model.toml"
    assert old in MODEL
    path.write_text(MODEL.replace(old, new, 1), encoding="utf-8")
    found = refusals(path)
    assert rule in {problem.rule for problem in found}
    problem = next(problem for problem in found if word in problem.message)
    assert problem.span is not None
    assert problem.span.line == line


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_only_diagnostics_come_of_bad_files(data: st.DataObject) -> None:
    from graphvlm.importers.kempnerforge import import_kempnerforge

    lines = MODEL.splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    values = st.sampled_from(
        ["-1", "1e400", "nan", "[]", "{}", '""', "2020-01-01", "true", "[[1]]", "9" * 5000, "=", "[x"]
    )
    lines[index] = f"{lines[index].partition('=')[0].strip() or 'x'} = {data.draw(values)}"
    try:
        text = import_kempnerforge(Source("x.toml", "\n".join(lines)), "x")
        graphvlm.load(Source("imported.yaml", text))
    except GraphError:
        pass
