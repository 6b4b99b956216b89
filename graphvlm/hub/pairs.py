"""The view of an encoder-decoder."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph, Node
from ..pages.arguments import EncodeView
from ..stages import split
from .reading import read_first, start_of
from .views import ModuleView, PairView


def pair_view(
    graph: Graph, decoder: Node, view: EncodeView, modules: tuple[ModuleView, ...], embedding: Node
) -> PairView:
    """The half that is encoded: all of one stage."""
    found, start = read_first(graph, split(graph)), start_of(graph.generation)
    assert found is not None
    assert start is not None
    stage, ref = found
    lines = tuple(
        replace(line, function="self.embed_tokens") if line.function == f"self.{embedding.name}" else line
        for line in view.lines
    )
    stack = decoder.spec.stack
    ports = [port for port in (stack.crossed_ports if stack else ()) if port in decoder.inputs]
    given = {
        port: "features if past == 0 else None" if decoder.inputs[port] == ref else decoder.inputs[port].name
        for port in ports
    }
    return PairView(
        modules=modules,
        arguments=view.arguments,
        lines=lines,
        result=view.values[0].expression,
        shared=any(graph.nodes[name].module == embedding.name for name in stage.nodes),
        crossed=tuple(given.items()),
        start=start,
        pad=start if graph.generation.pad is None else graph.generation.pad,
    )
