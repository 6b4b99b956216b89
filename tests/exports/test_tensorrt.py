"""Engines by the public Python API of TensorRT: a module of the same calls, which records them, stands in for it."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from graphvlm.exporters.tensorrt import NoBackend, Order, Refused, build, chosen, unsupported
from graphvlm.exporters.tensorrt.backends import BACKENDS, Backend

RTX = next(each for each in BACKENDS if each.name == "tensorrt-rtx")
PROFILE = {"x": ((1, 2), (2, 4), (8, 16))}


class Flag(IntEnum):
    """As in `tensorrt`: flags are numbers."""

    STRONGLY_TYPED = 1
    STRIP_PLAN = 2
    REFIT = 3
    WORKSPACE = 4
    SM86 = 86
    SM120 = 120


class Recorder:
    """The objects of TensorRT in one; every call is written down. `refused` are calls that say no."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refused = refused
        self.num_errors = 1

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            self.calls.append((name, *(each for each in given if not isinstance(each, (Recorder, SimpleNamespace)))))
            if name == "build_serialized_network":
                return None if name in self.refused else b"engine"
            if name == "add_optimization_profile":
                return -1 if name in self.refused else 0
            return self if name.startswith("create_") else name not in self.refused

        return call

    def get_error(self, _: int) -> Any:
        return SimpleNamespace(node_name=lambda: "node_7", desc=lambda: "no importer for Det")


def stand_in(monkeypatch: pytest.MonkeyPatch, recorder: Recorder, name: str = "tensorrt_rtx") -> None:
    module: Any = ModuleType(name)
    module.__version__, module.__spec__ = "1.7.1", SimpleNamespace(name=name)
    module.Logger = type("Logger", (SimpleNamespace,), {"WARNING": 2, "__init__": lambda self, level: None})
    module.Builder = lambda logger: recorder
    module.OnnxParser = lambda network, logger: recorder
    module.NetworkDefinitionCreationFlag = module.BuilderFlag = module.MemoryPoolType = module.ComputeCapability = Flag
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "decode.onnx"
    path.write_bytes(b"model")
    return path


def test_the_calls(monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path) -> None:
    """Parse, profile, flags, targets, build: in the order of the samples of TensorRT."""
    recorder = Recorder()
    stand_in(monkeypatch, recorder)
    order = Order(("sm_86", "sm_120"), strip=True, refit=True, workspace=123)
    made = build(model, PROFILE, order, RTX, cache=tmp_path / "cache")
    assert made.path.read_bytes() == b"engine"
    assert recorder.calls == [
        ("create_network", 2),
        ("parse_from_file", str(model)),
        ("create_builder_config",),
        ("set_memory_pool_limit", Flag.WORKSPACE, 123),
        ("create_optimization_profile",),
        ("set_shape", "x", (1, 2), (2, 4), (8, 16)),
        ("add_optimization_profile",),
        ("set_flag", Flag.STRIP_PLAN),
        ("set_flag", Flag.REFIT),
        ("set_compute_capability", Flag.SM86, 0),
        ("set_compute_capability", Flag.SM120, 1),
        ("build_serialized_network",),
    ]
    assert recorder.num_compute_capabilities == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("parse_from_file", "decode.onnx, node `node_7`: no importer for Det"),
        ("add_optimization_profile", "does not take the profile"),
        ("set_compute_capability", "no engines for sm_86"),
        ("build_serialized_network", "gave no engine"),
    ],
)
def test_what_tensorrt_refuses(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path, call: str, said: str
) -> None:
    stand_in(monkeypatch, Recorder((call,)))
    with pytest.raises(Refused, match=said):
        build(model, PROFILE, Order(("sm_86",)), RTX, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else True


def test_engines_are_kept_by_content(monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path) -> None:
    stand_in(monkeypatch, Recorder())
    first = build(model, PROFILE, Order(), RTX, cache=tmp_path / "cache")
    assert not first.cached
    assert build(model, PROFILE, Order(), RTX, cache=tmp_path / "cache") == type(first)(first.path, cached=True)
    assert not build(model, PROFILE, Order(refit=True), RTX, cache=tmp_path / "cache").cached
    (tmp_path / "weights.bin").write_bytes(b"others")
    assert not build(model, PROFILE, Order(), RTX, cache=tmp_path / "cache").cached


def test_torch_tensorrt_reads_the_program(monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def convert(exported: Any, **options: Any) -> bytes:
        seen.update(options, exported=exported)
        return b"engine"

    module: Any = ModuleType("torch_tensorrt")
    module.Input = lambda **given: given
    module.dynamo = SimpleNamespace(convert_exported_program_to_serialized_trt_engine=convert)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", module)
    weight = SimpleNamespace(is_meta=False)
    exported = SimpleNamespace(example_inputs=((SimpleNamespace(dtype="float16"),), {}), state_dict={"w": weight})
    build(model, PROFILE, Order(), BACKENDS[0], cache=tmp_path / "cache", exported=exported)
    wanted = {"min_shape": (1, 2), "opt_shape": (2, 4), "max_shape": (8, 16), "dtype": "float16"}
    assert seen["arg_inputs"] == [wanted]
    assert seen["exported"] is exported
    weight.is_meta = True
    with pytest.raises(Refused, match="`--backend tensorrt` reads the weights from the file"):
        build(model, PROFILE, Order(refit=True), BACKENDS[0], cache=tmp_path / "cache", exported=exported)


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(Backend, "installed", lambda self: self.name in names)


def test_the_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By preference; those that need a GPU only where one is; for other GPUs the one that can."""
    installed(monkeypatch, "torch-tensorrt", "tensorrt", "tensorrt-rtx")
    assert chosen(None, (), lambda: True).name == "torch-tensorrt"
    assert chosen(None, (), lambda: False).name == "tensorrt-rtx"
    assert chosen(None, ("sm_86",), lambda: True).name == "tensorrt-rtx"
    assert chosen("tensorrt", (), lambda: False).name == "tensorrt"
    with pytest.raises(NoBackend, match="for the GPU that is here"):
        chosen("tensorrt", ("sm_86",), lambda: True)


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(NoBackend, match="`pip install tensorrt-rtx`"):
        chosen(None, ("sm_86",), lambda: False)
    with pytest.raises(NoBackend, match="`pip install torch-tensorrt`, or `pip install tensorrt`"):
        chosen(None, (), lambda: False)


def test_a_backend_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(NoBackend, match="does not start"):
        RTX.load()


def test_operators_that_the_parser_lacks() -> None:
    assert unsupported(["Add", "Det", "com.custom::Fused", "Unique", "Det"]) == ("Det", "Unique", "com.custom::Fused")
    assert json.dumps(unsupported([])) == "[]"
