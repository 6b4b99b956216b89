"""Attention masks: nobody has to connect them. Each belongs to the tokens of one input and goes wherever these go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from .diagnostics import Label
from .dims import Var
from .ir import Input, Ref
from .linked import Edge, Linked, LinkedGraph
from .problems import Problems
from .spec import Port


def with_masks(graph: LinkedGraph, problems: Problems) -> LinkedGraph:
    """Connect every open mask port along its stream of tokens; where no input is a mask, `attention_mask` is added."""
    connector = _Connector(graph, problems)
    for name, node in graph.nodes.items():
        edges = dict(node.inputs)
        for port, source in _open_masks(node):
            mask = connector.mask_of(node, source)
            if mask is not None:
                edges[port] = Edge(mask, node.span)
        if len(edges) > len(node.inputs):
            # In the order of the ports, as if the masks had been written.
            connector.nodes[name] = replace(node, inputs={p: edges[p] for p in node.signature.inputs if p in edges})
    return replace(graph, inputs=connector.inputs, nodes=connector.nodes)


def _open_masks(node: Linked) -> Iterator[tuple[str, Ref]]:
    """(port, what it is the mask of) for each mask of a node that nobody has connected."""
    for port, found in node.signature.inputs.items():
        edge = node.inputs.get(found.of)
        source = node.stream if port == node.signature.mask else edge.source if edge else None
        if port not in node.inputs and source is not None:
            yield port, source


def mask_port(name: str) -> Port:
    """The port of an input that is a mask; its axes are called what those of its reader are."""
    return Port("mask", (Var(f"{name}.rows", "rows"), Var(f"{name}.columns", "columns")))


class _Connector:
    def __init__(self, graph: LinkedGraph, problems: Problems) -> None:
        self.inputs, self.nodes = dict(graph.inputs), dict(graph.nodes)
        self._problems = problems
        tokens = [name for name, found in graph.inputs.items() if found.port.what == "tokens"]
        masks = [name for name, found in graph.inputs.items() if found.port.what == "mask"]
        self._chosen = _connected(graph)  # input of tokens -> its mask
        self._open = [name for name in tokens if name not in self._chosen]
        read = {edge.source.name for node in graph.nodes.values() for edge in node.inputs.values()}
        self._free = [name for name in masks if name not in self._chosen.values() and name not in read]
        if len(self._free) == len(self._open):
            self._chosen.update(zip(self._open, self._free, strict=True))
            self._free = []
        self._found: dict[tuple[Ref, bool], Ref | None] = {}

    def mask_of(self, reader: Linked, start: Ref) -> Ref | None:
        """The mask that belongs to the tokens at `start`, which `reader` reads; nodes before it are connected."""
        source: Ref | None = start
        cut, way, mask = False, list[tuple[Ref, bool]](), None
        while source is not None and source.port:
            if (source, cut) in self._found:
                mask = self._found[source, cut]
                break
            way.append((source, cut))
            node = self.nodes[source.name]
            port = node.signature.outputs[source.port]
            if source.port in node.signature.aside:
                break
            if "mask" in node.signature.outputs and not (cut and port.tail != port.shape[1]):
                masks = [name for name, found in node.signature.inputs.items() if found.what == "mask"]
                given = not masks or any(name in node.inputs for name in masks)
                mask = Ref(source.name, "mask") if given else None
                break
            if node.stream is None:
                sources = [node.inputs[name].source for name in node.signature.alike if name in node.inputs]
                mask = next((found for alike in sources if (found := self.mask_of(reader, alike)) is not None), None)
                break
            # What a decoder gives may be as long as the tail of what it reads: then it is the mask of that.
            cut = cut or port.shape[1] == node.signature.inputs[node.signature.stream].tail
            source = node.stream
        else:
            mask = self._of_input(source.name, reader) if source is not None else None
        self._found.update(dict.fromkeys(way, mask))
        return mask

    def _of_input(self, tokens: str, reader: Linked) -> Ref | None:
        if self.inputs[tokens].port.what != "tokens":
            return None
        if tokens not in self._chosen:
            if self._free:
                self._report(tokens, reader)
                return None
            self._chosen[tokens] = self._added(tokens)
        return Ref(self._chosen[tokens])

    def _added(self, tokens: str) -> str:
        name = next(name for name in self._names(tokens) if name not in self.nodes and name not in self.inputs)
        self.inputs[name] = Input(name, mask_port(name), inferred=True)
        return name

    def _names(self, tokens: str) -> Iterator[str]:
        if not self._chosen:
            yield "attention_mask"
        yield f"{tokens}_mask"
        yield from (f"{tokens}_mask_{number}" for number in count(2))

    def _report(self, tokens: str, reader: Linked) -> None:
        masks = [self.inputs[name] for name in self._free[:2]]
        others = [name for name in self._open if name != tokens]
        if len(masks) > 1:
            which = f"{' and '.join(f'`{mask.name}`' for mask in masks)} are both masks"
        else:
            which = f"`{masks[0].name}` may be their mask or that of `{others[0]}`"
        port, source = next(iter(reader.signature.inputs)), reader.stream or Ref("...")
        edit = f"inputs: {{{port}: {source.name}, mask: {masks[0].name}}}"
        self._problems.error(
            "ambiguous-mask",
            f"`{reader.name}` works on the tokens of `{tokens}`, and {which}",
            reader.span,
            labels=tuple(Label(mask.span, "a mask") for mask in masks if mask.span),
            help=f"say which one it reads: `{edit if len(reader.inputs) == 1 else f'mask: {masks[0].name}'}`",
        )


def _connected(graph: LinkedGraph) -> dict[str, str]:
    """Input of tokens -> its mask, as far as the graph says so."""
    roots, found = graph.roots(), dict[str, str]()
    for name, node in graph.nodes.items():
        edge = node.inputs.get(node.signature.mask)
        if edge and not edge.source.port and roots[name].name in graph.inputs:
            found.setdefault(roots[name].name, edge.source.name)
        for port, each in node.signature.inputs.items():
            edge, of = node.inputs.get(port), node.inputs.get(each.of)
            if edge and of and not edge.source.port:
                root = roots[of.source.name].name if of.source.port else of.source.name
                found.setdefault(root, edge.source.name)
    return found
