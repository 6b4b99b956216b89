"""All pages of a package: file name -> template and what it places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..blocks.segments import marked_segment
from ..blocks.settings_linear import Delta
from ..blocks.views import StackView
from ..code import literal
from ..dims import Dim, Many, Sum
from ..ir import Graph, Node
from ..node_page import NodePage
from ..prompts import pictures, sounds, videos
from ..prompts.sound_views import sound_prompt_view, sound_tokens_view
from ..prompts.views import prompt_view, tokens_views
from ..stages import split
from . import checkpoint, model, parallel, pipeline, readme
from .wiring import Namer


@dataclass(frozen=True, slots=True)
class Page:
    """One output file: its template and the views that it reads by name."""

    template: str
    views: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GenerateView:
    """How `generate.py` calls the model.

    `start` is the token that rows without a prompt begin with, and the argument that has as many rows. `prefixes` are
    (variable that may be None, the features in it): what stands before the text fills its slots. `moved` are
    (argument, whether it has to be given): what is said of each token, and goes where the token goes.
    """

    tokens: str
    arguments: tuple[str, ...]
    moved: tuple[tuple[str, bool], ...]
    eos: tuple[str, ...]
    pad: int
    prefixes: tuple[tuple[str, str], ...]
    bounded: bool
    start: tuple[int, str] | None
    prompt_arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemoryView:
    """What the cache of a layer holds: keys and values, states of linear attention, or in some layers the ones and in
    some the others; beside keys and values, also the keys of an indexer, and beside states what is `convolved`."""

    linear: bool
    keyed: bool
    indexed: bool
    convolved: bool


def make(graph: Graph) -> dict[str, Page]:
    """The pages of a graph after its passes."""
    made = model.make(graph)
    view, names = made.model, checkpoint.make(graph)
    laid = parallel.make(graph, view, _methods(graph, made.nodes))
    pages = {
        "__init__.py": Page("package/__init__.py.j2", {"model": view}),
        "config.py": Page(
            "package/config.py.j2",
            {"config": [(name, page.fields) for name, page in made.nodes.items() if page.fields]},
        ),
        "model.py": Page("package/model.py.j2", {"model": view}),
        "parallel.py": Page("package/parallel.py.j2", {"parallel": laid}),
        "checkpoint.py": Page("package/checkpoint.py.j2", {"checkpoint": names}),
    }
    staged = pipeline.make(graph, view)
    meshed = bool(graph.parallelism.mesh)
    if meshed:
        pages["sharded.py"] = Page("package/sharded.py.j2", {"checkpoint": names, "staged": staged is not None})
        pages["gradients.py"] = Page("package/gradients.py.j2", {"staged": staged is not None})
    if staged:
        views = {"pipeline": staged, "parallel": laid}
        pages |= {f"{name}.py": Page(f"package/{name}.py.j2", views) for name in ("stages", "pipeline")}
        if staged.everywhere:
            pages["ahead.py"] = Page("package/ahead.py.j2", views)
    losses = _losses(made.nodes.values())
    if losses:
        pages["losses.py"] = Page("package/losses.py.j2", {"losses": losses, "stepped": view.stepped})
    nodes = _together(made.nodes)
    for name, page in nodes.items():
        if page.template:
            pages[f"{name}.py"] = Page(page.template, {"node": page.context, "meshed": meshed})
    if _keeps(graph):
        generate = _generate(graph, view) if view.decoder and view.cached else None
        memory, sources = _memory(graph), _sources(nodes.values())
        views = {"model": view, "generate": generate, "memory": memory, "sources": sources}
        pages["generate.py"] = Page("package/generate.py.j2", views)
        if generate:
            pages["sampling.py"] = Page("package/sampling.py.j2", {})
        if generate and memory.keyed:
            pages["paged.py"] = Page("package/paged.py.j2", views)
    pages |= prompt_pages(graph, view.tokens, view.mask)
    call = tuple(a.name for a in view.forward_arguments if a.name in graph.inputs)
    pages["README.md"] = Page(
        "package/README.md.j2",
        {"model": view, "readme": readme.make(graph, call, generates=bool(view.decoder) and view.cached)},
    )
    return pages


def prompt_pages(graph: Graph, tokens: str, mask: str) -> dict[str, Page]:
    """The pages of a prompt with images or sounds, whose text is the input `tokens`."""
    given, heard = pictures(graph), sounds(graph)
    if heard:
        view = sound_prompt_view(graph, heard, tokens, mask)
        return {
            "processor.py": Page("prompt/sound_processor.py.j2", {"prompt": view}),
            "counts.py": Page("prompt/sound_tokens.py.j2", {"page": sound_tokens_view(heard)}),
        }
    if given is None:
        return {}
    made = prompt_view(graph, given, tokens, mask)
    return {
        "processor.py": Page("prompt/processor.py.j2", {"prompt": made}),
        "counts.py": Page("prompt/tokens.py.j2", tokens_views(given, videos(graph))),
    }


def _methods(graph: Graph, pages: Mapping[str, NodePage]) -> tuple[tuple[str, str], ...]:
    """(node, method) of what modules are called by besides `forward`."""
    return tuple((node.name, name) for node in graph.owners for name in pages[node.source].methods)


def _losses(pages: Iterable[NodePage]) -> dict[str, frozenset[str]]:
    """The functions of `losses.py` that some node calls, with the options that some call gives."""
    found: dict[str, frozenset[str]] = {}
    for page in pages:
        for name, options in page.functions.items():
            found[name] = found.get(name, frozenset()) | options
        found |= {name: frozenset() for name in page.helpers}
    return dict(sorted(found.items()))


def _memory(graph: Graph) -> MemoryView:
    stacks = [node.spec.stack for node in graph.nodes.values() if node.kind == "decoder"]
    linear = [each for stack in stacks if stack for each in stack.linear]
    ops = [s.op for stack in stacks if stack for kind in stack.kinds for s in kind.sublayers]
    return MemoryView(
        linear=any(linear),
        keyed=not all(linear),
        indexed=any(stack.indexed for stack in stacks if stack),
        convolved=any(isinstance(op, Delta) for op in ops),
    )


def _together(pages: Mapping[str, NodePage]) -> Mapping[str, NodePage]:
    """The pages of all nodes, where decoders that read more than their tokens know of each other."""
    stacks = {name: stack for name, page in pages.items() if (stack := _sources([page])) is not None}
    if len(stacks) < 2:
        return pages
    peers = tuple(source for stack in stacks.values() for source in stack.sources)
    found = dict(pages)
    for name, stack in stacks.items():
        context: Any = pages[name].context
        found[name] = replace(pages[name], context=replace(context, stack=replace(stack, peers=peers)))
    return found


def _sources(pages: Iterable[NodePage]) -> StackView | None:
    """The blocks of the decoder, if they read more than its tokens: their cache keeps that."""
    stacks = (getattr(page.context, "stack", None) for page in pages)
    cached = (stack for stack in stacks if isinstance(stack, StackView) and stack.given.cached)
    return next((stack for stack in cached if stack.sources), None)


def _generate(graph: Graph, view: model.ModelView) -> GenerateView:
    decoder = graph.nodes[view.decoder]
    names = [name for name in view.pass_on if name != view.tokens]
    passed = {*graph.inputs} - {view.tokens, view.mask}
    eos = graph.generation.eos
    return GenerateView(
        tokens=view.tokens,
        arguments=tuple(str(each) for each in view.forward_arguments if each.name in passed),
        moved=tuple(
            (each.name, not each.default)
            for each in view.forward_arguments
            if each.name in passed and graph.inputs[each.name].port.shape[:2] == graph.inputs[view.tokens].port.shape
        ),
        eos=tuple(map(literal, eos)),
        pad=graph.generation.pad if graph.generation.pad is not None else eos[0] if eos else 0,
        prefixes=tuple(_prefixes(graph, view)),
        bounded=_bounded(decoder),
        start=_start(graph, view),
        prompt_arguments=("ids", *(f"{name}={name}" for name in names)),
    )


def _keeps(graph: Graph) -> bool:
    """Whether a node may be given a cache; `generate.py` defines it."""
    decoders = [node.spec.stack for node in graph.nodes.values() if node.kind == "decoder"]
    return any(stack is None or stack.one_by_one for stack in decoders)


def _segments(node: Node) -> tuple[str, ...]:
    """The ports of segments that stand one behind the other."""
    segments = node.spec.stack.segments if node.spec.stack and node.kind == "decoder" else ()
    return () if marked_segment(segments) else tuple(segment.name for segment in segments)


def _bounded(decoder: Node) -> bool:
    """Whether there is a longest sequence: not where positions are stretched, or count as distances alone."""
    stack = decoder.spec.stack
    stretched = stack is not None and any(rope.varies for rope in stack.rotary)
    return not stretched and getattr(decoder.spec, "relative", None) is None


def _start(graph: Graph, view: model.ModelView) -> tuple[int, str] | None:
    start = graph.generation.start
    if start is None or not view.encoders:
        return None
    # There may be more images than rows, or other texts: what the decoder reads begins with as many.
    read = [argument.name for encoder in view.encoders for argument in encoder.arguments]
    texts = [name for name in read if graph.inputs[name].port.what == "tokens"]
    sources = (ref.name for ref in graph.nodes[view.decoder].inputs.values() if ref.port)
    begun = [name for name in (graph.stream_start(source)[0] for source in sources) if name in texts]
    return start, (*begun, *texts, view.encoders[0].first)[0]


def _prefixes(graph: Graph, view: model.ModelView) -> Iterator[tuple[str, str]]:
    fields = {field.name: encoder for encoder in view.encoders for field in encoder.values}
    namer, name = Namer(graph, split(graph)), view.decoder
    while name in graph.nodes:
        node = graph.nodes[name]
        stream = node.signature.stream
        longer = isinstance(node.signature.outputs.get("features", node.signature.inputs[stream]).shape[1], Sum)
        joined = {port for port in node.inputs if longer and node.kind == "fusion"} | {*_segments(node)}
        for port, ref in node.inputs.items():
            if port in joined and port != stream and node.signature.inputs[port].what == "features":
                each = _for_each(node.signature.inputs[port].shape[0], node.signature.inputs[stream].shape[0])
                times = f"{each} * " if each > 1 else ""
                value = namer.inside(ref)
                encoder = fields.get(value)
                if encoder is None:
                    yield value, f"{times}{value}"
                else:
                    alone = encoder.result == "Tensor"
                    yield encoder.variable, f"{times}{encoder.variable}{'' if alone else f'.{value}'}"
        name = node.inputs[stream].name


def _for_each(images: Dim, texts: Dim) -> int:
    """How many images there are for each text: 2 of `2 * batch` for `batch`."""
    if isinstance(images, int) and isinstance(texts, int):
        return images // texts
    many = images.terms[0] if isinstance(images, Sum) else None
    return many.count if isinstance(many, Many) else 1
