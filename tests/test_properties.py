"""Properties of any graph: legal ones build, run and learn; illegal ones are diagnosed, never anything else."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import graphvlm
from graphvlm.diagnostics import Source
from graphvlm.ir import Graph
from graphvlm.passes import apply_all, dead_layers

from .running import Sizes, inputs, packaged, randomise, sizes
from .shapes import contradictions, watch
from .strategies import Plain, graphs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def load(plain: Plain) -> Graph:
    return graphvlm.load(Source("drawn.yaml", yaml.safe_dump(plain, sort_keys=False)))


def run(graph: Graph, known: Sizes) -> tuple[Any, dict[str, Tensor | None]]:
    """A model with random weights, and what it makes of random inputs; every shape comment is checked on the way."""
    package = packaged(graph)
    model = package.Model()
    randomise(model)
    keywords = inputs(graph, known, padded=known.of != sizes(graph).of)
    output, seen = watch(Path(package.__file__).parent, lambda: model(**keywords))
    assert seen
    assert list(contradictions(graph, known, seen)) == []
    return model, output._asdict()


@settings(max_examples=120)
@given(graphs(), st.integers(1, 3), st.integers(1, 20))
def test_legal_graphs_run(plain: Plain, batch: int, seq: int) -> None:
    graph = load(plain)
    known = sizes(graph, batch=batch, seq=seq)
    model, output = run(graph, known)
    for name, ref in graph.outputs.items():
        value = output[name]
        assert value is not None
        assert value.shape == known.shape(graph.port(ref).shape), name
        assert bool(value.isfinite().all()), name
    expected = {f"{n}.{p.path}": p.shape for n, node in apply_all(graph).nodes.items() for p in node.spec.parameters()}
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == expected
    check_gradients(graph, model, output)


def check_gradients(graph: Graph, model: Any, output: Mapping[str, Tensor | None]) -> None:
    """Every parameter that is not frozen and that an output depends on gets a gradient; no other does."""
    alive = {
        f"{name}.{piece.path}"
        for name, node in dead_layers.apply(graph).nodes.items()
        for parameter in node.spec.parameters()
        for piece in parameter.pieces
    }
    pieces = {
        f"{name}.{parameter.path}": [f"{name}.{piece.path}" for piece in parameter.pieces]
        for name, node in apply_all(graph).nodes.items()
        for parameter in node.spec.parameters()
    }
    total = sum(value.float().square().sum() for value in output.values() if value is not None and value.requires_grad)
    if isinstance(total, Tensor):
        total.backward()
    for path, parameter in model.named_parameters():
        is_frozen = all(frozen(graph, piece) for piece in pieces[path])
        assert parameter.requires_grad is not is_frozen, path
        learns = not is_frozen and any(piece in alive for piece in pieces[path])
        assert (parameter.grad is not None) is learns, path


def frozen(graph: Graph, path: str) -> bool:
    node = path.split(".", maxsplit=1)[0]
    patterns = [freeze.pattern for freeze in graph.freeze]
    return any(
        fnmatchcase(node, pattern) or fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")
        for pattern in patterns
    )
