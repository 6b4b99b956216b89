"""The view of `model.py`: which stages there are, what each takes and gives, and its lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from ..code import WIDTH, Statement, comment_text, literal
from ..component import component
from ..dims import show_shape
from ..ir import Graph, Node, Ref, Tie
from ..names import class_name
from ..node_page import NodePage
from ..stages import Stage, Stages, only_decoder, scored_decoder, split, tokens_of
from ..vocabulary import gives_parts
from . import frozen
from .arguments import (
    Argument,
    EncodeView,
    Value,
    cached,
    encode_arguments,
    forward_arguments,
    joint_arguments,
)
from .wiring import Namer, longer, wiring


@dataclass(frozen=True, slots=True)
class ModelView:
    """Everything on the page of `model.py`."""

    name: str
    description: str
    picture: tuple[str, ...]
    modules: tuple[tuple[str, str, str], ...]
    imports: tuple[tuple[str, str], ...]
    encoders: tuple[EncodeView, ...]
    joint: str
    joint_arguments: tuple[Argument, ...]
    joint_lines: tuple[Statement, ...]
    forward_arguments: tuple[Argument, ...]
    outputs: tuple[Value, ...]
    freeze: tuple[str, ...]
    scheduled: bool
    cached: bool
    keep: bool
    longer: bool
    decoder: str
    tokens: str
    mask: str
    functional: bool
    torch: bool
    teachers: tuple[Follower, ...]
    ties: tuple[tuple[str, Tie], ...]
    stepped: bool
    imported: bool
    begin: tuple[Statement, ...]
    logits: str
    in_parts: bool

    @property
    def begins(self) -> bool:
        """Whether something comes before each training step that no gradient does."""
        return bool(self.teachers or self.stepped or self.begin)

    @property
    def joint_parameters(self) -> tuple[str, ...]:
        """The parameters of the joint stage."""
        return ("self", *map(str, self.joint_arguments))

    @property
    def forward_parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        return ("self", *map(str, self.forward_arguments))

    @property
    def loss_parameters(self) -> tuple[str, ...]:
        """The parameters of `loss`: those of `forward`, with the labels before what is optional."""
        needed = [str(argument) for argument in self.forward_arguments if not argument.default]
        rest = [str(argument) for argument in self.forward_arguments if argument.default]
        return ("self", *needed, "labels: Tensor", *rest)

    @property
    def methods(self) -> tuple[str, ...]:
        """What callers call besides `forward`."""
        loss = ("loss",) if self.decoder else ()
        return (*(encoder.method for encoder in self.encoders), *((self.joint,) if self.joint else ()), *loss)

    @property
    def pass_on(self) -> tuple[str, ...]:
        """What `forward` hands to the joint stage, in its order."""
        return tuple(argument.name for argument in self.joint_arguments if argument.name not in ("cache", "keep"))


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of all nodes and of the model."""

    nodes: Mapping[str, NodePage]
    model: ModelView


def make(graph: Graph) -> Pages:
    """The pages of a graph after its passes."""
    stages = split(graph)
    namer = Namer(graph, stages)
    decoder = only_decoder(graph, stages)
    scored = scored_decoder(graph, stages) is not None
    keep = scored and graph.passes.label_logits
    pages: dict[str, NodePage] = {}
    for stage_nodes in [*(stage.nodes for stage in stages.encoders), stages.joint]:
        for name in stage_nodes:
            node = graph.nodes[name]
            wired = wiring(
                graph,
                node,
                namer,
                set(stage_nodes),
                keep=keep and node is decoder,
                cached=node is decoder and cached(node),
            )
            page = component(node.kind, node.type).page(node, wired)
            pages[name] = replace(page, template="", fields=(), construct="") if node.owner else page
    pages = {name: _followed(graph.nodes[name], pages) for name in graph.nodes}
    return Pages(pages, _model_view(graph, stages, namer, pages, decoder, scored=scored, keep=keep))


def _followed(node: Node, pages: Mapping[str, NodePage]) -> NodePage:
    """The page of a node; a teacher is built by the class of what it follows."""
    page, source = pages[node.name], pages[node.source]
    if not node.follows or node.owner:
        return page
    return replace(page, template="", fields=(), class_name=source.class_name, construct=source.construct)


@dataclass(frozen=True, slots=True)
class Follower:
    """A teacher, what it follows, and how much of its weights it keeps in a step."""

    teacher: str
    student: str
    decay: str


