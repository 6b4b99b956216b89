"""`torch.compile` gives one graph, decoding steps compile once, `torch.export` keeps every open size open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim

from graphvlm.dims import Many, Sum, Var
from graphvlm.ir import Graph

from .open_sizes import Sizes
from .running import RUN, VARIANTS, inputs, packaged, randomise, sizes, small, variant

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

LIMIT = 1e-5


class Counter:
    """A backend that runs graphs as they are and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


# Every shipped graph, and every way in which the code of others differs.
COMPILED = (
    *RUN,
    "mixed_windows",
    "dynamic_rope",
    "yarn_rope",
    "layer_kinds",
    "whole_prefix",
    "tiles_scaled",
    "image_alone",
    "many_outputs",
    "linear_attention",
    "marked_segments",
)
EXPORTED = (*COMPILED, "window", "tied", "text_alone", "prefix", "linear_rope", "qk_norm_alone", "hidden", "all_linear")


def graph(name: str) -> Graph:
    return small(name) if name in RUN else variant(name)


@cache
def model(name: str) -> Any:
    made = packaged(graph(name)).Model()
    randomise(made)
    return made.eval()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing compiled before counts."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def agree(made: Any, expected: Any) -> bool:
    pairs = list(zip(made, expected, strict=True))
    return all(float((a - b).abs().max()) <= LIMIT * float(b.abs().max()) for a, b in pairs)


# ---- compile


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", COMPILED)
def test_one_graph(name: str, padded: bool) -> None:
    """No break anywhere, with a mask that pads and with one that does not; what comes out is the same."""
    counter = Counter()
    keywords = inputs(graph(name), padded=padded)
    compiled: Any = torch.compile(model(name), fullgraph=True, backend=counter)
    with torch.no_grad():
        assert agree(compiled(**keywords), model(name)(**keywords))
    assert counter.graphs == 1


@pytest.mark.parametrize("name", ["tiny", "siglip2_qwen3_8b", "prefix_clip_llama", "mixed_windows", "dynamic_rope"])
def test_the_loss_is_one_graph_and_has_gradients(name: str) -> None:
    """Forward and backward through AOTAutograd; labels for some tokens only."""
    keywords = inputs(graph(name))
    ids = keywords["input_ids"]
    keywords["labels"] = torch.where(torch.arange(ids.size(1)) % 3 == 0, ids, -100)
    made = packaged(graph(name)).Model()
    made.load_state_dict(model(name).state_dict())
    compiled: Any = torch.compile(made.loss, fullgraph=True, backend="aot_eager", dynamic=False)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        torch.autograd.backward(compiled(**keywords))
    found = {name: parameter.grad.clone() for name, parameter in made.named_parameters() if parameter.grad is not None}
    made.zero_grad()
    torch.autograd.backward(made.loss(**keywords))
    expected = {name: parameter.grad for name, parameter in made.named_parameters() if parameter.grad is not None}
    assert found.keys() == expected.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values() if gradient is not None)
    for path, gradient in expected.items():
        assert gradient is not None
        assert float((found[path] - gradient).abs().max()) <= LIMIT * scale, path


def test_inductor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with the backend that people use: the same numbers from generated kernels.

    In a cache of its own: in that of the machine, a run that was stopped may have left half a library.
    """
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    keywords = inputs(graph("tiny"), padded=True)
    compiled: Any = torch.compile(model("tiny"), fullgraph=True)
    with torch.no_grad():
        assert agree(compiled(**keywords), model("tiny")(**keywords))


# ---- export


def open_sizes(of: Graph) -> dict[str, dict[int, Any]]:
    """Every size that the graph leaves open, open by the same name for the exporter."""
    names: dict[str, Any] = {}
    found: dict[str, dict[int, Any]] = {}
    patched = {node.inputs["image"].name for node in of.nodes.values() if node.type == "patches"}
    for name, given in of.inputs.items():
        found[name] = {}
        for axis, dim in enumerate(given.port.shape):
            if isinstance(dim, Sum) and len(dim.terms) > 1:  # as long as others are together
                found[name][axis] = Dim(f"{name}_{axis}", min=1)
                continue
            # 4 * tokens is open by the name of the tokens
            term = dim.terms[0] if isinstance(dim, Sum) and len(dim.terms) == 1 else dim
            var = term.var if isinstance(term, Many) else term
            # images are cut into patches at the size that they are padded to, which stays
            cut = name in patched and var in given.port.shape[2:]
            if isinstance(var, Var) and not cut:
                size = names.setdefault(var.key, Dim(f"{var.name}_{len(names)}", min=1))
                found[name][axis] = term.count * size if isinstance(term, Many) else size
    return found


@cache
def exported(name: str) -> Any:
    keywords = inputs(graph(name), sizes(graph(name), batch=2, seq=7), padded=True)
    return torch.export.export(model(name), (), keywords, dynamic_shapes=open_sizes(graph(name)), strict=False).module()


def other_sizes(of: Graph) -> list[Sizes]:
    wanted = [
        {"batch": 3, "seq": 13, "images": 5, "tokens": 9},
        {"batch": 1, "seq": 4, "images": 1},
        {"batch": 4, "seq": 5, "images": 2},
    ]
    return [sizes(of, **each) for each in wanted]


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_program_takes_other_sizes(name: str) -> None:
    """Other batches, lengths and numbers of images than it was exported with; one of each, too."""
    for known in other_sizes(graph(name)):
        for padded in (False, True):
            keywords = inputs(graph(name), known, seed=1, padded=padded)
            with torch.no_grad():
                expected = model(name)(**keywords)
                assert agree(exported(name)(**keywords), expected)


def test_the_parts_export_by_themselves() -> None:
    """The encoder of images and the decoder, each a program of its own; together they are the whole."""
    of, whole = graph("llava_1_5_7b"), model("llava_1_5_7b")
    names = open_sizes(of)

    class Encode(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = whole

        def forward(self, pixel_values: Tensor) -> Tensor:
            features = self.model.encode_image(pixel_values)
            assert isinstance(features, Tensor)
            return features

    keywords = inputs(of)
    encode = torch.export.export(
        Encode(), (keywords["pixel_values"],), dynamic_shapes=(names["pixel_values"],)
    ).module()
    other = inputs(of, sizes(of, batch=3, seq=11, images=4))
    with torch.no_grad():
        features = encode(other["pixel_values"])
        made = whole.decode(other["input_ids"], features, other["attention_mask"])
        assert agree(made, whole(**other))


def test_every_variant_is_compiled_or_like_one_that_is() -> None:
    assert {*COMPILED, *EXPORTED} <= {*RUN, *VARIANTS}
