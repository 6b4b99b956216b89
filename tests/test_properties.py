"""Properties of any graph: legal ones build, run and learn; illegal ones are diagnosed, never anything else."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import graphvlm
from graphvlm.blocks.parameters import Parameter
from graphvlm.components.fusion.scatter import Scatter
from graphvlm.diagnostics import GraphError, Source
from graphvlm.ir import Graph
from graphvlm.passes import apply_all, dead_layers

from .block_strategies import Plain
from .mutations import damaged
from .open_sizes import Sizes
from .packages import lint, type_check, write
from .renaming import renamed
from .running import GRAPHS, RUN, TINY, VARIANTS, inputs, packaged, randomise, sizes, small, variant
from .shapes import contradictions, watch
from .strategies import graphs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SEARCH = os.environ.get("HYPOTHESIS_PROFILE") == "search"
LIMIT = 1_000_000  # parameters of a model that is run


def examples(count: int) -> settings:
    """So many examples, unless more are asked for."""
    return settings() if SEARCH else settings(max_examples=count)


def load(plain: Plain) -> Graph:
    return graphvlm.load(Source("drawn.yaml", yaml.safe_dump(plain, sort_keys=False)))


def model_of(graph: Graph) -> Any:
    model = packaged(graph).Model()
    randomise(model)
    return model


def run(graph: Graph, known: Sizes) -> tuple[Any, dict[str, Tensor | None]]:
    """A model with random weights, and what it makes of random inputs; every shape comment is checked on the way."""
    model, keywords = model_of(graph), inputs(graph, known)
    folder = Path(str(sys.modules[type(model).__module__].__file__)).parent
    output, seen = watch(folder, lambda: model(**keywords))
    assert seen
    assert list(contradictions(graph, known, seen)) == []
    return model, output._asdict()


@examples(60)
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
    expected = {f"{n}.{p.path}": p.shape for n, node in apply_all(graph).nodes.items() for p in node.parameters}
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == expected
    check_gradients(graph, model, output)


def check_gradients(graph: Graph, model: Any, output: Mapping[str, Tensor | None]) -> None:
    """Every parameter that is not frozen and that an output depends on gets a gradient; no other does."""
    alive = {
        f"{name}.{path}"
        for name, node in dead_layers.apply(graph).nodes.items()
        for parameter in node.parameters
        for path in named(parameter)
    }
    pieces = {
        f"{name}.{parameter.path}": [f"{name}.{path}" for path in named(parameter)]
        for name, node in apply_all(graph).nodes.items()
        for parameter in node.parameters
    }
    total = sum(value.float().square().sum() for value in output.values() if value is not None and value.requires_grad)
    if isinstance(total, Tensor):
        torch.autograd.backward(total)
    for path, parameter in model.named_parameters():
        is_frozen = all(frozen(graph, piece) for piece in pieces[path])
        assert parameter.requires_grad is not is_frozen, path
        learns = not is_frozen and any(piece in alive for piece in pieces[path])
        assert (parameter.grad is not None) is learns, path


def named(parameter: Parameter) -> list[str]:
    """The paths by which `freeze` knows a parameter: merged matrices by their parts, experts only together."""
    return [parameter.path] if parameter.stacked else [piece.path for piece in parameter.pieces]


def frozen(graph: Graph, path: str) -> bool:
    """Whether a parameter learns nothing before the first step."""
    node = path.split(".", maxsplit=1)[0]
    patterns = [freeze.pattern for freeze in graph.freeze]
    return path.endswith(".router_bias") or any(  # which no gradient reaches
        fnmatchcase(node, pattern) or fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")
        for pattern in patterns
    )


@examples(25)
@given(graphs())
def test_what_is_saved_loads(plain: Plain) -> None:
    """Through the name map and back, merged or not, whatever the layers are like."""
    graph = load(plain)
    model = model_of(graph)
    unmerged = load({**plain, "passes": {**plain.get("passes", {}), "merge_projections": False}})
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        model.save_pretrained(first)
        other = packaged(unmerged).from_pretrained(first)
        other.save_pretrained(second)
        again = packaged(graph).from_pretrained(second)
    expected = model.state_dict()
    assert again.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())


@examples(25)
@given(graphs(), st.booleans())
def test_generation_is_repeated_reading(plain: Plain, padded: bool) -> None:
    """With the cache, each token is the one that the whole sequence, read again, makes likeliest."""
    graph = load(plain)
    model = model_of(graph).eval()
    generate = getattr(sys.modules.get(f"{type(model).__module__.rpartition('.')[0]}.generate"), "generate", None)
    dynamic = any(
        rope.type == "dynamic"
        for node in graph.nodes.values()
        for rope in (node.spec.stack.rotary if node.spec.stack else ())
    )
    if generate is None or dynamic:
        return  # nothing to generate; or keys that stay turned by the length they were written at, as in the reference
    keywords = inputs(graph, padded=padded)
    (tokens,) = (name for name, given in graph.inputs.items() if given.port.what == "tokens")
    masks = [name for name, given in graph.inputs.items() if given.port.what == "mask"]
    logits = next(name for name, ref in graph.outputs.items() if ref.port == "logits")
    made = generate(model, keywords[tokens], **without(keywords, tokens), max_new_tokens=4, eos_token_id=None)
    with torch.no_grad():
        for _ in range(4):
            best = getattr(model(**keywords), logits)[:, -1].topk(2)
            decided = best.values[:, 0] - best.values[:, 1] > 1e-4
            place = keywords[tokens].size(1)
            assert torch.equal(made[decided, place], best.indices[decided, 0])
            keywords[tokens] = made[:, : place + 1]
            if torch.isin(made[:, place], placeholders(graph)).any():
                return  # read again, the text would ask for more features
            for mask in masks:
                keywords[mask] = torch.nn.functional.pad(keywords[mask], (0, 1), value=1)


def placeholders(graph: Graph) -> Tensor:
    specs = [node.spec for node in graph.nodes.values() if isinstance(node.spec, Scatter)]
    return torch.tensor([token for spec in specs for _, token in spec.placeholder], dtype=torch.long)


def without(keywords: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in keywords.items() if key != name}


def test_the_code_of_legal_graphs_is_clean(tmp_path: Path) -> None:
    """Linted, formatted and typed, for settings that nobody wrote a variant for."""

    @examples(60)
    @given(graphs())
    def collect(plain: Plain) -> None:
        files = graphvlm.render(load(plain))
        place = tmp_path / f"drawn_{len(list(tmp_path.iterdir()))}"
        write(place, files)
        assert graphvlm.render(graphvlm.load(Source("graph.yaml", files["graph.yaml"]))) == files

    collect()
    assert lint(tmp_path) == ""
    assert type_check(tmp_path) == ""


_NAMES = """
    hidden image_features text llm fused x y i mask seq images tokens layer layers norm head attn mlp attention
    block rope rotation kv_cache layer_cache tensor named_tuple output_ result features embed loss_ token_ weight
    bias position patch class_token windows window seen visible where back qkv q k v gate up down cos sin table
    rates factor prefill encode generate_ sample_ check load references shares parts aliases path stored prefix
    wanted found default a_b a__b ab fused_mask llm_hidden llm_logits encoded_pixel_values quick_gelu positions_of
    linear parameter f nn_ cls mapping combine adapter audio zoom proj_2 proj_10 labels_ vision_features
    pixel_values_features image_token frequencies no_padding
