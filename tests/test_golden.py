"""The packages of a few graphs, whole, as they are committed in tests/golden/: reviewed like any code.

`pytest tests/test_golden.py --update-golden` rewrites them.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import graphvlm
from graphvlm.blocks.settings import Attention, Mlp, Stack
from graphvlm.blocks.settings_linear import Delta, Fading
from graphvlm.ir import Graph
from graphvlm.passes import apply_all

from .packages import lint, type_check, unread

GOLDEN = Path(__file__).parent / "golden"
ROOT = GOLDEN.parents[1]
SHIPPED = ("llava_1_5_7b", "prefix_clip_llama", "siglip2_qwen3_8b", "tiny")
OWN = (
    "answers",
    "every_block",
    "foreign_parts",
    "gated_cross",
    "gated_parallel",
    "image_text",
    "image_tower",
    "linear_hybrid",
    "marked_tokens",
    "matching",
    "native_video",
    "padded_images",
    "paired_frames",
    "queries",
    "query_calls",
    "regrouped_spans",
    "segments",
    "sliding_sandwich",
    "sparse_latent",
    "chunked_experts",
    "speech",
    "staged",
    "shared_towers",
    "text_to_text",
    "tiles",
    "two_images",
    "two_towers",
    "videos",
)
NAMES = (*SHIPPED, *OWN)


def source(name: str) -> Path:
    return (GOLDEN if name in OWN else ROOT) / "graphs" / f"{name}.yaml"


@cache
def graph(name: str) -> Graph:
    return graphvlm.load(source(name))


@pytest.fixture(scope="session", autouse=True)
def update(pytestconfig: pytest.Config) -> None:
    """With `--update-golden`, what is built now is what is expected."""
    if pytestconfig.getoption("--update-golden"):
        for name in NAMES:
            graphvlm.build(source(name), GOLDEN, force=True)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but what Python leaves there."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def differences(old: dict[str, bytes], new: dict[str, bytes]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            before, after = (each.get(name, b"").decode(errors="replace").splitlines() for each in (old, new))
            yield "\n".join(difflib.unified_diff(before, after, f"golden/{name}", f"built/{name}", lineterm=""))


@pytest.mark.parametrize("name", NAMES)
def test_the_package_is_the_golden_one(name: str, tmp_path: Path) -> None:
    built = files(graphvlm.build(source(name), tmp_path))
    assert "\n".join(differences(files(GOLDEN / name), built)) == "", "if this is meant: pytest --update-golden"


def test_there_are_no_others() -> None:
    assert {path.name for path in GOLDEN.iterdir() if path.name != "graphs"} == set(NAMES)
    assert {path.stem for path in (GOLDEN / "graphs").iterdir()} == set(OWN)


def test_ruff_has_nothing_to_say() -> None:
    assert lint(GOLDEN) == ""


def test_every_argument_is_read() -> None:
    """Or its name says that it is not: all layers of a stack are called alike."""
    assert unread(GOLDEN) == ""


@pytest.mark.slow
def test_mypy_has_nothing_to_say() -> None:
    assert type_check(GOLDEN) == ""


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_meta(name: str, imported: Callable[[str], Any]) -> None:
    """At its full size, as it lies there."""
    import torch

    from .running import inputs, sizes

    known = sizes(graph(name))
    keywords = {key: value.to("meta") for key, value in inputs(graph(name), known).items()}
    with torch.device("meta"):
        model = imported(name).Model()
    output = model(**keywords)
    for key, ref in graph(name).outputs.items():
        assert getattr(output, key).shape == known.shape(graph(name).port(ref).shape)


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A golden package, imported from where it lies, under a name of its own and without a trace."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(name: str) -> Any:
        place = GOLDEN / name
        spec = spec_from_file_location(f"golden_{name}", place / "__init__.py", submodule_search_locations=[str(place)])
        assert spec
        assert spec.loader
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_they_show_every_block() -> None:
    """Every component, every kind of norm, activation, position, mask and pass appears in one of them."""
    shown: set[object] = set()
    for name in NAMES:
        for node in apply_all(graph(name)).nodes.values():
            shown |= {f"{node.kind}/{node.type}", getattr(node.spec, "activation", None)}
            if node.spec.stack:
                for rope in node.spec.stack.rotary:
                    shown |= {rope.type, rope.style, ("table", rope.table), ("whole", rope.whole)}
                shown.add(("ropes", min(len(set(node.spec.stack.rope_of)), 2), None in node.spec.stack.rope_of))
                shown |= set(_sublayers_shown(node.spec.stack))
                shown |= {name for name in ("learned", "input_norm") if getattr(node.spec, name, None)}
                shown.add(("kinds", min(len(node.spec.stack.kinds), 2)))
                for limit in ("windows", "chunks"):
                    found = getattr(node.spec.stack, limit)
                    shown.add((limit, bool(any(found)), min(len(set(found)), 2)))
            for op in [sub.op for kind in node.spec.stack.kinds for sub in kind.sublayers] if node.spec.stack else []:
                if isinstance(op, Attention):
                    shown |= {
                        ("merged", op.merged),
                        ("grouped", op.heads != op.kv_heads),
                        ("qk_norm", bool(op.qk_norm)),
                    }
                if isinstance(op, Mlp):
                    shown |= {op.activation, ("gated", op.gated, op.merged)}
    components = {f"{path.parent.name}/{path.stem}" for path in (ROOT / "graphvlm" / "components").glob("*/[a-z]*.py")}
    assert components - shown == set()
    wanted: set[object] = {"default", "llama3", "yarn", "gelu", "gelu_tanh", "quick_gelu", "silu", "relu"}
    wanted |= {("kinds", 1), ("kinds", 2)}
    wanted |= {(name, flag) for name in ("merged", "grouped", "qk_norm", "table") for flag in (True, False)}
    wanted |= {("gated", True, True), ("gated", True, False), ("gated", False, False)}
    wanted |= {("windows", False, 1), ("windows", True, 2), ("chunks", True, 2), "temperature"}
    wanted |= {"interleaved", "learned", "input_norm", ("whole", False), ("ropes", 2, True), "relu2", "parallel"}
    wanted |= {"pre", "post", "sandwich", "branch", "shared", "tanh", "alpha", "layer_scale", "scaled", "unit_offset"}
    wanted |= {
        "scale",
        "softcap",
        "sinks",
        "gated",
        "latent",
        "linear",
        "fading",
        "through",
        "kept",
        "over all heads",
        "index",
        "follows",
    }
    wanted |= {("moe", *each) for each in (("sigmoid", True, True, True), ("softmax", False, False, False))}
    assert wanted - shown == set()


def _sublayers_shown(stack: Stack) -> Iterator[object]:
    """What the sublayers of a stack show, in words of the language."""
    if any(len(group) > 1 for kind in stack.kinds for group in kind.groups):
        yield "parallel"
    for sublayer in [each for kind in stack.kinds for each in kind.sublayers]:
        op, residual = sublayer.op, sublayer.residual
        yield from (sublayer.place, residual.gate)
        yield from (
            word
            for word, on in (
                ("scaled", residual.scale != 1),
                ("kept", residual.skip not in (0, 1)),
                ("unit_offset", sublayer.norm.unit_offset),
            )
            if on
        )
        if isinstance(op, Attention):
            yield from (
                word
                for word in ("scale", "softcap", "sinks", "gated", "latent", "temperature", "index", "follows")
                if getattr(op, word)
            )
            yield "" if op.norm_heads else "over all heads"
        elif isinstance(op, Delta | Fading):
            yield "linear" if isinstance(op, Delta) else "fading"
        elif op.moe:
            router = op.moe.router
            yield ("moe", router.score, router.bias, router.top_groups < router.groups, router.normalize)
