"""`graphvlm import`: what configs of Hugging Face become, in both generations of fields."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from graphvlm.compose import compose
from graphvlm.diagnostics import Diagnostic, GraphError
from graphvlm.importers import import_config
from graphvlm.validate import validate

ROOT = Path(__file__).parents[1]
RULES = ("invalid-config", "unknown-config-field", "unsupported-config", "contradictory-config")

# As published with llava-hf/llava-1.5-7b-hf and its 13b sister.
LLAVA_7B: dict[str, Any] = {
    "architectures": ["LlavaForConditionalGeneration"],
    "ignore_index": -100,
    "image_token_index": 32000,
    "model_type": "llava",
    "pad_token_id": 32001,
    "projector_hidden_act": "gelu",
    "text_config": {
        "_name_or_path": "lmsys/vicuna-7b-v1.5",
        "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "rms_norm_eps": 1e-05,
        "torch_dtype": "float16",
        "vocab_size": 32064,
    },
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.36.0.dev0",
    "vision_config": {
        "hidden_size": 1024,
        "image_size": 336,
        "intermediate_size": 4096,
        "model_type": "clip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "projection_dim": 768,
        "vocab_size": 32000,
    },
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "vocab_size": 32064,
}
SIZES_13B = {
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_attention_heads": 40,
    "num_hidden_layers": 40,
    "num_key_value_heads": 40,
}
SIGLIP: dict[str, Any] = {
    "model_type": "siglip_vision_model",
    "num_hidden_layers": 3,
    "image_size": 64,
    "patch_size": 16,
}


def write(folder: Path, config: object, generation: object = None) -> Path:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


LLAVA_PIXELS = {
    "image_processor_type": "CLIPImageProcessor",
    "do_center_crop": True,
    "size": {"shortest_edge": 336},
    "crop_size": {"height": 336, "width": 336},
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def graph(folder: Path, config: object, generation: object = None) -> Any:
    """The imported graph as plain values; it is also valid."""
    text = import_config(write(folder, config, generation))
    path = folder / "graph.yaml"
    path.write_text(text, encoding="utf-8")
    validate(compose(path))
    return yaml.safe_load(text)


def problems(folder: Path, config: object, generation: object = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(GraphError) as raised:
        import_config(write(folder, config, generation))
    return raised.value.diagnostics


def text_config(model_type: str, **fields: Any) -> dict[str, Any]:
    return {"model_type": model_type, **fields}


# ---- what a config becomes


@pytest.mark.parametrize(("name", "sizes"), [("llava_1_5_7b", {}), ("llava_1_5_13b", SIZES_13B)])
def test_published_configs_are_the_shipped_graphs(name: str, sizes: dict[str, int], tmp_path: Path) -> None:
    config = {**LLAVA_7B, "text_config": {**LLAVA_7B["text_config"], **sizes}}
    path = tmp_path / "imported.yaml"
    special = {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(LLAVA_PIXELS))
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor"}))
    path.write_text(import_config(write(tmp_path, config, special)), encoding="utf-8")
    imported = validate(compose(path)).plain()
    shipped = validate(compose(ROOT / "graphs" / f"{name}.yaml")).plain()
    for tree in (imported, shipped):
        for about in ("name", "description", "source"):
            tree.pop(about, None)
            for node in tree["nodes"].values():
                node.pop(about, None)
    assert imported == shipped


def test_the_text_reads_well(tmp_path: Path) -> None:
    text = import_config(write(tmp_path, {"_name_or_path": "org/My-Model.v2", **LLAVA_7B}))
    assert text.startswith(
        "# Imported from config.json\nversion: 1\nname: my_model_v2\n"
        "description: LlavaForConditionalGeneration of transformers\nsource: org/My-Model.v2\n\ninputs:\n"
        "  pixel_values: image\n  input_ids: tokens\n\nnodes:\n  vision:\n"
    )
    assert "    norm: {type: layer, eps: 1.0e-5}\n" in text
    assert str(tmp_path) not in text
    assert max(len(line) for line in text.splitlines()) <= 120


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("/home/somebody/models/LLaVA 1.5", "llava_1_5"),
        ("C:\\models\\7b\\", "b"),
        ("///", "llava_clip_llama"),
        ("org/class", "class_model"),
        ("x" * 500, "x" * 60),
        (None, "llava_clip_llama"),
    ],
)
def test_names(origin: str | None, name: str, tmp_path: Path) -> None:
    made = graph(tmp_path, LLAVA_7B if origin is None else {**LLAVA_7B, "_name_or_path": origin})
    assert made["name"] == name
    assert "source" not in made or made["source"].count("/") == 1


def test_parts_that_are_absent_take_the_defaults_of_the_class(tmp_path: Path) -> None:
    made = graph(tmp_path, {"model_type": "llava", "image_token_index": 31999})
    vision, llm = made["nodes"]["vision"], made["nodes"]["llm"]
    assert (vision["dim"], vision["image"]["size"], vision["patch"]["size"]) == (1024, 336, 14)
    assert (llm["vocab"], llm["dim"], llm["layers"]) == (32000, 4096, 32)
    empty = graph(tmp_path, {"model_type": "llava", "vision_config": {}, "image_token_index": 31999})
    assert empty["nodes"]["vision"]["dim"] == 768


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
def test_both_generations_of_rotary_fields_say_the_same(model_type: str, tmp_path: Path) -> None:
    scaling = {"factor": 4.0, "original_max_position_embeddings": 1024}
    old = {"rope_theta": 5e5, "rope_scaling": {"type": "yarn", **scaling}, "torch_dtype": "bfloat16"}
    new = {"rope_parameters": {"rope_theta": 5e5, "rope_type": "yarn", **scaling}, "dtype": "bfloat16"}
    first, second = (graph(tmp_path, text_config(model_type, **fields)) for fields in (old, new))
    assert first == second
    position = first["nodes"]["llm"]["position"]
    assert position["scaling"] == {"type": "yarn", "factor": 4.0, "original_max_tokens": 1024}
    assert position["theta"] == 5e5


@pytest.mark.parametrize(
    ("scaling", "expected", "longest"),
    [
        ({"rope_type": "default"}, None, 2048),
        ({"type": "linear", "factor": 2}, {"type": "linear", "factor": 2.0}, 2048),
        ({"type": "dynamic", "factor": 3.0}, {"type": "dynamic", "factor": 3.0, "original_max_tokens": 2048}, 6144),
        (
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
            {
                "type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_tokens": 2048,
            },
            2048,
        ),
        (
            {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 512, "beta_fast": 0},
            {"type": "yarn", "factor": 4.0, "original_max_tokens": 512},
            2048,
        ),
        (
            {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0, "mscale_all_dim": 0.5, "truncate": False},
            {
                "type": "yarn",
                "factor": 2.0,
                "original_max_tokens": 2048,
                "mscale": 1.0,
                "mscale_all_dim": 0.5,
                "truncate": False,
            },
            4096,
        ),
        (
            {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0, "mscale_all_dim": 0, "attention_factor": 1.5},
            {"type": "yarn", "factor": 2.0, "original_max_tokens": 2048, "attention_factor": 1.5},
            4096,
        ),
    ],
)
def test_scalings(scaling: dict[str, Any], expected: dict[str, Any] | None, longest: int, tmp_path: Path) -> None:
    llm = graph(tmp_path, text_config("llama", rope_scaling=scaling))["nodes"]["llm"]
    assert llm["position"].get("scaling") == expected
    assert llm["max_tokens"] == longest


def test_the_base_inside_the_object_wins(tmp_path: Path) -> None:
    config = text_config("llama", rope_theta=5.0, rope_parameters={"rope_type": "default", "rope_theta": 7.0})
    assert graph(tmp_path, config)["nodes"]["llm"]["position"]["theta"] == 7.0


def test_the_original_length_beside_the_object_wins(tmp_path: Path) -> None:
    yarn = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 512}
    config = text_config("llama", original_max_position_embeddings=256, rope_parameters=yarn)
    assert graph(tmp_path, config)["nodes"]["llm"]["position"]["scaling"]["original_max_tokens"] == 256


FOUR = {"num_hidden_layers": 4, "use_sliding_window": True, "sliding_window": 8}


@pytest.mark.parametrize(
    ("fields", "layers", "window"),
    [
        ({"num_hidden_layers": 4}, 4, None),
        ({**FOUR, "max_window_layers": 4}, 4, None),
        ({**FOUR, "max_window_layers": 0}, 4, 8),
        ({**FOUR, "sliding_window": None}, 4, None),
        ({**FOUR, "max_window_layers": 1}, {"range": [1, 4]}, 8),
        ({**FOUR, "max_window_layers": 3}, {"at": [3]}, 8),
        ({**FOUR, "layer_types": ["full_attention"] * 4}, 4, None),
        ({**FOUR, "layer_types": ["sliding_attention", "attention"] * 2}, {"every": 2, "from": 0}, 8),
        ({**FOUR, "layer_types": ["sliding_attention"] * 2 + ["full_attention"] * 2}, {"range": [0, 2]}, 8),
        ({**FOUR, "use_sliding_window": False, "max_window_layers": 0}, 4, None),
    ],
)
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_windows(model_type: str, fields: dict[str, Any], layers: Any, window: int | None, tmp_path: Path) -> None:
    llm = graph(tmp_path, text_config(model_type, **fields))["nodes"]["llm"]
    if isinstance(layers, int):
        assert llm["layers"] == layers
        assert llm["attention"].get("window") == window
    else:
        where = [{"name": "sliding", **layers, "attention": {"window": window}}]
        assert llm["layers"] == {"count": 4, "where": where}
        assert "window" not in llm["attention"]


def test_the_layers_that_are_easier_to_name_are_the_exception(tmp_path: Path) -> None:
    types = ["sliding_attention"] * 2 + ["full_attention", "sliding_attention"]
    llm = graph(tmp_path, text_config("qwen2", **FOUR, layer_types=types))["nodes"]["llm"]
    assert llm["attention"]["window"] == 8
    where = [{"name": "full", "at": [2], "attention": {"window": None}}]
    assert llm["layers"] == {"count": 4, "where": where}


@pytest.mark.parametrize(
    ("fields", "window"), [({}, 4096), ({"sliding_window": None}, None), ({"sliding_window": 7}, 7)]
)
def test_a_mistral_has_a_window_unless_it_says_null(fields: dict[str, Any], window: int | None, tmp_path: Path) -> None:
    attention = graph(tmp_path, text_config("mistral", **fields))["nodes"]["llm"]["attention"]
    assert attention.get("window") == window


def test_biases(tmp_path: Path) -> None:
    def llm(*args: str, **fields: Any) -> Any:
        return graph(tmp_path, text_config(*args, **fields))["nodes"]["llm"]

    assert llm("qwen2")["attention"]["bias"] == {"q": True, "k": True, "v": True, "o": False}
    assert llm("mistral")["attention"]["bias"] is False
    assert llm("qwen3", attention_bias=True)["attention"]["bias"] is True
    assert llm("llama", attention_bias=True, mlp_bias=True)["attention"]["bias"] is True
    assert llm("llama", mlp_bias=True)["mlp"]["bias"] is True
    assert llm("qwen3")["attention"]["qk_norm"] == {"type": "rms", "eps": 1e-6}


def test_head_sizes(tmp_path: Path) -> None:
    def attention(*args: str, **fields: Any) -> Any:
        return graph(tmp_path, text_config(*args, **fields))["nodes"]["llm"]["attention"]

    odd = {"hidden_size": 50, "num_attention_heads": 6, "num_key_value_heads": 2}
    assert attention("mistral", **odd)["head_dim"] == 8  # rounded down, as the reference does
    assert attention("qwen2", **{**odd, "head_dim": 20})["head_dim"] == 20
    assert "head_dim" not in attention("qwen3")  # 128 by default, which is 4096 / 32
    assert "head_dim" not in attention("llama", hidden_size=64, num_attention_heads=4, head_dim=None)
    assert "kv_heads" not in attention("llama", num_key_value_heads=None)


@pytest.mark.parametrize(("top", "text", "tied"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_either_place_ties_the_embedding(top: int, text: int, tied: bool, tmp_path: Path) -> None:
    config = {
        **LLAVA_7B,
        "tie_word_embeddings": bool(top),
        "text_config": {**LLAVA_7B["text_config"], "tie_word_embeddings": bool(text)},
    }
    assert graph(tmp_path, config)["nodes"]["llm"]["head"]["tied"] is tied


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, {"layer": -2, "drop_cls": True}),
        ({"vision_feature_select_strategy": "full", "vision_feature_layer": -1}, {"layer": -1}),
        ({"vision_feature_layer": 0}, {"layer": 0, "drop_cls": True}),
    ],
)
def test_which_features_are_read(fields: dict[str, Any], output: dict[str, Any], tmp_path: Path) -> None:
    assert graph(tmp_path, {**LLAVA_7B, **fields})["nodes"]["vision"]["output"] == output


def test_siglip(tmp_path: Path) -> None:
    config = {**LLAVA_7B, "vision_config": SIGLIP, "vision_feature_select_strategy": "full", "image_seq_length": 16}
    vision = graph(tmp_path, config)["nodes"]["vision"]
    assert "class_token" not in vision
    assert "input_norm" not in vision
    assert vision["patch"] == {"size": 16, "bias": True}
    assert vision["mlp"]["activation"] == "gelu_tanh"
    assert vision["output"] == {"layer": -2}
    assert vision["checkpoint"] == {"use": "checkpoint/siglip_vision"}


def test_the_projector(tmp_path: Path) -> None:
    made = graph(tmp_path, {**LLAVA_7B, "multimodal_projector_bias": False, "projector_hidden_act": "gelu_new"})
    expected = {
        "kind": "projector",
        "type": "mlp",
        "layers": 2,
        "activation": "gelu_tanh",
        "inputs": "vision",
        "bias": False,
    }
    assert made["nodes"]["projector"] == expected


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ({}, None, {"bos_token_id": 1, "eos_token_id": [2], "pad_token_id": 32001}),
        ({}, {"eos_token_id": [2, 5], "do_sample": True}, {"eos_token_id": [2, 5]}),
        ({}, {}, None),
        ({"pad_token_id": -1, "eos_token_id": 7}, None, {"bos_token_id": 1, "eos_token_id": [7]}),
        ({"image_token_id": 32001, "image_token_index": 32001}, {"bos_token_id": 3}, {"bos_token_id": 3}),
    ],
)
def test_special_tokens(config: dict[str, Any], generation: Any, expected: Any, tmp_path: Path) -> None:
    """A generation config is the only word where there is one; else the outer config, the text's, the class's."""
    assert graph(tmp_path, {**LLAVA_7B, **config}, generation).get("generation") == expected


def test_the_file_itself_or_its_folder(tmp_path: Path) -> None:
    write(tmp_path, LLAVA_7B)
    assert import_config(tmp_path) == import_config(tmp_path / "config.json")


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    write(tmp_path, LLAVA_7B)
    code = (
        "import sys, pathlib; from graphvlm.importers import import_config; import_config(pathlib.Path(sys.argv[1]));"
        "print([name for name in ('torch', 'transformers', 'yaml', 'jsonschema') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


# ---- what is refused


@pytest.mark.parametrize("rule", RULES)
def test_the_page_of_a_rule_is_true(rule: str, tmp_path: Path) -> None:
    page = (ROOT / "graphvlm" / "rules" / f"{rule}.md").read_text(encoding="utf-8")
    wrong, right = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    line = next(number for number, text in enumerate(wrong.splitlines(), 1) if f"# error: {rule}" in text)
    found = problems(tmp_path, re.sub(r" *# error: .*", "", wrong))
    assert [(problem.rule, problem.span and problem.span.line) for problem in found] == [(rule, line)]
    graph(tmp_path, right)
