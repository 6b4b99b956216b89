"""A small graph as ONNX: what is in the folder, and that ONNX Runtime and the script agree with the package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import graphvlm
from graphvlm.exporters.folder import digest
from graphvlm.exporters.onnx import Exported, Options, export

from ..running import TINY, VARIANTS, small, variant
from . import judging

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> Exported:
    """The smallest graph, exported once."""
    del own_cache
    return judging.exported("tiny", tmp_path_factory.mktemp("onnx") / "tiny_onnx")


def test_the_folder_is_complete(tiny: Exported) -> None:
    programs = ["encode_image", "prefill", "decode"]
    assert [program["name"] for program in tiny.manifest["programs"]] == programs
    wanted = {*(f"{name}.onnx" for name in programs), *(f"{name}.profile.json" for name in programs)}
    assert {path.name for path in tiny.folder.iterdir()} == {*wanted, "manifest.json", "run_onnx.py"}
    manifest = json.loads((tiny.folder / "manifest.json").read_text())
    assert manifest["files"] == {
        path.name: digest(path) for path in sorted(tiny.folder.iterdir()) if path.name != "manifest.json"
    }
    assert manifest["versions"]["torch"] == str(torch.__version__)


def test_the_manifest_is_what_the_models_say(tiny: Exported) -> None:
    import onnx

    numbers = {"float32": 1, "int64": 7, "bool": 9}
    for program in tiny.manifest["programs"]:
        graph = onnx.load(tiny.folder / program["file"]).graph
        for values, described in ((graph.input, program["inputs"]), (graph.output, program["outputs"])):
            shown = [
                (
                    value.name,
                    value.type.tensor_type.elem_type,
                    [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim],
                )
                for value in values
            ]
            assert shown == [(each["name"], numbers[each["dtype"]], each["shape"]) for each in described]
        profile = json.loads((tiny.folder / program["profile"]).read_text())
        assert {name: len(shapes[0]) for name, shapes in profile.items()} == {
            each["name"]: len(each["shape"]) for each in program["inputs"]
        }


def test_profiles_are_limits_of_the_graph(tiny: Exported) -> None:
    profile = json.loads((tiny.folder / "prefill.profile.json").read_text())
    assert profile["input_ids"] == [[1, 2], [1, 192], [8, 192]]
    assert profile["image_features"] == [[1, 9, 48], [1, 9, 48], [8, 9, 48]]


def test_models_hold_nothing_of_the_machine(tiny: Exported) -> None:
    for path in tiny.folder.iterdir():
        assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()


def test_models_are_valid(tiny: Exported) -> None:
    import onnx

    for program in tiny.manifest["programs"]:
        onnx.checker.check_model(tiny.folder / program["file"], full_check=True)


def test_onnx_runtime_agrees_at_other_sizes(tiny: Exported) -> None:
    assert tiny.agrees
    assert {each.program for each in tiny.differences} == {"encode_image", "prefill", "decode"}
    batches = {each.shapes["input_ids"][0] for each in tiny.differences if each.program == "decode"}
    assert batches == {1, 3, 4}


def test_a_wrong_model_is_found(tiny: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What comes out is off by a little."""
    from graphvlm.exporters.onnx import verify

    def bent(self: Any, program: str, given: Any) -> Any:
        return {
            name: array + 0.01 if array.dtype == np.float32 else array
            for name, array in right(self, program, given).items()
        }

    right = verify.Runtime.__call__
    monkeypatch.setattr(verify.Runtime, "__call__", bent)
    made = export(variant("image_alone"), tmp_path / "x", Options(), lambda _: None)
    assert not made.agrees


def test_the_script_generates_what_the_package_generates(tiny: Exported) -> None:
    ours, theirs = judging.greedy("tiny", tiny.folder)
    assert len(ours[0]) == judging.NEW_TOKENS
    assert ours == theirs


def test_the_script_needs_the_files_alone(tiny: Exported) -> None:
    """In a process of its own: no torch, no graphvlm; text only, a prompt of one token too."""
    for ids in ("5", "5,6,7"):
        command = [sys.executable, "-I", str(tiny.folder / "run_onnx.py"), "--ids", ids, "--max-new-tokens", "4"]
        ended = [
            subprocess.run([*command, *lean], capture_output=True, check=True, text=True).stdout
            for lean in ((), ("--lean",))
        ]
        assert 1 <= len(ended[0].split()) <= 4
        assert ended[0] == ended[1]
    script = f"import sys; sys.path.insert(0, {str(tiny.folder)!r}); import run_onnx; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=True, text=True).stdout
    assert not {"torch", "graphvlm", "transformers"} & {*modules.split()}


def test_text_without_images(tiny: Exported) -> None:
    """Image features that nobody looks at stand in for those that are not there."""
    from graphvlm.exporters.models import loaded

    package, model = loaded(small("tiny"), None, 0, "float32")
    ids = torch.tensor([[5, 6, 7]])
    made = judging.runner(tiny.folder).Models(tiny.folder).generate({"input_ids": ids.numpy()}, 6, eos=())
    whole = sys.modules[f"{package.__name__}.generate"].generate(model, ids, max_new_tokens=6, eos_token_id=None)
    assert made.tolist() == whole[:, 3:].tolist()


def test_padding_is_on_either_side(tmp_path: Path) -> None:
    """Windows are of tokens, where padding stands between a prompt and what follows too."""
    from graphvlm.exporters.models import loaded

    graph = graphvlm.load(TINY, overrides=[*VARIANTS["text_alone"], *VARIANTS["window"]])
    made = export(graph, tmp_path / "x", Options(verify=False), lambda _: None)
    package, model = loaded(graph, None, 0, "float32")
    ids, mask = torch.arange(3, 21).view(2, 9), torch.ones(2, 9, dtype=torch.long)
    mask[1, 4:] = 0
    given = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    found = judging.runner(made.folder).Models(made.folder).generate(given, 8, eos=())
    generate = sys.modules[f"{package.__name__}.generate"].generate
    alone = generate(model, ids[1:, :4], max_new_tokens=8, eos_token_id=None)
    assert found[1].tolist() == alone[0, 4:].tolist()


