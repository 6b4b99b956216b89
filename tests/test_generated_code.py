"""Generated packages as code: their weights and shapes are those of the graph, their text is the same everywhere."""

from __future__ import annotations

import ast
import hashlib
import json
import locale
import re
import sys
from collections.abc import Callable
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import graphvlm
from graphvlm.components.encoder.image_stack import ImageStack
from graphvlm.components.projector.frame_merger import FrameMerger
from graphvlm.components.projector.tile_packing import TilePacking
from graphvlm.diagnostics import Source
from graphvlm.dims import Var
from graphvlm.ir import Graph
from graphvlm.keys import entries
from graphvlm.passes import apply_all

from .open_sizes import Sizes
from .packages import lint, python, type_check, write
from .renaming import renamed
from .running import ROOT, RUN, TINY, VARIANTS, inputs, loaded, packaged, randomise, sizes, small, variant
from .shapes import contradictions, watch
from .shrinking import few_layers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

GRAPHS: dict[str, Callable[[], Graph]] = {
    **{name: partial(loaded, name) for name in RUN},
    **{f"small_{name}": partial(small, name) for name in RUN if name != "tiny"},
    **{name: partial(variant, name) for name in VARIANTS},
}


def weights(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Path and shape of every parameter that a graph says it has."""
    nodes = apply_all(graph).nodes.items()
    return {f"{name}.{found.path}": found.shape for name, node in nodes for found in node.parameters}


@pytest.mark.parametrize("name", GRAPHS)
def test_weights_are_those_of_the_graph(name: str) -> None:
    """Also at full size: on the meta device, where they take no memory."""
    graph = GRAPHS[name]()
    with torch.device("meta"):
        model = packaged(graph).Model()
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == weights(graph)
    assert {path for path, _ in model.named_parameters()} == weights(graph).keys()
    assert sum(parameter.numel() for parameter in model.parameters()) == apply_all(graph).parameter_count


@pytest.mark.parametrize("name", GRAPHS)
def test_keys_are_those_of_the_graph(name: str) -> None:
    """What the package looks for in a checkpoint is what `graphvlm weights check` looks for."""
    graph = GRAPHS[name]()
    package = packaged(graph)
    with torch.device("meta"):
        model = package.Model()
    checkpoint = sys.modules[f"{package.__name__}.checkpoint"]
    leading, transposed = getattr(checkpoint, "LEADING", {}), getattr(checkpoint, "TRANSPOSED", ())
    found = []
    for key, tensor in checkpoint.references(model):
        stored = tensor.mT if transposed and checkpoint.starred(key)[0] in transposed else tensor
        stored = stored.flatten(1) if key in getattr(checkpoint, "FLAT", ()) else stored
        if key in getattr(checkpoint, "SQUARE", ()):
            side = isqrt(stored.size(0))
            stored = stored.view(side, side, *stored.shape[1:])
        stored = stored[None] if checkpoint.starred(key)[0] in getattr(checkpoint, "ROWS", ()) else stored
        found.append((key, (1,) * leading.get(key, 0) + tuple(stored.shape)))
    assert sorted(found) == sorted((key.name, key.shape) for entry in entries(apply_all(graph)) for key in entry.keys)


def shallow(name: str) -> Graph:
    """A shipped graph with all its widths and few of its layers: a comment is the same for each."""
    overrides = []
    for node in (node for node in loaded(name).owners if node.spec.stack):
        few = [f"nodes.{node.name}{line}" for line in few_layers(node)]
        if few:
            overrides += few
            continue
        count = max((3, *getattr(node.spec, "taps", ())))
        ordered = node.tree.get("layers", "each") is not None
        overrides.append(f"nodes.{node.name}.layers={f'{{count: {count}, where: null}}' if ordered else count}")
    return graphvlm.load(ROOT / "graphs" / f"{name}.yaml", overrides=overrides)


@pytest.mark.parametrize("name", GRAPHS)
def test_shape_comments_are_true(name: str) -> None:
    """At full width on meta, at tiny size with numbers in it and padding in front."""
    graph = shallow(name) if name in RUN else GRAPHS[name]()
    known = sizes(graph)
    package, keywords = packaged(graph), inputs(graph, known, padded=name not in RUN)
    device = "meta" if name in RUN else "cpu"
    with torch.device(device):
        model = package.Model()
    output, seen = watch(Path(package.__file__).parent, lambda: model(**{k: v.to(device) for k, v in keywords.items()}))
    assert len({each.statement for each in seen}) >= len(graph.nodes)
    there = Sizes({key: size for key, size in known.of.items() if device == "cpu" or key not in counted(graph)})
    assert list(contradictions(graph, there, seen)) == []
    for key, ref in graph.outputs.items():
        assert getattr(output, key).shape == known.shape(graph.port(ref).shape), key


def counted(graph: Graph) -> set[str]:
    """Sizes that data decides, of which there are none on meta: how many tiles are real, how many tokens they take."""
    if not any(isinstance(node.spec, (ImageStack, TilePacking, FrameMerger)) for node in graph.nodes.values()):
        return set()
    ports = [port for node in graph.nodes.values() for port in node.signature.outputs.values()]
    ports += [port for node in graph.nodes.values() for port in node.signature.inputs.values()]
    dims = [dim for port in ports for dim in port.shape if isinstance(dim, Var)]
    return {dim.key for dim in dims if dim.name in ("tiles", "tokens")}


@pytest.mark.parametrize("name", ["tiny", "prefix_clip_llama", "many_outputs"])
def test_a_wrong_comment_would_be_found(name: str) -> None:
    """The test above sees a width that is off by one, in any line of `model.py`."""
    graph = small(name) if name in RUN else variant(name)
    known, model = sizes(graph), packaged(graph).Model()
    _, seen = watch(Path(packaged(graph).__file__).parent, lambda: model(**inputs(graph, known)))
    for each in seen:
        if each.file == "model.py":
            last = str(int(each.statement.shape[-1]) + 1)
            changed = type(each.statement)(
                each.statement.first, each.statement.last, "x", (*each.statement.shape[:-1], last)
            )
            assert list(contradictions(graph, known, [type(each)(each.file, changed, each.shape)]))


# ---- the same text everywhere

DIGESTS = """
import hashlib, json, locale, sys
import graphvlm
from graphvlm.components.encoder.image_stack import ImageStack
from graphvlm.components.projector.tile_packing import TilePacking
from graphvlm.diagnostics import Source
from graphvlm.dims import Var
from pathlib import Path
if len(sys.argv) > 2:
    locale.setlocale(locale.LC_ALL, sys.argv[2])
found = {}
for name, text in json.loads(Path(sys.argv[1]).read_text("utf-8")).items():
    out = Path(sys.argv[1]).parent / "out"
    folder = graphvlm.build(Source("graph.yaml", text), out, force=True)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    found[name] = files
print(json.dumps(found, sort_keys=True))
"""


def texts() -> dict[str, str]:
    """Graphs as text, with letters that no ASCII has: every second one, which are of all kinds."""
    found = {name: graphvlm.render(GRAPHS[name]())["graph.yaml"] for name in [*GRAPHS][::2]}
    return {
        name: re.sub(r'^(description: "?)(.*)$', r"\1ÄÖİ 図 \2", text, flags=re.MULTILINE)
        for name, text in found.items()
    }


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Names and sums of all files of all packages, as a process of its own writes them."""

    def run(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
        place = tmp_path_factory.mktemp("digests")
        (place / "graphs.json").write_text(json.dumps(texts()), encoding="utf-8")
        printed = python("-c", DIGESTS, str(place / "graphs.json"), *arguments, environment=environment)
        found: dict[str, Any] = json.loads(printed)
        return found

    return run


def turkish() -> str:
    """A locale in which `I` is not the capital of `i`, if the machine has one."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        for name in ("tr_TR.UTF-8", "tr_TR.utf8", "tr_TR"):
            try:
                return locale.setlocale(locale.LC_ALL, name)
            except locale.Error:
                continue
    finally:
        locale.setlocale(locale.LC_ALL, before)
    return ""


def test_the_same_graph_gives_the_same_bytes(digests: Callable[..., dict[str, Any]]) -> None:
    """Whatever order sets have, wherever the process runs, whatever letters it takes for granted."""
    here = {}
    for name, text in texts().items():
        files = graphvlm.render(graphvlm.load(Source("graph.yaml", text)))
        here[name] = {file: hashlib.sha256(content.encode()).hexdigest() for file, content in files.items()}
    plain = {
        "PYTHONHASHSEED": "1",
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "TZ": "UTC",
    }
    other = {"PYTHONHASHSEED": "4242", "LC_ALL": turkish() or "C.UTF-8", "COLUMNS": "40", "TZ": "Asia/Kathmandu"}
    for found in (digests(plain), digests(other, *filter(None, [turkish()]))):
        assert {name: {file: one[file] for file in here[name]} for name, one in found.items()} == here
        assert all(one.keys() == {*here[name], ".graphvlm.json"} for name, one in found.items())


@pytest.mark.parametrize("name", GRAPHS)
def test_building_the_written_graph_gives_the_same_package(name: str) -> None:
    files = graphvlm.render(GRAPHS[name]())
    again = graphvlm.render(graphvlm.load(Source("graph.yaml", files["graph.yaml"])))
    assert again == files


def test_what_was_inferred_is_written_out() -> None:
    text = graphvlm.render(loaded("llava_1_5_7b"))["graph.yaml"]
    written = yaml.safe_load(text)
    assert written["inputs"]["attention_mask"] == "mask"
    nodes = written["nodes"]
    assert (nodes["projector"]["in"], nodes["projector"]["out"]) == (1024, 4096)
    assert (nodes["text"]["vocab"], nodes["text"]["dim"]) == (32064, 4096)
    assert nodes["fused"]["dim"] == 4096
    assert nodes["llm"]["inputs"] == {"features": "fused", "mask": "attention_mask"}
    assert re.findall(r"\b(use|extends):", text) == []


def test_what_stays_frozen_longest_has_the_last_word() -> None:
    """A schedule must not thaw what another pattern keeps frozen."""
    schedules = "{llm: {until_step: 100}, projector: {until_step: 5}}"
    freeze = f'freeze={{patterns: ["llm.layers.0", "llm.layers.*.attn.wo"], schedules: {schedules}}}'
    model = packaged(graphvlm.load(TINY, overrides=[freeze])).Model()

    def learning() -> set[str]:
        return {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    everything = {name for name, _ in model.named_parameters()}
    forever = {name for name in everything if name.startswith(("llm.layers.0.", "llm.layers.1.attn.wo."))}
    until_100 = {name for name in everything if name.startswith("llm.")}
    assert learning() == everything - until_100 - {name for name in everything if name.startswith("projector.")}
    model.freeze(step=5)
    assert learning() == everything - until_100
    model.freeze(step=100)
    assert learning() == everything - forever


# ---- good code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every variant as a package, some of them with the longest names that lines are laid out for."""
    place = tmp_path_factory.mktemp("packages")
    for name, make in GRAPHS.items():
        if name not in RUN:
            files = graphvlm.render(make())
            write(place / name, files)
            text = yaml.safe_dump(renamed(yaml.safe_load(files["graph.yaml"]), long), sort_keys=False)
            write(place / f"long_{name}", graphvlm.render(graphvlm.load(Source("long.yaml", text))))
    return place


LONGEST = 21


def long(_: str, name: str) -> str:
    """The longest name that begins like this one."""
    return (name.replace("_", "") + "x" * LONGEST)[:LONGEST]


def test_ruff_has_nothing_to_say(folder: Path) -> None:
    assert lint(folder) == ""


def test_mypy_has_nothing_to_say(folder: Path) -> None:
    assert type_check(folder) == ""


def test_packages_import_torch_and_safetensors_and_nothing_else(folder: Path) -> None:
    """But for processors, which no other page reads, and which stand on those of transformers."""
    usual = {*sys.stdlib_module_names, "torch", "safetensors"}
    for path in folder.glob("*/*.py"):
        allowed = usual | ({"transformers"} if path.name == "processor.py" else set())
        assert "from .processor" not in path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert {name.split(".")[0] for name in names} <= allowed, path


WITHOUT = """
import importlib, pkgutil, sys
for name in ("graphvlm", "transformers", "yaml", "jsonschema", "numpy.testing"):
    sys.modules[name] = None  # importing it raises ImportError
package = importlib.import_module(sys.argv[1])
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"{sys.argv[1]}.{module.name}")
model = package.Model()
print(sum(parameter.numel() for parameter in model.parameters()))
"""


def test_a_package_runs_without_the_compiler(tmp_path: Path) -> None:
    graph = small("tiny")
    write(tmp_path / "alone", graphvlm.render(graph))
    printed = python("-c", WITHOUT, "alone", cwd=tmp_path)
    assert int(printed) == apply_all(graph).parameter_count


@pytest.mark.parametrize("name", ["tiny", "prefix_clip_llama", "yarn_rope", "layer_kinds", "look_alikes", "learned"])
def test_a_model_from_meta_is_filled_by_reset_parameters(name: str) -> None:
    """Weights and tables: what `to_empty` leaves is whatever lay there."""
    graph = GRAPHS[f"small_{name}" if name == "prefix_clip_llama" else name]()
    package = packaged(graph)
    with torch.device("meta"):
        empty = package.Model()
    empty.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*empty.parameters(), *empty.buffers()):
            tensor.fill_(torch.nan)
    empty.reset_parameters()
    assert all(tensor.isfinite().all() for tensor in (*empty.parameters(), *empty.buffers()))
    plain = package.Model()
    assert [key for key, _ in empty.named_buffers()] == [key for key, _ in plain.named_buffers()]
    assert all(torch.equal(tensor, plain.get_buffer(key)) for key, tensor in empty.named_buffers())
    randomise(empty)
    plain.load_state_dict(empty.state_dict())
    keywords = inputs(graph)
    for ours, other in zip(empty(**keywords), plain(**keywords), strict=True):
        assert torch.equal(ours, other)
