"""Exports made for tests, and what judges them: the package itself, ONNX Runtime, and the compiler of TensorRT-RTX."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch

import graphvlm
from graphvlm.exporters import plan as plans
from graphvlm.exporters.models import loaded
from graphvlm.exporters.onnx import Exported, Options, export
from graphvlm.exporters.samples import TRACED, Samples
from graphvlm.ir import Graph

from ..running import GRAPHS, SHIPPED, shrinking, variant

GATE = Path(__file__).parents[3] / "shared" / "tools" / "trt_rtx_gate.py"
WHEEL = "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0"
NEW_TOKENS = 32
# Whose clips fill more places than a tiny decoder has.
ROOM: Mapping[str, tuple[str, ...]] = MappingProxyType({"video_llava_7b": ("nodes.llm.max_tokens=768",)})


def graph(name: str) -> Graph:
    """A ready graph at a tiny size, or a variant of the smallest."""
    if name not in SHIPPED:
        return variant(name)
    return graphvlm.load(GRAPHS / f"{name}.yaml", overrides=(*shrinking(name), *ROOM.get(name, ())))


def exported(name: str, folder: Path, say: Callable[[str], None] = lambda _: None) -> Exported:
    """A graph exported with random weights."""
    return export(graph(name), folder, Options(force=True), say)


def runner(folder: Path) -> ModuleType:
    """The script that an export brings along, as a module."""
    spec = importlib.util.spec_from_file_location(f"run_onnx_{folder.name}", folder / "run_onnx.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def greedy(name: str, folder: Path, *, new: int = NEW_TOKENS, **sizes: int) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens by the script from the files alone, and by the package; prompts with padding."""
    of = graph(name)
    package, model = loaded(of, None, 0, "float32")
    samples = Samples(plans.make(of), model, {**TRACED, **sizes}, 1, padded=True)
    given = {key: samples.given[key] for key in of.inputs}
    made = runner(folder).Models(folder).generate({key: part.numpy() for key, part in given.items()}, new, eos=())
    tokens = plans.make(of).view.tokens
    ids = given.pop(tokens)
    with torch.no_grad():
        whole = sys.modules[f"{package.__name__}.generate"].generate(
            model, ids, **given, max_new_tokens=new, eos_token_id=None
        )
    return made.tolist(), whole[:, ids.size(1) :].tolist()


def why_no_gate() -> str:
    """Why the compiler of TensorRT-RTX cannot be asked here; empty if it can."""
    if not GATE.exists():
        return f"{GATE} is not there"
    if importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx") is None:
        return f"pip install --no-deps {WHEEL}"
    return ""


def gate(model: Path, targets: Iterable[int] = (86, 89, 120)) -> Mapping[str, Any]:
    """What the compiler of TensorRT-RTX says of a model and its profile."""
    profile = model.with_suffix(".profile.json")
    wanted = [word for target in targets for word in ("--cc", str(target))]
    command = [sys.executable, str(GATE), str(model), "--profile", str(profile), *wanted]
    ended = subprocess.run(command, capture_output=True, check=False, text=True, timeout=600)
    try:
        found: Mapping[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"built": False, "errors": [], "log": [f"exit {ended.returncode}", *ended.stderr.splitlines()[-1:]]}
    return found


def refusal(found: Mapping[str, Any]) -> str:
    """Why a model was refused, in a line; empty if it was built."""
    if found.get("built"):
        return ""
    errors = [f"{each['op']}: {each['why']}" for each in found.get("errors", ())]
    return (
        errors or [line for line in found.get("log", ()) if line[0] in "EF"] or found.get("log", ()) or ["refused"]
    )[0]