@pytest.mark.skipif(judging.why_no_gate() != "", reason=judging.why_no_gate() or "-")
def test_tensorrt_takes_every_program(tiny: Exported) -> None:
    for program in tiny.manifest["programs"]:
        found = judging.gate(tiny.folder / program["file"])
        assert judging.refusal(found) == ""
        for kind in ("inputs", "outputs"):
            assert {*found[kind]} == {each["name"] for each in program[kind]}


FAMILIES = ["llava_1_5_7b", "qwen2_5_vl_7b", "gemma_3_4b", "llama_3_2_vision_11b", "internvl3_8b", "mixtral_8x7b"]


@pytest.mark.skipif(judging.why_no_gate() != "", reason=judging.why_no_gate() or "-")
@pytest.mark.parametrize("name", FAMILIES)
def test_tensorrt_takes_every_program_of_six_families(name: str, tmp_path: Path) -> None:
    made = export(judging.graph(name), tmp_path / "x", Options(verify=False), lambda _: None)
    refused = {
        each["name"]: judging.refusal(judging.gate(made.folder / each["file"])) for each in made.manifest["programs"]
    }
    assert len(refused) > 1
    assert {name: why for name, why in refused.items() if why} == {}


def test_weights_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a size they stand in a file of their own, which prefill and decode share."""
    monkeypatch.setattr(sys.modules["graphvlm.exporters.onnx.export"], "LIMIT", 1000)
    made = export(variant("text_alone"), tmp_path / "x", Options(), lambda _: None)
    assert made.agrees
    whole = sum(
        parameter.count for node in variant("text_alone").nodes.values() for parameter in node.spec.parameters()
    )
    assert (made.folder / "weights.bin").stat().st_size < 2 * 4 * whole


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_half_the_size(dtype: str, tmp_path: Path) -> None:
    """Images, features and weights are of that type; ONNX Runtime compares what it can compute."""
    import onnx

    said: list[str] = []
    made = export(variant("image_alone"), tmp_path / "x", Options(dtype=dtype), said.append)
    assert made.agrees
    assert bool(made.differences) == (dtype == "float16")
    assert any("not verified" in line for line in said) == (dtype == "bfloat16")
    program = made.manifest["programs"][0]
    assert {each["dtype"] for each in (*program["inputs"], *program["outputs"])} == {dtype}
    # A convolution in bfloat16 is there from opset 22 on alone.
    onnx.checker.check_model(tmp_path / "x" / program["file"], full_check=dtype == "float16")


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["tiny", "mixtral_8x7b", "gpt_oss_20b", "qwen2_5_vl_7b"])
def test_graphs_in_half_the_size(name: str, dtype: str, tmp_path: Path) -> None:
    assert export(small(name), tmp_path / "x", Options(dtype=dtype), lambda _: None).agrees


def test_what_is_for_training_is_named() -> None:
    """A graph with a loss and a teacher; where they stand is said of each."""
    from graphvlm.diagnostics import GraphError
    from graphvlm.exporters import plan as plans

    from ..running import loaded

    with pytest.raises(GraphError) as caught:
        plans.make(loaded("albef_classification"))
    assert {each.rule for each in caught.value.diagnostics} == {"trained-only"}
    said = [each.message for each in caught.value.diagnostics]
    assert "`loss_of_classes` is a loss, and for training alone: no program that is deployed has it" in said
    assert any("is a teacher" in each for each in said)
    assert all(each.span is not None and each.help for each in caught.value.diagnostics)


def test_what_roundings_do_is_told_from_what_is_wrong() -> None:
    from graphvlm.exporters.onnx.export import Exported
    from graphvlm.exporters.onnx.verify import Difference

    assert not Difference("decode", {}, 2e-4, "logits").rounded
    assert Difference("decode", {}, 4e-4, "logits", (2e-4, 3e-4)).rounded
    assert not Difference("decode", {}, 4e-4, "logits", (2e-4, 1.9e-4)).rounded
    found = Difference("decode", {}, 2e-4, "logits", (1e-6, 2e-4))
    assert not Exported(Path(), {"dtype": "float32"}, (found,), ()).agrees


def test_a_program_in_double_precision(one_thread: None) -> None:
    """Linear attention asks for single precision by name, and gets double."""
    from graphvlm.exporters import plan as plans
    from graphvlm.exporters.exact import exact
    from graphvlm.exporters.models import loaded
    from graphvlm.exporters.programs import Prefill
    from graphvlm.exporters.samples import TRACED, Samples
    from graphvlm.exporters.tracing import run

    graph = variant("linear_attention")
    package, model = loaded(graph, None, 0, None)
    plan = plans.make(graph)
    done = run(Prefill(plan, model, package), Samples(plan, model, TRACED, 0, padded=True).given)
    right = exact(done)["logits"]
    assert right.dtype == torch.float64
    assert torch.equal(right, right.float().double()) is False
    assert torch.allclose(done.outputs["logits"].double(), right, atol=1e-4 * float(right.abs().max()))
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.long
def test_a_dry_run_of_clips_fits_the_decoder() -> None:
    """On meta features fill as many places as they can, which several rows share."""
    from graphvlm.exporters.onnx.survey import survey

    found = survey(small("llava_onevision_qwen2_7b"), Options(), lambda _: None)
    assert [each["name"] for each in found["programs"]] == ["encode_image", "encode_video", "prefill", "decode"]
