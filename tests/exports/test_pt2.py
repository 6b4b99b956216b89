"""Programs of torch and libraries: what is in the folder, and what another process gets from them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from graphvlm.exporters import plan as plans
from graphvlm.exporters.models import loaded
from graphvlm.exporters.pt2 import Exported, Options, export
from graphvlm.exporters.pt2.export import NoCompiler
from graphvlm.exporters.pt2.verify import verify
from graphvlm.exporters.rewrites import NATIVE
from graphvlm.exporters.samples import TRACED, Samples
from graphvlm.exporters.tracing import trace

from ..running import small, variant

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
PROGRAMS = ("encode_image", "prefill", "decode")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> Exported:
    """The programs of the smallest graph, without libraries."""
    del own_cache
    return export(small("tiny"), tmp_path_factory.mktemp("pt2") / "tiny_pt2", Options(libraries=False), lambda _: None)


def test_programs_give_what_the_package_gives(tiny: Exported) -> None:
    """At three sets of sizes that they were not traced with, in a process without graphvlm."""
    assert tiny.agrees
    assert [each.program for each in tiny.differences] == [*PROGRAMS] * 3
    assert {path.name for path in tiny.folder.iterdir()} == {*(f"{name}.pt2" for name in PROGRAMS), "manifest.json"}
    assert [program["name"] for program in tiny.manifest["programs"]] == [*PROGRAMS]
    assert tiny.manifest["programs"][0]["inputs"][0]["shape"] == ["images", 3, 42, 42]


def test_programs_hold_nothing_of_the_machine(tiny: Exported) -> None:
    for path in tiny.folder.glob("*.pt2"):
        with zipfile.ZipFile(path) as archive:
            held = b"".join(map(archive.read, archive.namelist()))
        assert str(Path(__file__).parents[2]).encode() not in held


def test_attention_stays_an_operation_of_torch(tiny: Exported) -> None:
    """Plain products are for ONNX; torch has kernels."""
    program = torch.export.load(tiny.folder / "prefill.pt2")
    found = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("scaled_dot_product_attention" in name for name in found)


def test_a_program_of_other_weights_is_found(tmp_path: Path) -> None:
    graph = variant("image_alone")
    package, model = loaded(graph, None, 0, "float32")
    plan = plans.make(graph)
    traced = list(trace(plan, model, package, Samples(plan, model, TRACED, 0, padded=True), NATIVE))
    for each in traced:
        torch.export.save(each.exported, tmp_path / f"{each.name}.pt2")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    # A saved program has the weights of its time.
    assert all(found.worst > 1e-4 for found in verify(plan, model, traced, tmp_path, lambda _: None))


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(NoCompiler, match=r"--no-libraries"):
        export(variant("image_alone"), tmp_path / "x", Options(), lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["tiny", "gemma_3_1b", "llava_onevision_qwen2_7b"])
def test_libraries_give_what_the_package_gives(name: str, tmp_path: Path) -> None:
    made = export(small(name), tmp_path / "x", Options(), lambda _: None)
    assert made.agrees
    assert {each.file.endswith(".aoti.pt2") for each in made.differences} == {True, False}
    assert all(program["speed"] > 0 for program in made.manifest["programs"])
