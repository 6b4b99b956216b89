"""`projector/transformer`: learned tokens through a stack of layers that attend to the features of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...blocks.expressions import outer_norm
from ...blocks.parameters import MODULES, Parameter, norm, plain, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.parse_sublayers import cross_ports, ports_of
from ...blocks.settings import Norm, Stack
from ...blocks.use import Use
from ...blocks.views import StackView, stack_view
from ...code import Field, NodePage, Statement, Wiring, literal
from ...component import Inferred, Port, Signature, Spec, counted, sizes_of
from ...diagnostics import Label
from ...dims import Dim, Many, Sum, Var
from ...ir import Node
from ...names import class_name, reserved
from ...problems import Problems
from ...settings import Settings
from ._beside import Beside, beside_ports, own_segments, read_beside, without_end
from ._places import FixedPlaces, place_fields, read_places
from ._sources import Shown, shown_sources
from ._squares import Squares, read_squares, side_of


@dataclass(frozen=True, slots=True)
class Queries(Spec):
    """A decided stack over `count` learned tokens, the segment `segment`, that attend to what flows into some ports.

    `shapes` are those of the ports, in their order. With `squares`, tokens are not learned, but the means of squares of
    those that flow in. What stands `beside` them is of the same sequence. They, and what they read, may have `places`.
    """

    segment: str
    count: int
    layers: Stack
    input_norm: Norm | None
    final_norm: Norm | None
    shapes: tuple[tuple[str, tuple[Dim, ...]], ...]
    squares: Squares | None = None
    beside: Beside | None = None
    places: FixedPlaces | None = None

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

    def summary(self) -> str:
        tokens = counted(self.count, "mean" if self.squares else "learned token")
        layers = counted(len(self.layers.order), "layer")
        tokens += f" beside `{self.beside.name}`" if self.beside else ""
        return f"transformer, {tokens}, {layers}, {self.layers.dim} wide"

    def resolved(self) -> dict[str, Any]:
        square = self.squares or self.places
        grid = {"grid": list(square.grid)} if square else {}
        return {"dim": self.layers.dim, **grid, **self.layers.resolved()}

    def prune(self, outputs: frozenset[str]) -> tuple[Queries, tuple[str, ...]]:
        if self.beside is None or self.beside.name in outputs:
            return self, ()
        layers, dead = without_end(self.layers, self.beside.name)
        return replace(self, layers=layers, beside=replace(self.beside, read=False)), dead

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
    shown: Shown
    output: str
    squares: bool
    beside: Beside | None
    other: str
    places: FixedPlaces | None

    @property
    def torch(self) -> bool:
        """Whether the file calls functions of `torch` itself."""
        return not self.squares or self.stack.torch

    @property
    def order(self) -> tuple[str, ...]:
        """The segments one behind the other."""
        if self.beside is None:
            return (self.segment,)
        return (self.beside.name, self.segment) if self.beside.before else (self.segment, self.beside.name)

    @property
    def returned(self) -> tuple[str, ...]:
        """What `forward` returns, if there are several segments: of the learned one first."""
        assert self.beside
        return (self.segment, self.beside.name) if self.beside.read else (self.segment,)


class TransformerComponent:
    """Ports, checks and page of `projector/transformer`."""

    modules = MODULES | {"position", "input_norm", "norm"}

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", removable=False)
        images, dim = Var(f"{name}.images", "images"), sizes["dim"]
        segment, other = own_segments(settings)
        side, tokens = side_of(settings), Var(f"{name}.tokens", "tokens")
        count: Dim = tokens if side else segment.learned or 1
        keys: Dim = Sum((Many(side**2, tokens),)) if side else 0
        crossed = cross_ports(name, settings, (images, count, dim), skippable=False, keys=keys)
        beside = beside_ports(name, settings, images, dim)
        outputs = {segment.name: Port("features", (images, count, dim))}
        if other:
            outputs[other.name] = beside[other.name]
        return Signature(
            inputs={**crossed.ports, **beside},
            outputs=outputs,
            sizes=sizes | crossed.sizes,
            written=written | crossed.written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Queries | None:
        segment = _segment(settings, inferred, problems)
        if not _check_reads(settings, inferred.node, problems):
            return None
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems)
        if blocks is None or segment is None:
            return None
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
            shapes=tuple((name, port.shape) for name, port in inferred.inputs.items()),
            squares=squares,
            beside=beside,
            places=places,
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Queries)
        name = class_name(node.name)
        config = f"{name}Config"
        outer = (spec.input_norm, spec.final_norm)
        own = any(op.softcap or op.sinks for op in spec.layers.attentions)
        mask = "Tensor" if own else "Tensor | None"
        use = Use(direct=True, mask=mask if spec.beside and spec.beside.masked else "")
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=outer)
        first: tuple[Field, ...] = (Field("tokens", "int", str(spec.count), "learned"),)
        if spec.squares:
            grid = Field("grid", "tuple[int, int]", literal(spec.squares.grid), "rows and columns of tokens")
            first = (grid, Field("window", "int", str(spec.squares.side)))
        fields: tuple[Field, ...] = (*first, *blocks.fields)
        if spec.beside and spec.beside.positions:
            fields = (*fields, Field("positions", "int", str(spec.beside.positions)))
        fields = (*fields, *place_fields(spec.places))
        input_norm, fields = outer_norm(fields, spec.input_norm)
        final_norm, fields = outer_norm(fields, spec.final_norm)
        before = (*(("visible",) if use.mask else ()), *(("sizes",) if spec.layers.parted else ()))
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
            shown=shown_sources(spec.layers, dict(spec.shapes), _optional(node), before),
            output=wiring.shapes[spec.segment],
            squares=spec.squares is not None,
            beside=spec.beside,
            places=spec.places,
            other=wiring.shapes.get(spec.beside.name, "") if spec.beside else "",
        )
        given = (spec.segment, *((spec.beside.name,) if spec.beside and spec.beside.read else ()))
        call = Statement(
            ", ".join(wiring.results.get(port, "_") for port in given),
            f"self.{node.module}",
            tuple(wiring.arguments[port] for port in node.inputs),
            wiring.shapes[spec.segment],
        )
        return NodePage("projector/transformer.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


def _optional(node: Node) -> frozenset[str]:
    """The ports of masks that the caller may leave out."""
    ports = node.signature.inputs
    return frozenset(port for port, ref in node.inputs.items() if ports[port].what == "mask" and not ref.port)


# What the module has beside its segment.
_ATTRIBUTES = frozenset(("layers", "norm", "input_norm", "position", "x", "layer"))


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