"""


def test_any_legal_name_will_do(tmp_path: Path) -> None:
    """Names that the generated code could trip over; those that it would are refused."""
    bases = [
        variant(name) for name in ("many_outputs", "whole_prefix", "layer_kinds", "yarn_rope", "frozen", "schedule")
    ]
    plains = [yaml.safe_load(graphvlm.render(graph)["graph.yaml"]) for graph in bases]

    @examples(30)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        names: dict[tuple[str, str], str] = {}

        def new(what: str, name: str) -> str:
            if what == "graph":
                return name
            if (what, name) not in names:
                names[what, name] = (
                    data.draw(st.sampled_from(_NAMES.split())) if data.draw(st.integers(0, 2)) == 2 else name
                )
            return names[what, name]

        plain = renamed(data.draw(st.sampled_from(plains)), new)
        try:
            graph = load(plain)
        except GraphError:
            return
        write(tmp_path / f"named_{len(list(tmp_path.iterdir()))}", graphvlm.render(graph))
        model, _ = run(graph, sizes(graph))
        keywords = inputs(graph)
        tokens = next(name for name, given in graph.inputs.items() if given.port.what == "tokens")
        if hasattr(model, "loss"):
            assert bool(model.loss(**keywords, labels=keywords[tokens]).isfinite())
            generate = sys.modules[f"{type(model).__module__.rpartition('.')[0]}.generate"].generate
            assert (
                generate(model, **keywords, max_new_tokens=2, eos_token_id=None).size(1) == keywords[tokens].size(1) + 2
            )

    check()
    assert lint(tmp_path) == ""
    assert type_check(tmp_path) == ""


def good_texts() -> tuple[str, ...]:
    """What is damaged: graphs as people write them, and graphs with everything written out."""
    whole = [graphvlm.render(small(name))["graph.yaml"] for name in RUN]
    variants = [graphvlm.render(variant(name))["graph.yaml"] for name in VARIANTS]
    return (
        TINY.read_text("utf-8"),
        *(path.read_text("utf-8") for path in sorted(GRAPHS.glob("*.yaml"))),
        *whole,
        *variants,
    )


def test_damaged_graphs_are_diagnosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a `GraphError`; and what is not refused builds, builds again from what it wrote, and runs."""
    monkeypatch.chdir(tmp_path)

    @examples(250)
    @given(damaged(good_texts()))
    def check(text: str) -> None:
        gc.disable()  # what earlier tests left takes seconds to look through
        began = process_time()
        try:
            graph = graphvlm.load(Source("damaged.yaml", text))
        except GraphError:
            return
        finally:
            gc.enable()
            assert process_time() - began < 2
        files = graphvlm.render(graph)
        assert graphvlm.render(graphvlm.load(Source("graph.yaml", files["graph.yaml"]))) == files
        if graph.parameter_count < LIMIT:
            run(graph, sizes(graph))

    check()
