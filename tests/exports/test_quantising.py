"""Weights in fewer bits: the numbers are torchao's, and every target computes with them what the package does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import graphvlm
from graphvlm.exporters import hub, onnx, pt2
from graphvlm.exporters.models import loaded
from graphvlm.exporters.quantising import KINDS, FourBits, NoTorchao, Recipe, packed, weights
from graphvlm.ir import Graph

from ..running import TINY, variant
from . import judging

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
needs_torchao = pytest.mark.usefixtures("torchao")
# Rows of the decoder are whole groups of 32; those of the encoder are not.
WIDE = (
    "nodes.llm.dim=64",
    "nodes.llm.mlp.hidden=96",
    "nodes.llm.attention={heads: 8, kv_heads: 2, head_dim: 16}",
)
BOUND = {"int8": 0.1, "float8": 0.3, "int4": 0.6}


@pytest.fixture(scope="session")
def torchao() -> Any:
    return pytest.importorskip("torchao", reason="quantisation is done by torchao")


def wide() -> Graph:
    return graphvlm.load(TINY, overrides=WIDE)


@needs_torchao
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_those_of_torchao(kind: str) -> None:
    """What they stand for, as it computes that; four bits two a byte too."""
    from torchao.quantization import quantize_

    from graphvlm.exporters.quantising import config

    torch.manual_seed(0)
    layer, other = torch.nn.Linear(64, 9, bias=False), torch.nn.Linear(64, 9, bias=False)
    other.load_state_dict(layer.state_dict())
    quantize_(other, config(kind))
    kept: Any = other.weight
    found = weights(torch.nn.Sequential(layer), Recipe(kind))["0"]
    assert torch.equal(layer.weight, kept.dequantize())
    assert torch.equal(found.values, kept.dequantize())
    if kind == "int4":
        pairs = packed(found.numbers)
        assert (pairs.dtype, pairs.shape) == (torch.uint8, (9, 32))
        assert torch.equal(FourBits(found.scale)(pairs), found.values)


@needs_torchao
def test_what_stays() -> None:
    """Heads, routers and indexers unless others are named; what is left then has to be something."""
    graph = graphvlm.load(TINY, overrides=["nodes.llm.mlp={hidden: 72, moe: {experts: 4, top: 2}}"])
    _, model = loaded(graph, None, 0, "float32")
    done = weights(model, Recipe("int8"))
    assert not [name for name in done if "head" in name or "router" in name]
    assert any(name.endswith("wqkv") for name in done)
    _, model = loaded(wide(), None, 0, "float32")
    done = weights(model, Recipe("int8", ("vision.*", "*.wo")))
    assert "llm.head" in done
    assert not [name for name in done if name.startswith("vision.") or name.endswith(".wo")]


@needs_torchao
def test_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no linear layer is left to keep in int8: "):
        pt2.export(wide(), tmp_path / "x", pt2.Options(libraries=False, quantize=Recipe("int8", ("*",))), print)
    assert list(tmp_path.iterdir()) == []


def counted(manifest: Any, kind: str) -> None:
    """What every manifest says."""
    found = manifest["quantized"]
    assert found["kind"] == kind
    assert found["layers"] + len(found["kept"]) > 10
    assert "llm.head" in found["kept"]
    assert 1e-4 < found["difference"] < BOUND[kind]
    assert found["tokens"]["of"] == 32
    assert 0.3 < found["share"] < 0.9


@needs_torchao
@pytest.mark.parametrize("kind", ["int4", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("int8", "float8"))])
def test_programs_of_torch(kind: str, tmp_path: Path) -> None:
    """A process without torchao gets the same of them."""
    said: list[str] = []
    made = pt2.export(wide(), tmp_path / "x", pt2.Options(libraries=False, quantize=Recipe(kind)), said.append)
    assert made.agrees
    counted(made.manifest, kind)
    assert "linear layers in" in said[0]
    assert "of 32 greedy tokens" in said[0]
    program = torch.export.load(made.folder / "prefill.pt2")
    kinds = {tensor.dtype for tensor in program.state_dict.values()}
    assert {"int8": torch.int8, "int4": torch.uint8, "float8": torch.float8_e4m3fn}[kind] in kinds


@needs_torchao
@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_onnx(kind: str, tmp_path: Path) -> None:
    """ONNX Runtime agrees with the package of the same numbers, and `run_onnx.py` writes its text."""
    made = onnx.export(wide(), tmp_path / "x", onnx.Options(quantize=Recipe(kind)), lambda _: None)
    assert made.agrees
    counted(made.manifest, kind)
    operators = made.manifest["programs"][1]["operators"]
    assert any("MatMulNBits" in name for name in operators) == (kind == "int4")
    assert ("DequantizeLinear" in operators) == (kind != "int4")
    package, model = loaded(wide(), None, 0, "float32")
    ids = torch.arange(3, 12)[None]
    expected = generated(package, model, ids)
    weights(model, Recipe(kind))
    found = judging.runner(made.folder).Models(made.folder).generate({"input_ids": ids.numpy()}, 16, eos=())
    changed = generated(package, model, ids)
    assert torch.equal(torch.from_numpy(found), changed)
    assert kind == "int8" or not torch.equal(changed, expected)


def generated(package: Any, model: Any, ids: torch.Tensor) -> torch.Tensor:
    generate: Callable[..., torch.Tensor] = sys.modules[f"{package.__name__}.generate"].generate
    return generate(model, ids, max_new_tokens=16, eos_token_id=None)[:, ids.size(1) :]


@needs_torchao
@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_directories_for_transformers(kind: str, tmp_path: Path) -> None:
    """`from_pretrained` finds in the config how the weights are kept; logits and text are those of the numbers."""
    made = hub.export(wide(), tmp_path / "x", hub.Options(quantize=Recipe(kind)), lambda _: None)
    assert made.agrees
    counted(made.manifest, kind)
    plain = hub.export(wide(), tmp_path / "y", hub.Options(verify=False), lambda _: None)
    sizes = [(each.folder / "model.safetensors").stat().st_size for each in (made, plain)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("target", [pt2, onnx, hub])
def test_without_torchao(target: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchao"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchao", None)
    graph = variant("image_alone") if target is not hub else wide()
    options: dict[str, Any] = {"verify": False, "quantize": Recipe("int8")}
    with pytest.raises(NoTorchao, match=r"pip install 'graphvlm\[quant\]'"):
        target.export(graph, tmp_path / "x", target.Options(**options, **_alone(target)), lambda _: None)


def _alone(target: Any) -> dict[str, bool]:
    return {"libraries": False} if target is pt2 else {}
