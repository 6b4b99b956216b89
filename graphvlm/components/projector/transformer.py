"""`projector/transformer`: learned tokens through a stack of layers that attend to the features of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...blocks.expressions import norm_expression, norm_field
from ...blocks.parameters import MODULES, Parameter, norm, plain, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.parse_sublayers import cross_ports, ports_of
from ...blocks.settings import Norm, Stack
from ...blocks.views import StackView, Use, stack_view
from ...code import Field, NodePage, Statement, Wiring
from ...component import Inferred, Port, Signature, Spec, counted, sizes_of
from ...diagnostics import Label
from ...dims import Dim, Var
from ...ir import Node
from ...names import class_name, reserved
from ...problems import Problems
from ...settings import Settings
from ._sources import Shown, shown_sources


@dataclass(frozen=True, slots=True)
class Queries(Spec):
    """A decided stack over `count` learned tokens, the segment `segment`, that attend to what flows into `ports`.

    `shapes` are those of the ports, in their order.
    """

    segment: str
    count: int
    layers: Stack
    input_norm: Norm | None
    final_norm: Norm | None
    shapes: tuple[tuple[str, tuple[Dim, ...]], ...]

    @property
    def stack(self) -> Stack:
        return self.layers

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim = self.layers.dim
        yield plain(self.segment, self.count, dim)
        if self.input_norm:
            yield from norm("input_norm", self.input_norm, dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, dim)

    def summary(self) -> str:
        tokens, layers = counted(self.count, "learned token"), counted(len(self.layers.order), "layer")
        return f"transformer, {tokens}, {layers}, {self.layers.dim} wide"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.layers.dim, **self.layers.resolved()}

    def with_stack(self, stack: Stack) -> Queries:
        return Queries(self.segment, self.count, stack, self.input_norm, self.final_norm, self.shapes)


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
    shown: Shown
    output: str


class TransformerComponent:
    """Ports, checks and page of `projector/transformer`."""

    modules = MODULES | {"input_norm", "norm"}

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim", removable=False)
        images, dim = Var(f"{name}.images", "images"), sizes["dim"]
        segments = settings.get("segments")
        learned = {segment: int((own or {}).get("learned", 1)) for segment, own in segments.items()}
        count = next(iter(learned.values()))
        crossed = cross_ports(name, settings, (images, count, dim), skippable=False)
        return Signature(
            inputs=crossed.ports,
            outputs={segment: Port("features", (images, tokens, dim)) for segment, tokens in learned.items()},
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
        settings_norm = parse_norm(settings, "norm")
        return Queries(
            segment=segment,
            count=int(settings.get("segments", segment, "learned")),
            layers=blocks,
            input_norm=settings_norm if settings.get("input_norm", default=False) else None,
            final_norm=settings_norm if settings.get("final_norm", default=True) else None,
            shapes=tuple((name, port.shape) for name, port in inferred.inputs.items()),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Queries)
        name = class_name(node.name)
        config = f"{name}Config"
        outer = (spec.input_norm, spec.final_norm)
        blocks = stack_view(spec.layers, config, Use(direct=True), tp=node.tensor_parallel, outer=outer)
        fields: tuple[Field, ...] = (Field("tokens", "int", str(spec.count), "learned"), *blocks.fields)
        norms = []
        for found in outer:
            code = ""
            if found:
                eps, fields = norm_field(fields, found, "outer_norm_eps")
                code = norm_expression(found, "config.dim", eps)
            norms.append(code)
        view = QueriesView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            segment=spec.segment,
            stack=blocks,
            input_norm=norms[0],
            final_norm=norms[1],
            shown=shown_sources(spec.layers, dict(spec.shapes), _optional(node)),
            output=f"[images, {spec.count}, {spec.layers.dim}]",
        )
        call = Statement(
            wiring.results[spec.segment],
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
_ATTRIBUTES = frozenset(("layers", "norm", "input_norm", "x", "layer"))


def _segment(settings: Settings, inferred: Inferred, problems: Problems) -> str | None:
    """The name of the one segment, which is learned."""
    segments, node = settings.get("segments"), inferred.node
    name = str(next(iter(segments)))
    if len(segments) > 1 or not settings.has("segments", name, "learned"):
        problems.error(
            "bad-queries",
            f"`segments` of `{node}` must be one, of learned tokens",
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
