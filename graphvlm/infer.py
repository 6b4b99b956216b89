"""Sizes along the edges, both ways: what was written, and what follows from it for everything that was left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from .diagnostics import Label
from .dims import MAX_TERMS, Dim, Mismatch, Solver, Sum, TooManyTerms, Var, Written, show, show_shape
from .ir import Input
from .linked import Edge, Linked, LinkedGraph
from .problems import Problems
from .spec import Port, What


def infer(linked: LinkedGraph, problems: Problems) -> Solver:
    """Every size that can be known. Sizes that contradict each other are noted; each then holds on its own side."""
    solver = Solver()
    known = [found.written for found in linked.inputs.values()]
    known += [node.signature.written for node in linked.nodes.values()]
    for sizes in known:
        for var, written in sizes.items():
            solver.bind(var, written)
    _share(linked, solver)
    try:
        conflicts = _connect_all(linked, solver, problems)
    except TooManyTerms:
        message = f"the length of a sequence is a sum of more than {MAX_TERMS} open sizes"
        edit = "say how many `tokens` the inputs of type `features` have, or put fewer streams behind each other"
        problems.error("cannot-infer", message, next(iter(linked.nodes.values())).span, help=edit)
        problems.stop()
    for conflict in conflicts:
        _report(conflict, linked, solver, problems)
    if not conflicts:
        _report_open(linked, solver, problems)
    return solver


def _share(linked: LinkedGraph, solver: Solver) -> None:
    """A call is as wide as the node whose weights it calls; how long its streams are is its own."""
    for node in linked.nodes.values():
        owner = linked.nodes[node.source].signature
        for setting, var in node.signature.sizes.items():
            solver.unify(var, owner.sizes[setting])


def solved(port: Port, solver: Solver) -> Port:
    """The port with everything known put in."""
    return replace(
        port,
        shape=tuple(solver.solve(dim) for dim in port.shape),
        vocab=None if port.vocab is None else solver.solve(port.vocab),
        tail=None if port.tail is None else solver.solve(port.tail),
    )


def _report_open(linked: LinkedGraph, solver: Solver, problems: Problems) -> None:
    """Note every setting that nothing determines, once for all that must be equal."""
    alive = linked.alive()
    by_size: dict[Dim, list[tuple[Linked, str]]] = {}
    for name, node in linked.nodes.items():
        for setting, var in node.signature.sizes.items():
            size = solver.solve(var)
            if not isinstance(size, int) and name in alive and node.source == name:
                by_size.setdefault(size, []).append((node, setting))
    for settings in by_size.values():
        node, setting = settings[-1]
        others = [(other.span, f"its `{name}` is the same") for other, name in settings[:-1]]
        also = [f"`{name}` of `{other.name}`" for other, name in settings[:-1]]
        problems.error(
            "cannot-infer",
            f"nothing says how large `{setting}` of `{node.name}` is: it is not written, and no edge determines it",
            node.span,
            note=f"`{setting}` is open",
            labels=tuple(Label(*other) for other in others[-_MOST:]),
            help=" or ".join([f"write `{setting}` here,", *also[-_MOST:]]) if also else f"write `{setting}` here",
        )


_MOST = 3


@dataclass(frozen=True, slots=True)
class _Conflict:
    """Two sizes along one axis of an edge: the left one is what the reader takes."""

    node: Linked
    port: str
    edge: Edge
    axis: int
    sizes: Mismatch

    @property
    def what(self) -> What:
        return self.node.signature.inputs[self.port].what


def _connect_all(linked: LinkedGraph, solver: Solver, problems: Problems) -> list[_Conflict]:
    """Lengths and image sizes go with the data. Widths and vocabularies go against it: what the end of the graph needs
    is known when a source is met that gives something else, and the conflict is shown there."""
    conflicts: list[_Conflict] = []
    for node in linked.nodes.values():
        _connect_tails(linked, node, solver)
        for port in node.inputs:
            wanted = node.signature.inputs[port]
            lengths = range(_WIDTH if wanted.what == "features" else len(wanted.shape))
            conflicts += _connect(linked, node, port, lengths, solver)
    shown = {(conflict.node.name, conflict.port) for conflict in conflicts}
    later: list[tuple[Linked, str]] = []
    backwards = list(linked.nodes.values())[::-1]
    # A node says how wide its weights are, not another call of it: that comes later.
    for node in sorted(backwards, key=lambda node: node.source != node.name):
        for port, edge in node.inputs.items():
            _connect_vocab(linked, node, port, solver, problems)
            if node.signature.inputs[port].what != "features":
                continue
            if _several(solver.solve(linked.port(edge.source).shape[_WIDTH])):
                later.append((node, port))
                continue
            found = _connect(linked, node, port, [_WIDTH], solver)
            conflicts += [] if (node.name, port) in shown else found
    # Streams side by side: how wide each is, only the streams know.
    for node, port in reversed(later):
        found = _connect(linked, node, port, [_WIDTH], solver)
        conflicts += [] if (node.name, port) in shown else found
    for node in linked.nodes.values():
        for port_ in (*node.signature.inputs.values(), *node.signature.outputs.values()):
            solved(port_, solver)
    return conflicts


_WIDTH = 2  # the last axis of features


def _several(dim: Dim) -> bool:
    """Whether a size is a sum of several that are open, which one number cannot tell."""
    return isinstance(dim, Sum) and sum(not isinstance(term, int) for term in dim.terms) > 1


def _connect(linked: LinkedGraph, node: Linked, port: str, axes: Iterable[int], solver: Solver) -> list[_Conflict]:
    edge, target = node.inputs[port], node.signature.inputs[port]
    source = linked.port(edge.source)
    found = []
    for axis in axes:
        try:
            solver.unify(target.shape[axis], source.shape[axis])
        except Mismatch as sizes:
            found.append(_Conflict(node, port, edge, axis, sizes))
    return found[:1]


def _connect_tails(linked: LinkedGraph, node: Linked, solver: Solver) -> None:
    """How many of the last tokens are wanted; all of them, of a stream of which nobody says so."""
    for port, edge in node.inputs.items():
        source, target = linked.port(edge.source), node.signature.inputs[port]
        if target.tail is not None:
            solver.unify(target.tail, target.shape[1] if source.tail is None else source.tail)


def _connect_vocab(linked: LinkedGraph, node: Linked, port: str, solver: Solver, problems: Problems) -> None:
    source, target = linked.port(node.inputs[port].source), node.signature.inputs[port]
    if source.vocab is None or target.vocab is None:
        return
    try:
        solver.unify(target.vocab, source.vocab)
    except Mismatch as sizes:
        reader, embedding = sizes.left_origin, sizes.right_origin
        assert reader is not None
        assert embedding is not None
        problems.clash(
            "vocabulary-mismatch",
            f"`{reader.owner}` has a vocabulary of {reader.value} tokens and `{embedding.owner}` one of "
            f"{embedding.value}, and both work on the same token ids",
            Label(embedding.span, f"`{embedding.owner}` has {embedding.value}"),
            Label(reader.span, f"`{reader.owner}` has {reader.value}"),
            help=f"remove `vocab` of `{embedding.owner}`: it is inferred from `{reader.owner}`"
            if embedding.setting
            else "write the same `vocab` for both",
        )


def _report(found: _Conflict, linked: LinkedGraph, solver: Solver, problems: Problems) -> None:
    where, source = f"{found.node.name}.{found.port}", found.edge.source.name
    wanted, given = found.sizes.left, found.sizes.right
    gives = [solver.solve(dim) for dim in linked.port(found.edge.source).shape]
    needs = [_own(dim, found.node, solver) for dim in found.node.signature.inputs[found.port].shape]
    needs[found.axis] = wanted
    other = found.sizes.right_origin
    takes = f"`{where}` takes {_AXES[found.what, found.axis].format(show(wanted))}"
    if not found.edge.source.port and other and other.owner != source:
        message = f"{takes}, and `{other.owner}`, which reads `{source}` too, {show(given)}"
        gives[found.axis] = given
    else:
        message = f"{takes}, `{source}` gives {show(given)}"
    origins = (found.sizes.right_origin, found.sizes.left_origin)
    problems.error(
        "shape-mismatch",
        message,
        found.edge.span,
        note=f"{show_shape(gives)}, needs {show_shape(needs)}",
        labels=tuple(Label(origin.span, origin.text) for origin in origins if origin),
        help=_grouping(found) or _help(found, linked.inputs),
    )


def _own(dim: Dim, node: Linked, solver: Solver) -> Dim:
    """What a node itself knows of a size: the name of what comes with the data."""
    if isinstance(dim, Var) and not dim.hole:
        return node.signature.written[dim].value if dim in node.signature.written else dim
    return solver.solve(dim)


_AXES: Mapping[tuple[What, int], str] = MappingProxyType(
    {
        ("features", 0): "features of {} images",
        ("features", 1): "features of {} tokens",
        ("features", 2): "features {} wide",
        ("vector", 0): "vectors of {} samples",
        ("vector", 1): "vectors {} wide",
        ("scores", 0): "scores of {} samples",
        ("scores", 1): "{} scores a sample",
        ("logits", 0): "logits of a batch of {}",
        ("logits", 1): "logits of {} tokens",
        ("logits", 2): "logits of a vocabulary of {}",
        ("classes", 0): "classes of {} samples",
        ("repeats", 0): "numbers of rows of {} samples",
        ("weights", 0): "weights of {} samples",
        ("chosen", 0): "candidates of {} samples",
        ("chosen", 1): "{} candidates a sample",
        ("labels", 0): "labels of a batch of {}",
        ("labels", 1): "labels of {} tokens",
        ("image", 0): "{} images",
        ("image", 1): "images of {} channels",
        ("image", 2): "images {} pixels high",
        ("image", 3): "images {} pixels wide",
        ("video", 0): "{} videos",
        ("video", 1): "videos of {} frames",
        ("video", 2): "frames of {} channels",
        ("video", 3): "frames {} pixels high",
        ("video", 4): "frames {} pixels wide",
        ("tokens", 0): "a batch of {}",
        ("tokens", 1): "{} token ids",
        ("mask", 0): "a batch of {}",
        ("mask", 1): "a mask over {} tokens",
        ("token_types", 0): "types of a batch of {}",
        ("token_types", 1): "types of {} tokens",
        ("patches", 0): "{} patches",
        ("patches", 1): "patches of {} numbers",
        ("grid", 0): "grids of {} images",
        ("sizes", 0): "sizes of {} images",
        ("stack", 0): "{} stacks of images",
        ("stack", 1): "stacks of {} images",
        ("stack", 2): "images of {} channels",
        ("stack", 3): "images {} pixels high",
        ("stack", 4): "images {} pixels wide",
        ("stack_mask", 0): "masks of {} stacks",
        ("stack_mask", 1): "masks of stacks of {} images",
        ("stack_mask", 2): "masks {} pixels high",
        ("stack_mask", 3): "masks {} pixels wide",
        ("pixel_mask", 0): "masks of {} images",
        ("pixel_mask", 1): "masks {} pixels high",
        ("pixel_mask", 2): "masks {} pixels wide",
        ("counts", 0): "numbers of images of {} prompts",
        ("seconds", 0): "seconds of {} videos",
        ("audio", 0): "{} clips",
        ("audio", 1): "spectrograms of {} bins",
        ("audio", 2): "spectrograms of {} frames",
        ("tiles", 0): "tiles of a batch of {}",
        ("tiles", 1): "tiles of {} images",
        ("tiles", 2): "{} tiles of each image",
        ("tiles", 3): "tiles of {} channels",
        ("tiles", 4): "tiles {} pixels high",
        ("tiles", 5): "tiles {} pixels wide",
        ("tile_grid", 0): "grids of a batch of {}",
        ("tile_grid", 1): "grids of {} images",
        ("arrangement", 0): "arrangements of a batch of {}",
        ("arrangement", 1): "arrangements of {} images",
        ("tile_mask", 0): "masks of a batch of {}",
        ("tile_mask", 1): "masks of {} images",
        ("tile_mask", 2): "masks of {} tiles",
        ("visible", 0): "flags of a batch of {}",
        ("visible", 1): "flags of {} tokens",
        ("visible", 2): "flags of {} images",
        ("visible", 3): "flags of {} tiles",
        ("positions", 1): "positions of a batch of {}",
        ("positions", 2): "positions of {} tokens",
    }
)


def _grouping(found: _Conflict) -> str:
    """An edit where a node puts so many tokens together that what it is given does not divide; empty elsewhere."""
    needed, given = found.sizes.left, found.sizes.right
    if found.what != "features" or found.axis != 1 or not isinstance(needed, Sum) or not isinstance(given, int):
        return ""
    return f"`{found.node.name}` puts tokens together, {show(needed)}: change how many, or how many it is given"


def _help(found: _Conflict, inputs: Mapping[str, Input]) -> str:
    """An edit that ends the conflict: the size of the source first, then that of the reader."""
    sizes = found.sizes
    edits = []
    for origin, wanted in ((sizes.right_origin, sizes.left), (sizes.left_origin, sizes.right)):
        if origin and isinstance(wanted, int):
            edits += [origin.edits[wanted]] if wanted in origin.edits else []
            edits += [_other_size(origin, wanted, found)] if origin.setting else []
    if edits:
        return ", or ".join(edits[:2])
    if found.what == "features" and found.axis == 2:
        return "put a projector between the two: `kind: projector, type: linear`"
    if found.what == "image" and not found.edge.source.port and found.edge.source.name in inputs:
        return "read another input here, or give both readers images of the same size"
    if found.what == "mask":
        return "leave `mask` out: masks are connected by themselves"
    if isinstance(sizes.left, Var) or isinstance(sizes.right, Var):
        return "only a stream of text is as long as the prompt: feed it one, and image features to the other ports"
    return "feed it a stream of the same length"


def _other_size(origin: Written, wanted: int, found: _Conflict) -> str:
    """Remove what was written, or write what is needed."""
    near = origin.owner in (found.edge.source.name, found.node.name)
    name = f"`{origin.setting}`" if near else f"`{origin.setting}` of `{origin.owner}`"
    if origin.span.source.name.startswith("<catalog>"):
        return f"write `{origin.setting}: {wanted}` in `{origin.owner}`"
    return f"remove {name} and let it be inferred, or set it to {wanted}"