def _model_view(
    graph: Graph,
    stages: Stages,
    namer: Namer,
    pages: Mapping[str, NodePage],
    decoder: Node | None,
    *,
    scored: bool,
    keep: bool,
) -> ModelView:
    encoders = tuple(_encode_view(graph, stage, namer, pages) for stage in stages.encoders)
    lines = _lines(graph, stages.joint, pages)
    lines = (*(line for view in encoders for line in _unpack(view)), *lines)
    every = (*lines, *(line for view in encoders for line in view.lines))
    maybe = {ref for stage in stages.encoders if stage.optional for ref in stage.values}
    outputs = tuple(
        Value(
            name,
            namer.outside.get(ref) or namer.inside(ref),
            show_shape(graph.port(ref).shape),
            "Tensor | None" if ref in maybe else "Tensor",
        )
        for name, ref in graph.outputs.items()
    )
    joint = "" if not stages.joint else "decode" if decoder else "combine"
    root = tokens_of(graph, decoder) if decoder and scored else ""
    logits = next((name for name, ref in graph.outputs.items() if decoder and ref == Ref(decoder.name, "logits")), "")
    return ModelView(
        name=graph.name,
        description=comment_text(graph.description or graph.name),
        picture=_picture(graph),
        modules=tuple((name, page.construct, page.note) for name, page in pages.items() if page.construct),
        imports=tuple(sorted(_imports(pages, decoder), key=_sorting)),
        encoders=encoders,
        joint=joint,
        joint_arguments=tuple(joint_arguments(graph, stages, encoders, decoder, keep)),
        joint_lines=lines,
        forward_arguments=tuple(forward_arguments(graph, stages, encoders)),
        outputs=outputs,
        freeze=tuple(frozen.lines(graph)),
        longer=decoder is not None and longer(graph, decoder),
        scheduled=any(freeze.until is not None for freeze in graph.freeze),
        cached=cached(decoder),
        keep=keep,
        decoder=decoder.name if decoder and scored else "",
        tokens=root,
        mask=_mask_of(graph, decoder) if decoder else "",
        functional=any(line.function.startswith("F.") for line in every) or bool(root),
        teachers=tuple(
            Follower(node.name, node.follows, literal(node.decay)) for node in graph.teachers if node.parameters
        ),
        ties=tuple((node.name, node.tie) for node in graph.owners if node.tie),
        stepped=any(page.stepped for page in pages.values()),
        imported=bool(graph.imported),
        begin=tuple(line for name, page in pages.items() if graph.nodes[name].source == name for line in page.begin),
        torch=any(page.begin for page in pages.values())
        or bool(graph.teachers)
        or any("torch." in line.function or "torch." in "".join(line.arguments) for line in every),
        logits=logits,
        in_parts=bool(root) and decoder is not None and gives_parts(decoder),
    )


def _lines(graph: Graph, names: Iterable[str], pages: Mapping[str, NodePage]) -> tuple[Statement, ...]:
    """The lines of nodes in their order; calls through which no gradient goes back stand in a block."""
    found: list[Statement] = []
    for grad, run in groupby(names, key=lambda name: graph.nodes[name].grad):
        lines = [line for name in run for line in pages[name].calls]
        if not grad and lines:
            found.append(Statement("", "", ("with torch.no_grad():",)))
        found += lines if grad else [replace(line, indent=4) for line in lines]
    return tuple(found)


def _imports(pages: Mapping[str, NodePage], decoder: Node | None) -> Iterator[tuple[str, str]]:
    yield "config", "DEFAULT, Config"
    if cached(decoder):
        yield "generate", "KVCache"
    yield from ((name, page.class_name) for name, page in pages.items() if page.template)
    called = sorted({name for page in pages.values() for name in page.functions})
    called = ["Progress", *called] if any(page.stepped for page in pages.values()) else called
    if called:
        line = ", ".join(called)
        fits = len(f"from .losses import {line}") <= WIDTH
        yield "losses", line if fits else "(\n" + "".join(f"    {name},\n" for name in called) + ")"


def _sorting(line: tuple[str, str]) -> list[str | int]:
    """As linters sort imports: by name, with the numbers in it as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", line[0])]


def _encode_view(graph: Graph, stage: Stage, namer: Namer, pages: Mapping[str, NodePage]) -> EncodeView:
    variable = namer.variables[stage.name]
    values = tuple(
        Value(namer.inside(ref), namer.inside(ref), show_shape(graph.port(ref).shape)) for ref in stage.values
    )
    return EncodeView(
        method=f"encode_{stage.name}",
        arguments=tuple(encode_arguments(graph, stage)),
        variable=variable,
        result="Tensor" if len(values) == 1 else class_name(variable),
        values=values,
        lines=_typed(_lines(graph, stage.nodes, pages), values),
        optional=stage.optional,
    )


def _typed(lines: tuple[Statement, ...], values: tuple[Value, ...]) -> tuple[Statement, ...]:
    """The lines with a type on the value that is returned alone: what a module returns has none of its own."""
    if len(values) > 1:
        return lines
    name = values[0].expression
    first = next((index for index, line in enumerate(lines) if line.target == name), None)
    return tuple(
        replace(line, target=f"{name}: Tensor") if index == first else line for index, line in enumerate(lines)
    )


def _unpack(view: EncodeView) -> tuple[Statement, ...]:
    """The line that takes apart what a stage with several values returned."""
    if view.result == "Tensor":
        return ()
    names = ", ".join(value.name for value in view.values)
    if not view.optional:
        return (Statement(names, "", (view.variable,)),)
    return (Statement(names, f"{view.variable} or ", tuple("None" for _ in view.values)),)


def _mask_of(graph: Graph, decoder: Node) -> str:
    ref = decoder.inputs.get(decoder.signature.mask)
    while ref is not None and ref.port:
        ref = graph.nodes[ref.name].inputs.get("mask")
    return ref.name if ref else ""


def _picture(graph: Graph) -> tuple[str, ...]:
    """`name <- what it reads`, one line a node."""
    width = max(len(name) for name in graph.nodes)
    return tuple(
        f"{name:<{width}} <- {', '.join(dict.fromkeys(ref.name for ref in node.inputs.values()))}"
        for name, node in graph.nodes.items()
    )
