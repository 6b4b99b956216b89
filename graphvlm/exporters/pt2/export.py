"""A graph as a folder of programs and libraries: traced, compiled, verified, and timed against the package."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ...ir import Graph
from .. import plan as plans
from ..blame import blamed
from ..comparing import TOLERANCE
from ..folder import MANIFEST, digests, replaced, write_json
from ..models import loaded
from ..plan import Plan
from ..quantising import Recipe, plainly, quantise, told
from ..quantising import described as in_fewer_bits
from ..rewrites import NATIVE
from ..samples import TRACED, Samples
from ..tracing import Traced, quiet, trace
from .verify import Difference, verify

FORMAT = 1
ROUNDS = 15
Say = Callable[[str], None]
# What torch notes on each operation of where it came from: paths of this machine, and nothing that a program needs.
_ORIGIN = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")


@dataclass(frozen=True, slots=True)
class Options:
    """How to export; without `libraries` nothing is compiled."""

    weights: Path | None = None
    seed: int = 0
    dtype: str = "float32"
    quantize: Recipe | None = None
    libraries: bool = True
    verify: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how far it is from the package."""

    folder: Path
    manifest: Mapping[str, Any]
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing is beyond the tolerance."""
        return all(each.worst <= TOLERANCE[self.manifest["dtype"]] for each in self.differences)


class NoCompiler(Exception):
    """There is no C++ compiler."""


def export(graph: Graph, folder: Path, options: Options, say: Say) -> Exported:
    """Write the programs of a resolved graph to `folder`, whole or not at all.

    Raises `ForeignFiles` if other files are there, ValueError for a checkpoint that does not fit, `NoCompiler`,
    `NoTorchao`.
    """
    if options.libraries and not has_compiler():
        raise NoCompiler("libraries need a C++ compiler (g++ or clang++); --no-libraries writes the programs alone")
    plan = plans.make(graph)
    with replaced(folder, force=options.force) as new:
        package, model = loaded(graph, options.weights, options.seed, options.dtype)
        quantised = quantise(plan, package, model, options.quantize, plainly) if options.quantize else None
        if quantised:
            say(told(quantised))
        with blamed(graph, model):
            samples = Samples(plan, model, TRACED, options.seed, padded=True)
            traced = [*trace(plan, model, package, samples, NATIVE)]
        programs = list[dict[str, Any]]()
        for program in traced:
            plain(program.exported)
            torch.export.save(program.exported, new / f"{program.name}.pt2")
            found = described(program)
            if options.libraries:
                compile_library(program.exported, new / library(program.name))
                found["library"] = library(program.name)
                found["speed"] = round(speed(program, new / library(program.name)), 2)
                say(f"{program.name}: compiled, {found['speed']:.2f} times as fast as the package")
            programs.append(found)
        differences = tuple(verify(plan, model, traced, new, say)) if options.verify else ()
        manifest = _manifest(plan, options, programs, differences)
        if quantised:
            manifest["quantized"] = in_fewer_bits(quantised)
        manifest["files"] = digests(new)
        write_json(new / MANIFEST, manifest)
    return Exported(folder, manifest, differences)


def has_compiler() -> bool:
    """Whether there is one that torch would use."""
    return any(map(shutil.which, ("g++", "clang++", "c++")))


def library(program: str) -> str:
    """The file of a compiled program."""
    return f"{program}.aoti.pt2"


def plain(exported: ExportedProgram) -> None:
    """A program without notes of where its operations came from."""
    for node in exported.graph.nodes:
        for name in _ORIGIN:
            node.meta.pop(name, None)


def compile_library(exported: ExportedProgram, path: Path) -> None:
    """The program as a shared library, packed in a file."""
    with quiet(), torch.no_grad():
        torch._inductor.aoti_compile_and_package(exported, package_path=str(path))


def speed(traced: Traced, path: Path) -> float:
    """How many times as fast as the package a library is, on the inputs that it was traced with; rounds in turn."""
    compiled = torch._inductor.aoti_load_package(str(path))
    program, given = traced.run.program, tuple(traced.run.inputs.values())
    sides: dict[str, Callable[[tuple[Tensor, ...]], object]] = {
        "package": lambda inputs: program(*inputs),
        "library": compiled,
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    with torch.no_grad():
        for number in range(ROUNDS + 2):
            for name in sorted(sides, reverse=bool(number % 2)):
                inputs = tuple(tensor.clone() for tensor in given)  # a cache is written to
                start = time.perf_counter()
                sides[name](inputs)
                taken[name].append(time.perf_counter() - start)
    package, compiled_time = (statistics.median(taken[name][2:]) for name in ("package", "library"))
    return package / compiled_time


def described(traced: Traced) -> dict[str, Any]:
    """A program as it stands in a manifest."""
    shapes = traced.shapes
    made = {
        kind: [
            {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(shapes[name])}
            for name, tensor in tensors.items()
        ]
        for kind, tensors in (("inputs", traced.run.inputs), ("outputs", traced.run.outputs))
    }
    return {"name": traced.name, "file": f"{traced.name}.pt2", **made}


def _manifest(
    plan: Plan, options: Options, programs: list[dict[str, Any]], differences: tuple[Difference, ...]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": "pt2",
        "graph": plan.graph.name,
        "weights": options.weights.name if options.weights else f"random, seed {options.seed}",
        "dtype": options.dtype,
        "versions": {"torch": str(torch.__version__)},
        "programs": programs,
        "verified": [dict(_verified(each)) for each in differences],
    }


def _verified(found: Difference) -> Iterator[tuple[str, Any]]:
    yield from (("program", found.program), ("file", found.file), ("difference", found.worst))
    yield "inputs", {name: list(shape) for name, shape in found.shapes.items()}
