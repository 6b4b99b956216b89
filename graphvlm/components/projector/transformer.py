"""`projector/transformer`: learned tokens through a stack of layers that attend to the features of an image.

A text may stand beside them in the same sequence. Calls run both or one of the two, and logits are of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...blocks.expressions import outer_norm
from ...blocks.head import TEXT_MODULES, Head, HeadView, head_fields, head_view, logit_lines, parse_head
from ...blocks.parameters import Parameter, norm, plain, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.parse_sublayers import cross_ports, ports_of
from ...blocks.sequence import check_bracketed, check_prefix, check_way, read_way, unread_of
from ...blocks.settings import Stack
from ...blocks.settings_norm import Norm
from ...blocks.use import Use
from ...blocks.views import StackView, stack_view
from ...code import Field, Statement, literal
from ...diagnostics import Label
from ...dims import Dim, Many, Sum, Var, show_shape
from ...ir import Node
from ...names import class_name, reserved
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._beside import Beside, beside_ports, own_segments, read_beside, without_end
from ._places import FixedPlaces, place_fields, read_places
from ._sources import open_names
from ._squares import Squares, read_squares, side_of
from ._ways import Method, Run, methods_of, unread_by, ways_of


@dataclass(frozen=True, slots=True)
class Queries(Spec):
    """A decided stack over `count` learned tokens, the segment `segment`, that attend to what flows into some ports.

    With `squares`, tokens are not learned, but the means of squares of those that flow in. What stands `beside` them is
    of the same sequence; a `head` makes logits over `vocab` of it. Tokens, and what they read, may have `places`.
    """

    segment: str
    count: int
    layers: Stack
    input_norm: Norm | None
    final_norm: Norm | None
    squares: Squares | None = None
    beside: Beside | None = None
    places: FixedPlaces | None = None
    vocab: int | None = None
    head: Head | None = None

    @property
    def stack(self) -> Stack:
        return self.layers

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim = self.layers.dim
        if not self.squares:
            yield plain(self.segment, self.count, dim)
        if self.beside and self.beside.positions:
            yield plain("position.weight", self.beside.positions, dim)
        if self.input_norm:
            yield from norm("input_norm", self.input_norm, dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, dim)
        if self.head:
            yield from self.head.parameters(dim, self.vocab or 0)

    def summary(self) -> str:
        tokens = counted(self.count, "mean" if self.squares else "learned token")
        layers = counted(len(self.layers.order), "layer")
        tokens += f" beside `{self.beside.name}`" if self.beside else ""
        return f"transformer, {tokens}, {layers}, {self.layers.dim} wide"

    def resolved(self) -> dict[str, Any]:
        square = self.squares or self.places
        grid = {"grid": list(square.grid)} if square else {}
        vocab = {} if self.vocab is None else {"vocab": self.vocab}
        return {**vocab, "dim": self.layers.dim, **grid, **self.layers.resolved()}

    def prune(self, outputs: frozenset[str]) -> tuple[Queries, tuple[str, ...]]:
        if self.beside is None or outputs & {self.beside.name, "logits"}:
            headless = self.head and self.head.weights and "logits" not in outputs
            return (replace(self, head=None), ("head",)) if headless else (self, ())
        layers, dead = without_end(self.layers, self.beside.name)
        dead = (*dead, *(("head",) if self.head and self.head.weights else ()))
        return replace(self, layers=layers, beside=replace(self.beside, read=False), head=None), dead

    def with_stack(self, stack: Stack) -> Queries:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class QueriesView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    segment: str
    stack: StackView
    input_norm: str
    final_norm: str
    input_parted: bool
    final_parted: bool
    methods: tuple[Method, ...]
    output: str
    squares: bool
    beside: Beside | None
    other: str
    places: FixedPlaces | None
    head: HeadView | None
    cached: bool
    tp: bool

    @property
    def torch(self) -> bool:
        """Whether the file calls functions of `torch` itself."""
        return not self.squares or self.stack.torch

    @property
    def functional(self) -> bool:
        """Whether it calls functions of `torch.nn.functional`, besides activations."""
        stretched = self.places is not None and self.places.stretched
        joined = any(mask.own for method in self.methods for mask in method.shown.masks)
        padded = any(
            (method.masked and len(method.order) > 1) or (method.way.after and method.seen) for method in self.methods
        )
        return stretched or joined or padded or (self.head is not None and self.head.functional)

    @property
    def quick_gelu(self) -> bool:
        """Whether the head alone needs that function."""
        return self.head is not None and self.head.quick_gelu and not self.stack.quick_gelu

    @property
    def placed(self) -> bool:
        """Whether several methods add positions to the text."""
        found = [method for method in self.methods if self.beside and self.beside.name in method.order]
        return self.beside is not None and bool(self.beside.positions) and len(found) > 1


class TransformerComponent:
    """Ports, checks and page of `projector/transformer`."""

    modules = TEXT_MODULES | {"places"}
    choices = frozenset(("sequence", "causal"))

    def signature(self, name: str, settings: Settings) -> Signature:
        head, way = parse_head(settings, default="none"), read_way(settings)
        counted = ("vocab",) if head or settings.has("vocab") else ()
        sizes, written = sizes_of(name, settings, *counted, "dim", removable=False)
        images, dim = Var(f"{name}.images", "images"), sizes["dim"]
        segment, other = own_segments(settings)
        side, tokens = side_of(settings), Var(f"{name}.tokens", "tokens")
        count: Dim = tokens if side else segment.learned or 1
        keys: Dim = Sum((Many(side**2, tokens),)) if side else 0
        unread = unread_of(settings)
        crossed = cross_ports(name, settings, (images, count, dim), skippable=False, keys=keys)
        beside = beside_ports(name, settings, images, dim, sizes.get("vocab"))
        own = {segment.name: Port("features", (images, count, dim))}
        segments = {**own, **({other.name: beside[other.name]} if other else {})}
        outputs = {each: segments[each] for each in way.sequence if each in segments}
        place = settings.labels(*(("call", "sequence") if settings.has("call") else ("sequence",)), text="not in it")
        absent = {each: place[0] for each in segments if each not in outputs and place}
        inputs = {**crossed.ports, **beside}
        if other:
            found = (port.shape[1] for port in outputs.values())
            lengths = tuple(each for each in found if isinstance(each, int | Var))
            length = lengths[0] if len(lengths) == 1 else Sum(lengths)
            outputs["cache"] = _cache(name, images, length)
            inputs["prefix"] = replace(_cache(f"{name}.prefix", images, Var(f"{name}.before", "tokens")), optional=True)
        if other and other.name in way.sequence and head:
            text = beside[other.name].shape
            outputs["logits"] = Port("logits", (*text[:2], sizes["vocab"]))
        alone = other is not None and way.sequence == (other.name,)
        streams = other is not None and other.name in outputs and (alone or "logits" in outputs)
        return Signature(
            inputs={port: replace(each, optional=each.optional or port in unread) for port, each in inputs.items()},
            outputs=outputs,
            sizes=sizes | crossed.sizes,
            written=written | crossed.written,
            stream=other.name if other and streams else "",
            mask=f"{other.name}_mask" if other and streams else "mask",
            tied=settings.span("head", "tied") if head and head.tied and "logits" in outputs else None,
            absent=absent,
            unread=unread & inputs.keys(),
            aside=frozenset((segment.name, "cache")),
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Queries | None:
        segment = _segment(settings, inferred, problems)
        if not _check_reads(settings, inferred.node, problems) or not check_way(inferred.node, settings, problems):
            return None
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems)
        if blocks is None or segment is None:
            return None
        check_bracketed(inferred.node, settings, blocks, problems)
        if read_way(settings).after:
            check_prefix(inferred.node, settings, blocks, problems)
        beside = read_beside(settings, inferred, blocks, problems)
        settings_norm, squares = parse_norm(settings, "norm"), None
        if side_of(settings):
            if beside:
                return None
            squares = read_squares(settings, inferred, blocks, problems)
            if squares is None:
                return None
        count = squares.count if squares else int(settings.get("segments", segment, "learned"))
        places = read_places(settings, inferred, blocks, count, problems)
        return Queries(
            segment=segment,
            count=count,
            layers=blocks,
            input_norm=settings_norm if settings.get("input_norm", default=False) else None,
            final_norm=settings_norm if settings.get("final_norm", default=True) else None,
            squares=squares,
            beside=beside,
            places=places,
            vocab=inferred.sizes.get("vocab"),
            head=_head(settings, inferred.node, beside, problems),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Queries)
        name = class_name(node.name)
        config = f"{name}Config"
        outer = (spec.input_norm, spec.final_norm)
        use = _use(spec, wiring)
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=outer)
        run = Run(spec.layers, spec.segment, spec.beside, use.mask, use.cached)
        ports = tuple(self.signature(node.name, Settings(node.tree)).inputs)
        methods = tuple(methods_of(run, wiring.calls, ports, wiring.kept))
        fields: tuple[Field, ...] = (*_first_fields(spec), *blocks.fields, *_last_fields(spec))
        input_norm, fields = outer_norm(fields, spec.input_norm)
        final_norm, fields = outer_norm(fields, spec.final_norm)
        head, fields = head_view(spec.head, name, fields)
        view = QueriesView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            segment=spec.segment,
            stack=blocks,
            input_norm=input_norm,
            final_norm=final_norm,
            input_parted=bool(spec.input_norm and spec.input_norm.by),
            final_parted=bool(spec.final_norm and spec.final_norm.by),
            methods=methods,
            output=_shape(spec.segment, wiring),
            squares=spec.squares is not None,
            beside=spec.beside,
            places=spec.places,
            other=_shape(spec.beside.name, wiring) if spec.beside else "",
            head=head,
            cached=use.cached,
            tp=node.tensor_parallel > 1,
        )
        construct, more = f"{name}(config.{node.name})", tuple(method.name for method in methods[1:])
        calls = tuple(_calls(node, spec, wiring, methods))
        return NodePage("projector/transformer.py.j2", view, name, fields, construct, calls, methods=more)


def _cache(name: str, images: Dim, tokens: Dim) -> Port:
    """Keys and values of all layers in one tensor."""
    heads, width = Var(f"{name}.heads", "heads"), Var(f"{name}.head_dim", "head_dim")
    return Port("cache", (images, Var(f"{name}.layers", "layers"), 2, heads, tokens, width))


def _use(spec: Queries, wiring: Wiring) -> Use:
    """How the calls of these weights run the layers."""
    ways, calls = ways_of(wiring.calls), wiring.calls
    own = any(op.softcap or op.sinks for op in spec.layers.attentions)
    masked = (spec.beside is not None and spec.beside.masked) or any(way.causal for way in ways)
    return Use(
        direct=True,
        mask=("Tensor" if own else "Tensor | None") if masked else "",
        cached=any(way.after for way in ways) or any(call.name in wiring.kept for call in calls),
        memory="Kept",
        open=open_names(spec.layers, unread_by(calls)),
    )


def _first_fields(spec: Queries) -> Iterator[Field]:
    if spec.squares:
        yield Field("grid", "tuple[int, int]", literal(spec.squares.grid), "rows and columns of tokens")
        yield Field("window", "int", str(spec.squares.side))
    else:
        yield Field("tokens", "int", str(spec.count), "learned")
    if spec.head and spec.head.weights:
        yield Field("vocab", "int", str(spec.vocab))


def _last_fields(spec: Queries) -> Iterator[Field]:
    if spec.beside and spec.beside.positions:
        yield Field("positions", "int", str(spec.beside.positions))
    yield from place_fields(spec.places)
    yield from head_fields(spec.head)


def _shape(segment: str, wiring: Wiring) -> str:
    """The shape of a segment, in the first call that has it."""
    found = (call.signature.outputs.get(segment) for call in wiring.calls)
    return next((show_shape(port.shape) for port in found if port), "")


def _calls(node: Node, spec: Queries, wiring: Wiring, methods: tuple[Method, ...]) -> Iterator[Statement]:
    """The lines of `model.py`: the stack, then the logits of the text."""
    way = read_way(Settings(node.tree))
    method = next(each for each in methods if each.way == way)
    first = next(iter(node.signature.outputs))
    names = {port: node.name if port == first else f"{node.name}_{port}" for port in node.signature.outputs}
    beside = spec.beside.name if spec.beside else ""
    needed = {beside} if "logits" in wiring.results else set()
    given = [names[each] if each in wiring.results or each in needed else "_" for each in method.returned]
    given += [wiring.results.get("cache", "_")] if method.keeps else []
    called = f"self.{node.module}" + ("" if method.name == "forward" else f".{method.name}")
    arguments = tuple(wiring.arguments.get(each, "None") for each in method.reads)
    yield Statement(", ".join(given), called, arguments, wiring.shapes[method.returned[0]])
    if "logits" in wiring.results:
        yield from logit_lines(node, spec.head, names[beside], wiring)


def _head(settings: Settings, node: str, beside: Beside | None, problems: Problems) -> Head | None:
    """What makes logits of the text, if anything does."""
    head = parse_head(settings, default="none")
    if head is not None and beside is None:
        message = f"`head` of `{node}` makes logits of a text beside the learned tokens, and there is none"
        problems.error("bad-queries", message, settings.span("head"), help="remove `head`, or add a segment of text")
    return head


# What the module has beside its segment.
_ATTRIBUTES = frozenset(("layers", "norm", "input_norm", "position", "placed", "head", "prefix", "x", "layer"))


def _segment(settings: Settings, inferred: Inferred, problems: Problems) -> str | None:
    """The name of the segment that is learned."""
    node, own = inferred.node, own_segments(settings)[0]
    name = own.name
    if settings.has("segments", name, "learned") == bool(side_of(settings)):
        problems.error(
            "bad-queries",
            f"`segments` of `{node}` must have one of learned tokens",
            settings.span("segments"),
            help="write `segments: {query: {learned: 32}}`, and feed what it attends to to a port of a sublayer",
        )
        return None
    why = reserved(name, "node") or ("the layers use it" if name in _ATTRIBUTES or name in inferred.inputs else "")
    if why:
        message = f"a segment of `{node}` cannot be called `{name}`: {why}"
        problems.error("bad-queries", message, settings.span("segments", name), help="call it `query`")
        return None
    return name


def _check_reads(settings: Settings, node: str, problems: Problems) -> bool:
    """Whether the tokens are made of anything: learned ones alone would be the same for all images."""
    if any(own.has("kv") for _, own in ports_of(settings)):
        return True
    problems.clash(
        "bad-queries",
        f"nothing flows into `{node}`: none of its sublayers reads a port, and its tokens are learned",
        Label(settings.span("sublayers"), "no `kv`"),
        help="write `cross: {op: attention, heads: 8, kv: image}` under `sublayers`, and name it in `each`",
    )
    return False


COMPONENT = TransformerComponent()
