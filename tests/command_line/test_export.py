"""The command `export`: what it writes, what it says where something is missing, what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from graphvlm.exporters.tensorrt import operators
from graphvlm.exporters.tensorrt.backends import Backend

from ..running import VARIANTS
from .running import Cli

# An encoder alone takes a second or two.
ENCODER = ("export", "tiny", *VARIANTS["image_alone"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "what should be made?"),
        (("--onnx", "--limit", "images=1:2"), "NAME=LEAST:USUAL:MOST"),
        (("--onnx", "--limit", "frogs=1:2:3"), "the open sizes of this graph are "),
        (("--onnx", "--limit", "images=3:2:4"), "have to grow"),
        (("--onnx", "--weights", "nowhere"), "there is no nowhere"),
        (("--pt2", "--keep", "*.wo"), "--keep is for --quantize"),
        (("--titan", "--quantize", "int8"), "what is trained keeps its type"),
        (("--trt", "--quantize", "int4"), "TensorRT has no such operator"),
        (("--onnx", "--opset", "18", "--quantize", "float8"), "float8 from opset 19 on"),
        (("--onnx", "--dtype", "bfloat16", "--quantize", "int8"), "ONNX Runtime computes nothing in bfloat16"),
    ],
)
def test_mistakes(cli: Cli, words: tuple[str, ...], said: str) -> None:
    done = cli("export", "tiny", *words)
    assert done.code == 2
    assert said in done.err


def test_packages_that_are_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphvlm.cli.export.find_spec", lambda name: None)
    done = cli("export", "tiny", "--onnx")
    assert done.code == 2
    assert "ONNX needs onnx and onnxruntime and onnxscript: pip install 'graphvlm[onnx]'" in done.err


@pytest.mark.slow
def test_no_tensorrt(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One message that says what to install; the models and profiles are there all the same."""
    monkeypatch.setattr(Backend, "installed", lambda self: False)
    done = cli(*ENCODER, "--trt", "--target", "sm_86", "--limit", "images=1:2:4")
    assert done.code == 3
    assert "no --weights: the weights are random (seed 0)" in done.err
    assert "`pip install tensorrt-rtx`" in done.err
    profile = json.loads((tmp_path / "tiny_onnx" / "encode_image.profile.json").read_text())
    assert profile["pixel_values"] == [[images, 3, 28, 42] for images in (1, 2, 4)]
    manifest = json.loads((tmp_path / "tiny_trt" / "manifest.json").read_text())
    assert (manifest["engines"], manifest["executed"], manifest["targets"]) == ([], False, ["sm_86"])

    (tmp_path / "tiny_onnx" / "notes.txt").write_text("mine")
    done = cli(*ENCODER, "--onnx")
    assert done.code == 2
    assert "tiny_onnx holds notes.txt, which no export wrote" in done.err
    assert cli(*ENCODER, "--onnx", "--force", "--json", "--no-verify").code == 0


@pytest.mark.slow
def test_a_plan_needs_no_weights(cli: Cli, tmp_path: Path) -> None:
    """A model of seven billion parameters in no memory."""
    words = ("export", "llava_1_5_7b", "nodes.llm.layers=1", "nodes.vision.layers=2", "nodes.vision.output.layer=-1")
    done = cli(*words, "--onnx", "--dry-run", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert [program["name"] for program in found["programs"]] == ["encode_image", "prefill", "decode"]
    assert found["memory"]["cache_per_token"] == 2 * 4096 * 4 + 1  # and the flag of the slot
    assert not found["executed"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_plan_has_the_operators_of_the_export(cli: Cli, tmp_path: Path) -> None:
    """Of a model without weights they are optimised as they are with them."""
    planned = json.loads(cli(*ENCODER, "--onnx", "--dry-run", "--json").out)
    assert cli(*ENCODER, "--onnx", "--no-verify").code == 0
    written = json.loads((tmp_path / "tiny_onnx" / "manifest.json").read_text())
    assert [each["operators"] for each in planned["programs"]] == [each["operators"] for each in written["programs"]]


@pytest.mark.slow
def test_an_operator_that_tensorrt_lacks_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if its parser did not take one that is in every encoder."""
    monkeypatch.setattr(operators, "TAKEN", operators.TAKEN - {"Softmax"})
    done = cli(*ENCODER, "--trt", "--dry-run")
    assert done.code == 1
    assert re.findall(r"TensorRT has no (\w+)", done.out) == ["Softmax"]
