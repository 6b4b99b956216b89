"""What a rank encodes when its samples have no image, so that all ranks gather the same weights under FSDP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ..components.encoder.native_vit import NativeVit
from ..components.projector.patch_merger import PatchMerger
from ..ir import Graph, Input, Ref
from ..stages import Stage, split


@dataclass(frozen=True, slots=True)
class Blank:
    """One `encode_*` method, the input and the features without which it is called, and the least that it takes."""

    method: str
    noun: str
    first: str
    variable: str
    inputs: tuple[str, ...]
    several: bool


@dataclass(frozen=True, slots=True)
class Blanks:
    """Those of a model; `tokens` is an input that is always there, `output` is one of its outputs."""

    stages: tuple[Blank, ...]
    tokens: str
    output: str


def make(graph: Graph, variables: dict[str, str]) -> Blanks | None:
    """The blanks of a graph, if it can do without some features; `variables` are what its stages give."""
    stages = split(graph)
    found = tuple(
        blank
        for stage in stages.encoders
        if stage.optional and not _attended(graph, stage) and (blank := _blank(graph, stage, variables[stage.name]))
    )
    output = next((name for name, ref in graph.outputs.items() if ref.name in stages.joint), "")
    tokens = next((name for name, given in graph.inputs.items() if given.port.what == "tokens"), "")
    return Blanks(found, tokens, output) if found and output and tokens else None


def _blank(graph: Graph, stage: Stage, variable: str) -> Blank | None:
    needed = [graph.inputs[name] for name in stage.inputs if not graph.inputs[name].optional]
    least = [_least(graph, given) for given in needed]
    if not all(least):
        return None
    return Blank(f"encode_{stage.name}", stage.name, stage.inputs[0], variable, tuple(least), len(stage.values) > 1)


def _least(graph: Graph, given: Input) -> str:
    """The arguments of `torch.zeros` or a tensor: one image, clip or video of zeros; empty if it is not known how."""
    shape = given.port.shape
    if given.port.what in ("image", "video", "audio") and all(isinstance(dim, int) for dim in shape[1:]):
        return f"torch.zeros({', '.join(('1', *map(str, shape[1:])))}, device=device)"
    side = next((spec.patch.group for spec in _readers(graph, given.name) if spec.patch), 0) * prod(
        node.spec.group for node in graph.owners if isinstance(node.spec, PatchMerger) and node.spec.rows
    )
    if given.port.what == "patches" and side and isinstance(shape[-1], int):
        return f"torch.zeros({side**2}, {shape[-1]}, device=device)"
    return f"torch.tensor([[1, {side}, {side}]], device=device)" if given.port.what == "grid" and side else ""


def _readers(graph: Graph, name: str) -> Iterator[NativeVit]:
    for node in graph.nodes.values():
        if Ref(name) in node.inputs.values() and isinstance(node.spec, NativeVit):
            yield node.spec


def _attended(graph: Graph, stage: Stage) -> bool:
    """Whether layers attend to what a stage gives: then it is more than its own weights that do not run without it."""
    return any(
        ref in stage.values and node.spec.stack is not None and port in node.spec.stack.crossed_ports
        for node in graph.nodes.values()
        for port, ref in node.inputs.items()
    )
