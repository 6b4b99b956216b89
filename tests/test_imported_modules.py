"""Modules that are imported instead of generated: of one's own, and models of the library transformers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

import graphvlm
from graphvlm.diagnostics import GraphError, Source
from graphvlm.rendering import render_hub

from .diagnosing import problems, under
from .laid_out import whole
from .packages import lint, type_check, write

# Weights, a buffer that is saved, one that is not, a number without axes, and a start that no layer has by itself.
TOWERS = '''"""A tower of patches."""

import torch
from torch import Tensor, nn


class Tower(nn.Module):
    halves: Tensor

    def __init__(self, width: int, depth: int, sizes: list[int]) -> None:
        super().__init__()
        assert isinstance(sizes, list)
        self.patch = nn.Conv2d(3, width, 14, 14)
        self.norm = nn.BatchNorm2d(width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.register_buffer("halves", torch.full((1,), 0.5), persistent=False)
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: Tensor) -> Tensor:
        x: Tensor = self.norm(self.patch(image)).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = x + layer(x) * self.halves
        return x * self.gain
'''
OWN = """
    kind: encoder
    type: module
    target: own_towers:Tower
    arguments: {width: 24, depth: 2, sizes: [1, 2]}
    inputs: pixel_values
    ports:
      inputs: {image: [images, 3, 56, 56]}
      outputs: {features: [images, 16, 24]}
"""
LIBRARY = """
    kind: encoder
    type: hf_auto
    config:
      model_type: dinov2
      hidden_size: 24
      num_hidden_layers: 2
      num_attention_heads: 3
      image_size: 56
      patch_size: 14
    skip: 1
    inputs: pixel_values
    ports:
      inputs: {pixel_values: {is: image, shape: [images, 3, 56, 56]}}
      outputs: {last_hidden_state: [images, 16, 24]}
"""


GRAPH = """
version: 1
name: own
inputs: {{pixel_values: image, input_ids: tokens}}
nodes:
  vision:{vision}
  projector: {{kind: projector, type: mlp, inputs: vision}}
  text: {{kind: encoder, type: token_embedding, inputs: input_ids}}
  fused:
    kind: fusion
    type: scatter
    inputs: {{text: text, image: projector, ids: input_ids}}
    placeholder: {{image: 99}}
  llm:
    kind: decoder
    type: transformer
    inputs: fused
    vocab: 101
    dim: 40
    max_tokens: 64
    attention: {{heads: 2}}
    mlp: {{hidden: 56}}
    norm: rms
    layers: 2
    position: none
outputs: {{logits: llm.logits}}
freeze: [vision]
"""


def graph(vision: str) -> Source:
    return Source("own.yaml", GRAPH.format(vision=vision))


@pytest.fixture
def towers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which a package of towers is installed."""
    (tmp_path / "own_towers.py").write_text(TOWERS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own_towers", None)


@pytest.fixture
def one_process() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,), mesh_dim_names=("dp",))
    dist.destroy_process_group()


def inputs() -> dict[str, Tensor]:
    ids = torch.randint(0, 98, (2, 24), generator=torch.Generator().manual_seed(3))
    ids[:, 2:18] = 99
    return {"pixel_values": torch.randn(2, 3, 56, 56), "input_ids": ids}


@pytest.mark.parametrize("vision", [OWN, LIBRARY], ids=["own", "library"])
def test_the_module_is_the_one_that_was_named(towers: Path, vision: str) -> None:
    package = graphvlm.compile(graph(vision))
    model, given = package.Model().eval(), inputs()
    features = model.encode_image(given["pixel_values"])
    inside = model.vision.module
    with torch.no_grad():
        if vision is OWN:
            wanted = inside(given["pixel_values"])
        else:
            wanted = inside(pixel_values=given["pixel_values"]).last_hidden_state[:, 1:]
        assert torch.equal(features, model.projector(wanted))
    assert not any(parameter.requires_grad for parameter in model.vision.parameters())
    model.loss(**given, labels=given["input_ids"]).backward()
    assert model.projector.linear_1.weight.grad is not None


@pytest.mark.parametrize("vision", [OWN, LIBRARY], ids=["own", "library"])
def test_weights_are_written_and_read_again(towers: Path, vision: str) -> None:
    package = graphvlm.compile(graph(vision))
    model = package.Model()
    generator = torch.Generator().manual_seed(1)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator))
    kept = dict(model.vision.named_buffers())
    package.checkpoint.save_pretrained(model, towers / "weights")
    again = package.from_pretrained(towers / "weights")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    left = {name: tensor for name, tensor in again.vision.named_buffers() if f"vision.{name}" not in again.state_dict()}
    made = type(model)()
    assert all(torch.equal(tensor, made.vision.get_buffer(name)) for name, tensor in left.items())
    assert left.keys() <= kept.keys()


def test_a_model_made_on_meta_is_filled_as_the_module_fills_it(towers: Path) -> None:
    package = graphvlm.compile(graph(OWN))
    with torch.device("meta"):
        model = package.Model()
    model.to_empty(device="cpu")
    model.reset_parameters()
    assert float(model.vision.module.gain) == 2.0
    assert float(model.vision.module.halves) == 0.5
    assert float(model.vision.module.norm.running_var.min()) == 1.0


def test_a_checkpoint_of_the_module_alone_is_a_part(towers: Path) -> None:
    from safetensors.torch import save_file

    package = graphvlm.compile(graph(OWN))
    tower: nn.Module = import_module("own_towers").Tower(24, 2, [])
    (towers / "tower").mkdir()
    save_file(dict(tower.state_dict()), towers / "tower" / "model.safetensors")
    model = package.from_pretrained({"vision": towers / "tower"})
    assert all(torch.equal(model.vision.module.state_dict()[name], each) for name, each in tower.state_dict().items())


