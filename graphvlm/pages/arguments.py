"""What the methods of the model are given: parameters with their types, and the stages that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..code import Statement
from ..ir import Graph, Node
from ..stages import Stage, Stages, joint_inputs, skippable


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a method: `name: type = default`."""

    name: str
    type: str
    default: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}{f' = {self.default}' if self.default else ''}"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that a stage or the model returns: field name, where it is, shape comment."""

    name: str
    expression: str
    shape: str
    type: str = "Tensor"


@dataclass(frozen=True, slots=True)
class EncodeView:
    """One `encode_*` method. With several values it returns the NamedTuple `result`.

    The first of its arguments is what is encoded; the rest come with it.
    """

    method: str
    arguments: tuple[Argument, ...]
    variable: str
    result: str
    values: tuple[Value, ...]
    lines: tuple[Statement, ...]
    optional: bool

    @property
    def first(self) -> str:
        """The argument without which there is nothing to encode."""
        return self.arguments[0].name

    @property
    def needed(self) -> tuple[str, ...]:
        """The arguments that have to come with the first."""
        return tuple(argument.name for argument in self.arguments[1:] if not argument.default)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of the method."""
        return ("self", *map(str, self.arguments))

    @property
    def pass_on(self) -> tuple[str, ...]:
        """What the method is called with."""
        return tuple(argument.name for argument in self.arguments)


def cached(node: Node | None) -> bool:
    """Whether tokens can be given to a node one at a time."""
    stack = node.spec.stack if node and node.kind == "decoder" else None
    return node is not None and node.kind == "decoder" and (stack is None or stack.one_by_one)


def encode_arguments(graph: Graph, stage: Stage) -> Iterator[Argument]:
    masks = [name for name in stage.inputs[1:] if graph.inputs[name].optional]
    yield from (Argument(name, "Tensor") for name in stage.inputs if name not in masks)
    yield from (Argument(name, "Tensor | None", "None") for name in masks)


def joint_arguments(
    graph: Graph, stages: Stages, encoders: tuple[EncodeView, ...], decoder: Node | None, keep: bool
) -> Iterator[Argument]:
    direct = joint_inputs(graph, stages)
    yield from (Argument(name, "Tensor") for name in direct if not skippable(graph, stages, name))
    yield from (Argument(view.variable, view.result) for view in encoders if not view.optional)
    yield from (Argument(view.variable, f"{view.result} | None", "None") for view in encoders if view.optional)
    yield from (Argument(name, "Tensor | None", "None") for name in direct if skippable(graph, stages, name))
    if cached(decoder):
        yield Argument("cache", "KVCache | None", "None")
    if keep:
        yield Argument("keep", "Tensor | None", "None")


def forward_arguments(graph: Graph, stages: Stages, encoders: tuple[EncodeView, ...]) -> list[Argument]:
    """Every input once, what is needed first; then what can be passed in place of an input."""
    direct = joint_inputs(graph, stages)
    read = dict.fromkeys(name for name in direct if not skippable(graph, stages, name))
    read |= dict.fromkeys(a.name for view in encoders if not view.optional for a in view.arguments if not a.default)
    free = dict.fromkeys(a.name for view in encoders for a in view.arguments)
    free |= dict.fromkeys(name for name in direct)
    arguments = [Argument(name, "Tensor") for name in read]
    arguments += [Argument(name, "Tensor | None", "None") for name in free if name not in read]
    return arguments + [Argument(view.variable, f"{view.result} | None", "None") for view in encoders if view.optional]
