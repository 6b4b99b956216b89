"""What an export of a graph consists of: its programs, with the tensors that go into each. Never imports torch.

A program is a stage of the graph as one function of tensors: each encoder of a modality, `prefill` (the joint stage
over a prompt, which gives the cache) and `decode` (the next token of every row, cache in and out). A graph that does
not generate text has `combine`, its joint stage, in place of the last two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..blocks.segments import marked_segment
from ..dims import Dim, Many, Sum, Var
from ..ir import Graph, Node, Ref
from ..pages.arguments import EncodeView
from ..pages.model import ModelView
from ..pages.model import make as model_pages
from ..passes import apply_all
from ..problems import Problems
from ..spec import What
from ..stages import split


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that goes into or comes out of a program.

    `argument` is the keyword it is passed under, and `field` which of the values under that keyword it is, if several.
    """

    name: str
    what: What
    shape: tuple[Dim, ...]
    argument: str
    ref: Ref
    field: str = ""


@dataclass(frozen=True, slots=True)
class Encoder:
    """One `encode_*` method of the package."""

    method: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The programs of a graph. `sequence` is how long the streams are that its decoder reads one behind the other.

    `joint` names the method of the joint stage, empty if there is none, `results` the outputs of the graph that it
    makes. `names` are the open sizes, by the keys of their variables, as people are told of them.
    """

    graph: Graph
    view: ModelView
    encoders: tuple[Encoder, ...]
    joint: str
    inputs: tuple[Value, ...]
    results: tuple[str, ...]
    sequence: tuple[Dim, ...]
    names: Mapping[str, str]

    @property
    def generates(self) -> bool:
        """Whether there is a decoder that goes on from a prompt."""
        return bool(self.view.decoder) and self.view.cached

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of the programs, in the order in which they run."""
        joint = ("prefill", "decode") if self.generates else ("combine",) if self.joint else ()
        return (*(encoder.method for encoder in self.encoders), *joint)

    def shown(self, shape: tuple[Dim, ...]) -> tuple[int | str, ...]:
        """A shape as it stands in a manifest: numbers, names of open sizes, and sums of those."""
        return tuple(dim if isinstance(dim, int) else self._shown(dim) for dim in shape)

    def _shown(self, dim: Dim | Many) -> str:
        if isinstance(dim, Var):
            return self.names[dim.key]
        if isinstance(dim, Many):
            return f"{dim.count}*{self.names[dim.var.key]}"
        return " + ".join(map(self._shown, dim.terms)) if isinstance(dim, Sum) else str(dim)


def make(graph: Graph) -> Plan:
    """The plan of a resolved graph. Raises GraphError for one with parts that are for training alone."""
    _check_deployed(graph)
    graph = apply_all(graph)
    stages, view = split(graph), model_pages(graph).model
    encoders = []
    for stage, method in zip(stages.encoders, view.encoders, strict=True):
        inputs = tuple(_given(graph, argument.name) for argument in method.arguments)
        encoders.append(Encoder(method.method, inputs, tuple(_results(graph, method, stage.values))))
    made = {encoder.variable: done.outputs for encoder, done in zip(view.encoders, encoders, strict=True)}
    joint = [argument.name for argument in view.joint_arguments if argument.name not in ("cache", "keep")]
    inputs = tuple(value for name in joint for value in made.get(name) or (_given(graph, name),))
    decoder = graph.nodes.get(view.decoder)
    return Plan(
        graph=graph,
        view=view,
        encoders=tuple(encoders),
        joint=view.joint,
        inputs=inputs,
        results=tuple(name for name, ref in graph.outputs.items() if ref.name in stages.joint),
        sequence=tuple(graph.port(decoder.inputs[port]).shape[1] for port in _streams(decoder)) if decoder else (),
        names=_names(graph),
    )


# By kind, or by kind and type.
_TRAINED = {"loss": "a loss", "sampler/negatives": "a sampler of negatives", "state": "a queue"}


def _check_deployed(graph: Graph) -> None:
    """Note every node that nothing which is deployed has."""
    problems = Problems()
    for node in graph.nodes.values():
        what = "a teacher" if node.follows else _TRAINED.get(node.kind) or _TRAINED.get(f"{node.kind}/{node.type}")
        if what:
            problems.error(
                "trained-only",
                f"`{node.name}` is {what}, and for training alone: no program that is deployed has it",
                node.tree.span,
                help="export a graph without it and what reads it; `graphvlm build` writes a package that trains",
            )
    problems.stop()


def _streams(decoder: Node) -> tuple[str, ...]:
    """The ports of a decoder whose tokens stand one behind the other."""
    segments = decoder.spec.stack.segments if decoder.spec.stack else ()
    if not segments or marked_segment(segments):
        return (decoder.signature.stream,)
    return tuple(segment.name for segment in segments)


def _given(graph: Graph, name: str) -> Value:
    port = graph.inputs[name].port
    return Value(name, port.what, port.shape, name, Ref(name))


def _results(graph: Graph, view: EncodeView, refs: tuple[Ref, ...]) -> Iterator[Value]:
    for ref, value in zip(refs, view.values, strict=True):
        port, several = graph.port(ref), len(refs) > 1
        name = f"{view.variable}.{value.name}" if several else view.variable
        yield Value(name, port.what, port.shape, view.variable, ref, value.name if several else "")


def variables(dim: Dim) -> Iterator[Var]:
    """The open sizes in a size."""
    for term in dim.terms if isinstance(dim, Sum) else (dim,):
        if not isinstance(term, int):
            yield term.var if isinstance(term, Many) else term


def _names(graph: Graph) -> dict[str, str]:
    """What people call an open size; with a number from the second on, where several are called the same."""
    ports = [given.port for given in graph.inputs.values()]
    ports += [port for node in graph.nodes.values() for port in node.signature.outputs.values()]
    found: dict[str, str] = {}
    for var in (var for port in ports for dim in port.shape for var in variables(dim)):
        if var.key not in found:
            same = sum(name.rstrip("_0123456789") == var.name for name in found.values())
            found[var.key] = f"{var.name}_{same + 1}" if same else var.name
    return found
