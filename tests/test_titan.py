"""The profile for torchtitan: written anywhere, and where torchtitan is installed, laid out and stepped by its ways."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import graphvlm
from graphvlm.rendering import render_titan

from .laid_out import SEED, randomised
from .packages import lint, python, unread
from .running import GRAPHS, TINY, shrinking
from .titan_train import RATE, STEPS, batch

MESH = ("parallelism={mesh: {dp: 1, tp: 2}, nodes: {vision: {tp: 1}}}",)


def write(files: dict[str, str], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("name", "adapted"), [("llava_1_5_7b", True), ("qwen2_5_vl_7b", True), ("deepseek_v3", False)])
def test_every_module_is_one_of_theirs(name: str, *, adapted: bool, tmp_path: Path) -> None:
    """No file of a model takes modules from torch, and `layers.py` has all that they name."""
    files = render_titan(graphvlm.load(GRAPHS / f"{name}.yaml", overrides=shrinking(name)))
    pages = {name: text for name, text in files.items() if "layers as nn" in text}
    assert {"model.py", "llm.py"} <= pages.keys()
    assert [name for name, text in pages.items() if "import Tensor, nn" in text] == []
    write(files, tmp_path / "written")
    assert lint(tmp_path) == ""
    assert unread(tmp_path) == ""
    assert "class Linear(nn.Linear, Module)" in files["layers.py"]
    assert ("class Adapter" in files["titan.py"]) is adapted  # files have other shapes


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("bert_base", (), "it is given models of one text"),
        ("tiny", ("parallelism.mesh={dp: 1, cp: 2}",), "it lays out `cp` in another way"),
        (
            "tiny",
            ("parallelism={mesh: {tp: 2}, nodes: {vision: {images: shard}}}",),
            "images of `vision` are shared out",
        ),
    ],
)
def test_what_has_no_form_is_named(name: str, changes: tuple[str, ...], why: str) -> None:
    with pytest.raises(graphvlm.GraphError) as caught:
        render_titan(graphvlm.load(GRAPHS / f"{name}.yaml", overrides=(*shrinking(name), *changes)))
    assert caught.value.diagnostics[0].rule == "outside-profile"
    assert why in caught.value.diagnostics[0].message


def launched(program: str, *arguments: str) -> None:
    """Two processes of `program`, which find what this one finds."""
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", f"tests.{program}")
    python(*launch, *arguments, environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)})


@pytest.mark.long
@pytest.mark.skipif(find_spec("torchtitan") is None, reason="torchtitan 0.3.0 is not installed")
@pytest.mark.parametrize(("shard", "split"), [(2, 1), (1, 2)])
def test_a_step_of_two_processes_equals_one(
    shard: int, split: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graphvlm.load(TINY, overrides=("name=titan_tiny", *MESH))
    write(render_titan(graph), tmp_path / "titan_tiny")
    graphvlm.build(TINY, tmp_path, overrides=("name=plain_tiny", "passes.merge_projections=false"))
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(SEED)
    model = randomised(import_module("plain_tiny").Model())
    model.save_pretrained(tmp_path / "weights")
    ids = torch.randint(3, 90, (2, 24))
    ids[:, 2:18] = 99
    labels = ids.masked_fill(ids == 99, -100)
    given = {"input_ids": ids, "labels": labels, "pixel_values": torch.randn(2, 3, 56, 56)}
    logits = model(ids, given["pixel_values"]).logits
    torch.autograd.backward(F.cross_entropy(logits.flatten(0, 1), labels.flatten()))
    gradients = {path: each.grad for path, each in model.named_parameters() if each.grad is not None}
    stored = load_file(tmp_path / "weights" / "model.safetensors")
    torch.save({"weights": stored, "given": given, "gradients": gradients}, tmp_path / "expected.pt")
    launched("titan_step", str(tmp_path), "titan_tiny", str(shard), str(split))
    off = torch.load(tmp_path / "off.pt")
    assert max(off.values()) < 1e-5 * max(float(each.abs().max()) for each in gradients.values())


@pytest.mark.long
@pytest.mark.skipif(find_spec("torchtitan") is None, reason="torchtitan 0.3.0 is not installed")
@pytest.mark.parametrize(("shard", "split"), [(2, 1), (1, 2)])
def test_its_trainer_takes_the_steps_of_one_process(
    shard: int, split: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint of the reference's names, gradients clipped: losses and norms of gradients, step by step."""
    write(render_titan(graphvlm.load(TINY, overrides=("name=titan_tiny", *MESH))), tmp_path / "titan_tiny")
    graphvlm.build(TINY, tmp_path, overrides=("name=plain_titan", "passes.merge_projections=false"))
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(SEED)
    model = randomised(import_module("plain_titan").Model())
    model.save_pretrained(tmp_path / "weights")
    launched("titan_train", str(tmp_path), "titan_tiny", str(shard), str(split))
    seen = torch.load(tmp_path / "seen.pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
    for step, (loss, norm) in enumerate(seen):
        given, labels = batch(step)
        optimizer.param_groups[0]["lr"] = RATE * (step + 1) / STEPS
        optimizer.zero_grad()
        expected = F.cross_entropy(model(given["input"], given["pixel_values"]).logits.flatten(0, 1), labels.flatten())
        torch.autograd.backward(expected)
        clipped = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
        assert norm == pytest.approx(float(clipped), rel=1e-5)
    assert len(seen) == STEPS
