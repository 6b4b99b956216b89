"""What of a module that is imported cannot be exported is refused by name: of its node, its operation and its line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .running import Cli

MODULE = """import torch
from torch import Tensor, nn


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 14, 14)

    def tokens(self, image: Tensor) -> Tensor:
        return self.patch(image).flatten(2).transpose(1, 2)


class Determined(Base):
    def forward(self, image: Tensor) -> Tensor:
        x = self.tokens(image)
        return x * torch.linalg.det(x @ x.transpose(1, 2)).view(-1, 1, 1)


class Decomposed(Base):
    def forward(self, image: Tensor) -> Tensor:
        x = self.tokens(image)
        u, s, v = torch.linalg.svd(x.tanh(), full_matrices=False)
        return (u * s.unsqueeze(-2)) @ v * torch.special.bessel_j0(x)


class Branched(Base):
    def forward(self, image: Tensor) -> Tensor:
        x = self.tokens(image)
        return x * 2 if bool(x.sum() > 0) else x


class Outside(Base):
    def forward(self, image: Tensor) -> Tensor:
        x = self.tokens(image)
        return x + torch.from_numpy(x.detach().numpy())
"""
GRAPH = """
version: 1
name: own
inputs: {{pixel_values: image}}
nodes:
  tower:
    kind: encoder
    type: module
    target: own_operations:{target}
    inputs: pixel_values
    ports:
      inputs: {{image: [images, 3, 28, 42]}}
      outputs: {{features: [images, 6, 6]}}
outputs: {{features: tower}}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_operations.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def graph(folder: Path, target: str) -> str:
    path = folder / f"{target.lower()}.yaml"
    path.write_text(GRAPH.format(target=target))
    return str(path)


def line(code: str) -> int:
    """Where a line of the module stands."""
    return next(number for number, each in enumerate(MODULE.splitlines(), 1) if code in each)


@pytest.mark.slow
def test_what_tensorrt_lacks(cli: Cli, own: Path) -> None:
    """ONNX has a determinant, and TensorRT has not."""
    path, place = graph(own, "Determined"), f"own_operations.py:{line('linalg.det')}"
    done = cli("export", path, "--trt", "--dry-run")
    assert done.code == 1
    assert f"refused: TensorRT has no Det, which comes from tower ({place})" in done.out
    found = json.loads(cli("export", path, "--trt", "--dry-run", "--json").out)
    assert found["unsupported"] == {"encode_image": ["Det"]}
    assert found["programs"][0]["sources"]["Det"] == [f"tower ({place})"]
    assert cli("export", path, "--onnx", "--dry-run").code == 0


@pytest.mark.slow
def test_what_onnx_lacks(cli: Cli, own: Path) -> None:
    """All operations in one run; an export of them writes nothing."""
    path = graph(own, "Decomposed")
    places = {"aten._linalg_svd": line("linalg.svd"), "prims.bessel_j0": line("bessel")}
    for target in ("--onnx", "--trt"):
        done = cli("export", path, target, "--dry-run")
        assert done.code == 1
        said = re.findall(r"refused: ONNX has no (\S+), which comes from tower \(own_operations.py:(\d+)\)", done.out)
        assert {name: int(number) for name, number in said} == places
    done = cli("export", path, "--onnx", "-o", "out")
    assert done.code == 1
    assert len(re.findall(r"error\[not-exported\]: `tower` cannot be exported: ONNX has no ", done.err)) == 2
    assert not list(own.glob("out/*"))


@pytest.mark.slow
@pytest.mark.parametrize(("target", "code"), [("Branched", "bool("), ("Outside", "from_numpy")])
@pytest.mark.parametrize("words", [("--trt", "--dry-run"), ("--onnx",), ("--pt2", "--no-libraries")])
def test_what_cannot_be_traced(cli: Cli, own: Path, target: str, code: str, words: tuple[str, ...]) -> None:
    done = cli("export", graph(own, target), *words, "-o", "out")
    assert done.code == 1
    assert "error[not-exported]: `tower` cannot be exported: " in done.err
    assert f"(own_operations.py:{line(code)})" in done.err
    assert ("export without --dry-run" in done.err) == ("--dry-run" in words)
    assert "Traceback" not in done.err
