"""What a rank encodes when its samples have no image, so that all ranks gather the same weights under FSDP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..blocks.settings import Attention
from ..ir import Graph, Node
from ..stages import Stage, Stages, joint_inputs, split
from . import least
from .arguments import EncodeView


@dataclass(frozen=True, slots=True)
class Blank:
    """One `encode_*` method that a batch may have nothing for, and the least that it takes.

    It is called with the `arguments` if the first of them is there, and not the features themselves, in `variable`.
    What it gives is read beside the `text`, or `attended` to by layers, or both.
    """

    method: str
    noun: str
    variable: str
    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
    several: bool
    text: bool
    attended: bool

    @property
    def first(self) -> str:
        """The argument without which there is nothing to encode."""
        return self.arguments[0]

    @property
    def places(self) -> tuple[str, ...]:
        """The functions that add a blank to where it would be read."""
        return (*(("in_text",) if self.text else ()), *(("in_layers",) if self.attended else ()))


@dataclass(frozen=True, slots=True)
class Blanks:
    """Those of a model; `tokens` is an input that is always there, and `text` the module that embeds it.

    Of the nodes `attending`, layers with one of these modules attend to what is encoded. If several methods encode,
    they are `ordered`: all ranks call them in the same order.
    """

    stages: tuple[Blank, ...]
    tokens: str
    text: str
    attending: tuple[tuple[str, tuple[str, ...]], ...]
    ordered: bool

    @property
    def in_text(self) -> bool:
        """Whether some are read beside the text."""
        return any(blank.text for blank in self.stages)

    @property
    def stacked(self) -> bool:
        """Whether hooks come in numbers."""
        return self.ordered or bool(self.attending)


def make(graph: Graph, encoders: Iterable[EncodeView]) -> Blanks | None:
    """The blanks of a graph, if it can do without some features; `encoders` are the methods of its stages."""
    stages = split(graph)
    views = {view.method: view for view in encoders}
    free = [stage for stage in stages.encoders if stage.optional and _unneeded(graph, stage)]
    made = tuple(_blank(graph, stage, views[f"encode_{stage.name}"]) for stage in free)
    text = _text(graph, stages)
    if not made or (text is None and any(blank.text for blank in made)):
        return None
    attending: dict[str, tuple[str, ...]] = {}
    for node, port in (each for stage in free for each in _crossing(graph, stage)):
        attending[node.module] = tuple(dict.fromkeys((*attending.get(node.module, ()), *_sublayers(node, port))))
    return Blanks(
        stages=made,
        tokens=next(name for name in joint_inputs(graph, stages) if graph.inputs[name].port.what == "tokens"),
        text=text.module if text else "",
        attending=tuple(attending.items()),
        ordered=len(stages.encoders) > 1,
    )


def _text(graph: Graph, stages: Stages) -> Node | None:
    """The embedding of the tokens that outputs come from."""
    starts = {graph.stream_start(ref.name)[0] for ref in graph.outputs.values() if ref.port}
    nodes = (graph.nodes[name] for name in stages.joint)
    return next((node for node in nodes if node.type == "token_embedding" and node.inputs["ids"].name in starts), None)


def _readers(graph: Graph, stage: Stage) -> Iterator[tuple[Node, str]]:
    """The nodes outside of a stage that read what it gives, and at which ports."""
    for node in graph.nodes.values():
        for port, ref in node.inputs.items():
            if ref in stage.values and node.name not in stage.nodes:
                yield node, port


def _crossing(graph: Graph, stage: Stage) -> list[tuple[Node, str]]:
    """Those whose layers attend to it."""
    return [(node, port) for node, port in _readers(graph, stage) if _sublayers(node, port)]


def _sublayers(node: Node, port: str) -> tuple[str, ...]:
    """The sublayers that attend to what comes in at a port."""
    kinds = node.spec.stack.kinds if node.spec.stack else ()
    every = [(each.name, each.op) for kind in kinds for each in kind.sublayers]
    return tuple(name for name, op in every if isinstance(op, Attention) and op.cross and op.cross.port == port)


def _unneeded(graph: Graph, stage: Stage) -> bool:
    """Whether no layer must have what a stage gives."""
    return all(node.spec.stack is not None and node.spec.stack.skipped(port) for node, port in _crossing(graph, stage))


def _blank(graph: Graph, stage: Stage, view: EncodeView) -> Blank:
    crossing = _crossing(graph, stage)
    return Blank(
        method=view.method,
        noun=stage.name,
        variable=view.variable,
        arguments=view.pass_on,
        inputs=least.inputs(graph, stage),
        several=len(stage.values) > 1,
        text=len(crossing) < len([*_readers(graph, stage)]),
        attended=bool(crossing),
    )