@pytest.mark.parametrize("vision", [OWN, LIBRARY], ids=["own", "library"])
def test_its_weights_are_read_in_parts(towers: Path, vision: str, one_process: DeviceMesh) -> None:
    """Written from parts and read in parts, also what a file has beside weights; what it has not is as it is made."""
    text = (towers / "own_towers.py").read_text(encoding="utf-8")
    (towers / "own_towers.py").write_text(text.replace("torch.tensor(2.0)", "torch.full((1,), 2.0)"), encoding="utf-8")
    source = graph(vision)
    package = graphvlm.compile(Source("own.yaml", source.text + "parallelism: {mesh: {dp: 1}}\n"))
    sharded = import_module(f"{package.__name__}.sharded")
    first = package.Model()
    for tensor in (*first.parameters(), *first.buffers()):
        if tensor.is_floating_point() and tensor.numel() > 1:
            tensor.data.uniform_()
    package.checkpoint.save_pretrained(first, towers / "weights")
    for read, written in (("weights", "again"), ("again", "")):
        with torch.device("meta"):
            model = package.Model()
        package.parallelize(model, one_process, dtype=torch.float32)
        sharded.load_sharded(model, towers / read)
        if written:
            sharded.save_whole(model, towers / written)
    for name, tensor in first.state_dict().items():
        assert torch.equal(whole(model.state_dict()[name]), tensor), name
    if vision is not LIBRARY:
        assert float(model.vision.module.halves) == 0.5
    given = inputs()
    assert torch.equal(model.eval()(**given).logits, first.eval()(**given).logits)


def test_one_graph(towers: Path) -> None:
    model, given = graphvlm.compile(graph(OWN)).Model().eval(), inputs()
    whole: Any = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(whole(**given).logits, model(**given).logits)


def test_a_result_of_another_shape_is_an_error(towers: Path) -> None:
    source = graph(OWN.replace("[images, 16, 24]", "[images, 15, 24]"))
    package: ModuleType = graphvlm.compile(source)
    with pytest.raises(ValueError, match=r"features is \(2, 16, 24\), and the graph says \(None, 15, 24\)"):
        package.Model().encode_image(torch.zeros(2, 3, 56, 56))


@pytest.mark.parametrize("vision", [OWN, LIBRARY], ids=["own", "library"])
def test_the_code_is_clean_and_says_what_it_needs(towers: Path, vision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = graphvlm.render(graphvlm.load(graph(vision)))
    write(towers / "packages" / "own", files)
    assert f"`{'own_towers' if vision is OWN else 'transformers'}`, whose modules it imports" in files["README.md"]
    assert lint(towers / "packages") == ""
    monkeypatch.setenv("MYPYPATH", str(towers))
    assert type_check(towers / "packages") == ""
    assert graphvlm.render(graphvlm.load(Source("graph.yaml", files["graph.yaml"]))) == files


@pytest.mark.parametrize(
    ("old", "new", "rule", "marked", "said"),
    [
        ("own_towers:Tower", "own_towers.class:Tower", "bad-name", "own_towers.class:Tower", "`class`"),
        ("own_towers:Tower", "own_towers", "bad-value", "own_towers", "target"),
        ("depth: 2", "lambda: 2", "bad-name", "lambda", "a keyword of Python"),
        ("[images, 16, 24]", "[images, 16, 25]", "shape-mismatch", "vision", "25"),
        ("{image: [images, 3, 56, 56]}", "{image: [images, 56, 56]}", "bad-port", "[images, 56, 56]", "3 axes"),
        ("[images, 16, 24]", "[images, 24]", "bad-port", "[images, 24]", "features have 3"),
        (
            "{image: [images, 3, 56, 56]}",
            "{config: {is: image, shape: [i, 3, 56, 56]}}",
            "bad-name",
            "config",
            "uses it",
        ),
    ],
)
def test_a_mistake_is_one_diagnostic(old: str, new: str, rule: str, marked: str, said: str) -> None:
    source = graph(OWN)
    text = source.text.replace(old, new).replace("inputs: vision}", "in: 24, inputs: vision}")
    (found,) = problems(Source("own.yaml", text))
    assert found.rule == rule
    assert under(found.span) == marked
    assert said in found.message


def test_weights_that_nobody_knows_are_frozen_as_a_whole() -> None:
    source = graph(OWN)
    (found,) = problems(Source("own.yaml", source.text.replace("freeze: [vision]", "freeze: [vision.module.patch]")))
    assert found.rule == "freeze-matches-nothing"
    assert "known to `own_towers` alone" in found.message


@pytest.mark.parametrize(
    ("target", "said"),
    [("nobody_has_this:Tower", "No module named 'nobody_has_this'"), ("own_towers:Towr", "has no `Towr`")],
)
def test_what_cannot_be_imported_is_said_before_anything_is_written(towers: Path, target: str, said: str) -> None:
    source = graph(OWN.replace("own_towers:Tower", target))
    graphvlm.load(source)
    with pytest.raises(GraphError) as caught:
        graphvlm.compile(source)
    (found,) = caught.value.diagnostics
    assert found.rule == "cannot-import"
    assert said in found.message
    assert under(found.span) == target


def test_it_is_not_in_a_directory_for_the_library(towers: Path) -> None:
    with pytest.raises(GraphError) as caught:
        render_hub(graphvlm.load(graph(OWN)))
    assert [(found.rule, under(found.span)) for found in caught.value.diagnostics] == [
        ("outside-profile", "own_towers:Tower")
    ]
