"""A graph as a folder of ONNX models, verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch

from ...cache import imported
from ...diagnostics import GraphError
from ...ir import Graph
from ...rendering import environment
from .. import mapped
from .. import plan as plans
from ..blame import blamed, refused
from ..comparing import SIZES, TOLERANCE
from ..folder import MANIFEST, digests, replaced, write_json
from ..models import loaded
from ..plan import Plan
from ..profiles import profile
from ..programs import PAST, PRESENT
from ..quantising import Quantised, Recipe, Weight, quantise, told, weights
from ..quantising import described as in_fewer_bits
from ..samples import TRACED, Samples, drawn_samples
from ..sizes import Range, ranges
from ..tracing import KEPT, Traced, cache_axes, trace
from .convert import Converted, convert, operators
from .lacking import lacking
from .quantised import put_in
from .verify import Difference, Runtime, runs, verify
from .weights import LIMIT, NAME, Shared

FORMAT = 1
Say = Callable[[str], None]
RUNNER = "run_onnx.py"


@dataclass(frozen=True, slots=True)
class Options:
    """How to export; what was exported is compared at the first so many of `comparing.SIZES`."""

    weights: Path | None = None
    seed: int = 0
    dtype: str = "float32"
    opset: int = 20
    ranges: Mapping[str, Range] = field(default_factory=lambda: MappingProxyType({}))
    quantize: Recipe | None = None
    verify: bool = True
    sizes: int = len(SIZES)
    force: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how far it is from the package."""

    folder: Path
    manifest: Mapping[str, Any]
    differences: tuple[Difference, ...]
    traced: tuple[Traced, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing is beyond the tolerance."""
        return all(each.worst <= TOLERANCE[self.manifest["dtype"]] for each in self.differences)


def export(graph: Graph, folder: Path, options: Options, say: Say) -> Exported:
    """Write the models of a resolved graph to `folder`, whole or not at all.

    Raises `ForeignFiles` if other files are there, ValueError for a checkpoint that does not fit.
    """
    plan = plans.make(graph)
    found = ranges(plan, options.ranges)
    with replaced(folder, force=options.force) as new:
        model, traced, shared, quantised = _traced(graph, plan, options, new, say)
        programs = list[dict[str, Any]]()
        for program in traced:
            made = _complete(graph, convert(program, options.opset))
            if quantised:
                kind = quantised.cost.kind
                say(f"{program.name}: {put_in(made, quantised.weights, four=kind == 'int4')} weights in {kind}")
            if shared:
                shared.take(made)
            path = new / f"{program.name}.onnx"
            _save(made, path)
            derived = cache_formulas(traced[-2]) if program.name == "decode" else {}
            shapes = {name: program.shapes[name] for name in program.run.inputs}
            write_json(path.with_suffix(".profile.json"), profile(shapes, found, derived))
            say(f"{program.name}: {len(list(made.graph))} operators")
            programs.append(described(program, operators(made), _inplace(made)))
        verified = options.verify and runs(options.dtype)
        if options.verify and not verified:
            say(f"not verified: ONNX Runtime computes nothing in {options.dtype} on a CPU")
        runtime = Runtime(new, prepack=shared is None or shared.mapped is None)
        differences = tuple(_verified(verify(plan, model, traced, runtime, options.sizes), say)) if verified else ()
        runner = environment().get_template(f"export/{RUNNER}.j2").render()
        (new / RUNNER).write_text(runner, encoding="utf-8", newline="\n")
        manifest = _manifest(plan, options, found, programs, differences)
        if quantised:
            manifest["quantized"] = in_fewer_bits(quantised.cost)
        manifest["files"] = digests(new)
        write_json(new / MANIFEST, manifest)
    return Exported(folder, manifest, differences, tuple(traced))


@dataclass(frozen=True, slots=True)
class _InFewerBits:
    """What a quantisation costs, and the numbers that it found; the model has what these stand for."""

    cost: Quantised
    weights: tuple[Weight, ...]


def _quantised(
    plan: Plan, package: ModuleType, model: torch.nn.Module, recipe: Recipe | None, say: Say
) -> _InFewerBits | None:
    if recipe is None:
        return None
    found: dict[str, Weight] = {}

    def change(model: torch.nn.Module, recipe: Recipe) -> tuple[str, ...]:
        found.update(weights(model, recipe))
        return tuple(found)

    cost = quantise(plan, package, model, recipe, change)
    say(told(cost))
    return _InFewerBits(cost, tuple(found.values()))


def _traced(
    graph: Graph, plan: Plan, options: Options, folder: Path, say: Say
) -> tuple[torch.nn.Module, list[Traced], Shared | None, _InFewerBits | None]:
    """The model, its programs, the file that holds its weights, if there are many, and what has fewer bits.

    Beyond `mapped.LIMIT` they are nowhere else, and the programs are those of a model without numbers; what is
    quantised is in memory.
    """
    package = imported(graph)
    with torch.device("meta"):
        drawn = package.Model().to(getattr(torch, options.dtype)).eval()
    size = sum(parameter.numel() * parameter.element_size() for parameter in drawn.parameters())
    if size <= mapped.LIMIT or graph.imported or options.quantize:
        package, model = loaded(graph, options.weights, options.seed, options.dtype)
        quantised = _quantised(plan, package, model, options.quantize, say)
        with blamed(graph, model):
            samples = Samples(plan, model, TRACED, options.seed, padded=True)
            traced = [*_told(trace(plan, model, package, samples), say)]
        return model, traced, Shared(folder) if size > LIMIT else None, quantised
    traced = [*_told(trace(plan, drawn, package, drawn_samples(plan, drawn, options.seed)), say)]
    model, file = mapped.mapped(package, folder / NAME, options.weights, options.seed, getattr(torch, options.dtype))
    say(f"{size / 2**30:.1f} GiB of weights are in {NAME}")
    for program in traced:
        program.run.program.model = model
    return model, traced, Shared(folder, file), None


def _told(programs: Iterator[Traced], say: Say) -> Iterator[Traced]:
    for program in programs:
        say(f"{program.name}: traced")
        yield program


def _complete(graph: Graph, made: Converted) -> Any:
    """The model, if ONNX has all of it. Raises GraphError else, for each operation and place."""
    found = [
        refused(
            graph, place.partition(" ")[0], f"ONNX has no {name.partition('::')[2]}{''.join(place.partition(' ')[1:])}"
        )
        for name in lacking(made.sources)
        for place in made.sources[name]
    ]
    if found:
        raise GraphError(found)
    return made.model


def _save(model: Any, path: Path) -> None:
    import onnx_ir as ir

    ir.save(model, path)


def cache_formulas(prefill: Traced) -> dict[str, str]:
    """What the sizes of a cache that follow from other sizes are: name -> formula."""
    named = cache_axes(prefill)
    return {
        name: str(prefill.shapes[PRESENT + given.removeprefix(PAST)][axis])
        for given, axes in named.items()
        if given.startswith(PAST)
        for axis, name in axes.items()
        if name.startswith(KEPT)
    }


def _verified(differences: Iterator[Difference], say: Say) -> Iterator[Difference]:
    for found in differences:
        sizes = ", ".join(f"{name} {list(shape)}" for name, shape in found.shapes.items() if not name.startswith(PAST))
        say(f"{found.program}: {found.worst:.1e} from the package ({sizes})")
        if found.exact:
            made, ours = found.exact
            say(f"{found.program}: {made:.1e} from the package in double precision, which itself is {ours:.1e} off")
        yield found


def described(traced: Traced, operators: Mapping[str, int], inplace: tuple[str, ...]) -> dict[str, Any]:
    """A program as it stands in a manifest."""
    shapes = traced.shapes
    made = {
        kind: [
            {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(shapes[name])}
            for name, tensor in tensors.items()
        ]
        for kind, tensors in (("inputs", traced.run.inputs), ("outputs", traced.run.outputs))
    }
    file = f"{traced.name}.onnx"
    rest = {"operators": dict(sorted(operators.items())), "written_in_place": list(inplace)}
    return {"name": traced.name, "file": file, "profile": f"{traced.name}.profile.json", **made, **rest}


def _inplace(model: Any) -> tuple[str, ...]:
    """The outputs that may share memory with the input they go on from: nothing else reads it, and one slot changes."""
    found = []
    for value in model.graph.outputs:
        node = value.producer()
        if node is not None and node.op_type == "ScatterElements":
            data = node.inputs[0]
            if data.is_graph_input() and len(data.uses()) == 1:
                found.append(value.name)
    return tuple(found)


def _manifest(
    plan: Plan,
    options: Options,
    found: Mapping[str, Range],
    programs: list[dict[str, Any]],
    differences: tuple[Difference, ...],
) -> dict[str, Any]:
    view, generation = plan.view, plan.graph.generation
    made = {
        "format": FORMAT,
        "kind": "onnx",
        "graph": plan.graph.name,
        "weights": str(options.weights.name) if options.weights else f"random, seed {options.seed}",
        "dtype": options.dtype,
        "opset": options.opset,
        "versions": _versions("graphvlm", "torch", "onnx", "onnxruntime", "onnxscript"),
        "limits": {name: [each.least, each.usual, each.most] for name, each in found.items()},
        "programs": programs,
    }
    if plan.generates:
        bounded = getattr(plan.graph.nodes[view.decoder].spec, "max_tokens", None)
        made["generation"] = {
            "tokens": view.tokens,
            "mask": view.mask,
            "logits": view.logits,
            "bos": generation.bos,
            "eos": list(generation.eos),
            "pad": generation.pad if generation.pad is not None else next(iter(generation.eos), 0),
            "max_tokens": bounded,
        }
    made["verified"] = [
        {"program": each.program, "inputs": {k: list(v) for k, v in each.shapes.items()}, "difference": each.worst}
        | ({"exact": dict(zip(("model", "package"), each.exact, strict=True))} if each.exact else {})
        for each in differences
    ]
    return made


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
