"""`encoder/transformer`: a stack over embeddings whose tokens all see each other, and what is made of its end.

The blocks are those of a decoder, without an order of tokens and without a cache. Beside the hidden states there may be
a vector for the whole sequence (`pooler`) and logits of every token (`head`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...blocks.expressions import outer_norm
from ...blocks.head import TEXT_MODULES, Head, HeadView, head_fields, head_view, logit_lines, parse_head
from ...blocks.parameters import Parameter, linear, norm, plain, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.parse_learned import parse_learned
from ...blocks.parse_sublayers import cross_ports
from ...blocks.relative import parse_relative, relative_fields, relative_parameters
from ...blocks.run import Run, check_run, optional_ports, read_run, unread_ports
from ...blocks.settings import Stack
from ...blocks.settings_norm import Norm
from ...blocks.settings_position import Alibi, Learned, Relative
from ...blocks.use import Use
from ...blocks.views import StackView, stack_view
from ...blocks.views_cross import SourceView
from ...code import Field, Statement
from ...diagnostics import Label
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._order import check_direction


@dataclass(frozen=True, slots=True)
class Transformer(Spec):
    """A decided encoder. `skip` if padding is not counted in positions; `pooler` if it gives a vector a sequence."""

    vocab: int | None
    max_tokens: int
    layers: Stack
    learned: Learned | None
    relative: Relative | Alibi | None
    skip: bool
    input_norm: Norm | None
    final_norm: Norm | None
    pooler: bool
    head: Head | None

    @property
    def stack(self) -> Stack:
        return self.layers

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        dim = self.layers.dim
        if self.learned:
            yield plain("position.weight", self.learned.rows, dim)
        yield from relative_parameters(self.relative)
        if self.input_norm:
            yield from norm("input_norm", self.input_norm, dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, dim)
        if self.pooler:
            yield from linear("pooler", dim, dim, bias=True)
        if self.head:
            yield from self.head.parameters(dim, self.vocab or 0)

    def summary(self) -> str:
        heads = f", {counted(self.layers.attentions[0].heads, 'head')}" if self.layers.attentions else ""
        return f"transformer, {counted(len(self.layers.order), 'layer')}, {self.layers.dim} wide{heads}"

    def resolved(self) -> dict[str, Any]:
        vocab = {} if self.vocab is None else {"vocab": self.vocab}
        return {**vocab, "dim": self.layers.dim, **self.layers.resolved()}

    def prune(self, outputs: frozenset[str]) -> tuple[Transformer, tuple[str, ...]]:
        dead = []
        if self.pooler and "pooled" not in outputs:
            dead.append("pooler")
        if self.head and self.head.weights and "logits" not in outputs:
            dead.append("head")
        pooler = self.pooler and "pooler" not in dead
        return replace(self, pooler=pooler, head=None if "head" in dead else self.head), tuple(dead)

    def with_stack(self, stack: Stack) -> Transformer:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class Method:
    """One way in which the layers are called: the name of the method, the layers it runs, the ports that these read.

    `passed` is what a layer is given of each port of the stack: None where no layer of the run reads it.
    """

    name: str
    run: Run
    sources: tuple[SourceView, ...]
    passed: tuple[str, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of the method."""
        reads = dict.fromkeys(name for source in self.sources for name in source.arguments)
        return ("self", "x: Tensor", *(f"{name}: Tensor | None" for name in (*reads, "mask")))


@dataclass(frozen=True, slots=True)
class TransformerView:
    """What the template of an encoder of embeddings places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    methods: tuple[Method, ...]
    learned: Learned | None
    relative: Relative | Alibi | None
    skip: bool
    input_norm: str
    final_norm: str
    pooler: bool
    head: HeadView | None
    tp: bool

    @property
    def torch(self) -> bool:
        """Whether the file calls functions of `torch` itself."""
        own = self.head is not None and bool(self.head.name) and self.head.tied and self.head.bias
        placed = self.learned or self.relative or self.stack.ropes
        return bool(placed) or own or self.pooler or self.stack.torch or self.stack.own_scores or self.stack.masked

    @property
    def functional(self) -> bool:
        return self.stack.functional or (self.head is not None and self.head.functional)

    @property
    def quick_gelu(self) -> bool:
        """Whether the head alone needs that function."""
        return self.head is not None and self.head.quick_gelu and not self.stack.quick_gelu


class TransformerComponent:
    """Ports, checks and page of `encoder/transformer`."""

    modules = TEXT_MODULES
    choices = frozenset(("run", "layers", "embed"))

    def signature(self, name: str, settings: Settings) -> Signature:
        run = read_run(settings)
        open_ports = unread_ports(settings) | optional_ports(settings)
        head = parse_head(settings, default="none")
        counted = ("vocab",) if head or settings.has("vocab") else ()
        sizes, written = sizes_of(name, settings, *counted, "dim", removable=False)
        batch, seq, dim = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq"), sizes["dim"]
        outputs = {"features": Port("features", (batch, seq, dim), tail=seq)}
        absent = {}
        ends = None if run.last else Label(settings.span("call", "layers"), f"ends before layer {run.end}")
        if ends or not settings.get("pooler", default=False):
            absent["pooled"] = ends or Label(settings.span("pooler"), "there is no `pooler`")
        else:
            outputs["pooled"] = Port("vector", (batch, dim))
        if ends or not head:
            absent["logits"] = ends or Label(settings.span("head"), "there is no `head`")
        else:
            outputs["logits"] = Port("logits", (batch, seq, sizes["vocab"]))
        crossed = cross_ports(name, settings, (batch, seq, dim))
        ports = crossed.ports
        return Signature(
            inputs={
                "features": Port("features", (batch, seq, dim), vocab=sizes.get("vocab")),
                **{port: replace(each, optional=each.optional or port in open_ports) for port, each in ports.items()},
                "mask": Port("mask", (batch, seq), optional=True),
            },
            outputs=outputs,
            sizes=sizes | crossed.sizes,
            written=written | crossed.written,
            stream="features",
            tied=settings.span("head", "tied") if head and head.tied and run.last else None,
            absent=absent,
            unread=unread_ports(settings) | (optional_ports(settings) - {*settings.get("inputs", default={})}),
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Transformer | None:
        if not check_run(inferred.node, settings, problems):
            return None
        most = int(settings.get("max_tokens", default=512))
        blocks = parse_stack(settings, inferred, mlp_bias=True, problems=problems, max_tokens=most)
        if blocks is None:
            return None
        check_direction(inferred.node, settings, blocks, problems, tokens="the tokens of an encoder")
        found = parse_norm(settings, "norm")
        return Transformer(
            vocab=inferred.sizes.get("vocab"),
            max_tokens=most,
            layers=blocks,
            learned=parse_learned(settings, inferred, most, problems),
            relative=parse_relative(settings, inferred, blocks, problems, both=True),
            skip=settings.get("position", "padding", default="counted") == "skipped",
            input_norm=found if settings.get("input_norm", default=False) else None,
            final_norm=found if settings.get("final_norm", default=True) else None,
            pooler=bool(settings.get("pooler", default=False)),
            head=parse_head(settings, default="none"),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Transformer)
        name = class_name(node.name)
        config, outer = f"{name}Config", (spec.input_norm, spec.final_norm)
        own = any(op.softcap or op.sinks for op in spec.layers.attentions)
        spared = frozenset(port for call in wiring.calls for port in unread_ports(Settings(call.tree)))
        use = Use(("batch", "seq"), mask="Tensor" if own or spec.relative else "Tensor | None", spared=spared)
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=outer)
        fields: tuple[Field, ...] = tuple(_first_fields(spec)) + blocks.fields + tuple(_last_fields(spec))
        input_norm, fields = outer_norm(fields, spec.input_norm)
        final_norm, fields = outer_norm(fields, spec.final_norm)
        head, fields = head_view(spec.head, name, fields)
        view = TransformerView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            stack=blocks,
            methods=tuple(_methods(blocks, wiring)),
            learned=spec.learned,
            relative=spec.relative,
            skip=spec.skip,
            input_norm=input_norm,
            final_norm=final_norm,
            pooler=spec.pooler,
            head=head,
            tp=node.tensor_parallel > 1,
        )
        calls = tuple(_calls(node, spec, wiring))
        methods = tuple(each.name for each in view.methods[1:]) + (("pooled",) if spec.pooler else ())
        construct = f"{name}(config.{node.name})"
        return NodePage("encoder/transformer.py.j2", view, name, fields, construct, calls, methods=methods)


def _methods(blocks: StackView, wiring: Wiring) -> Iterator[Method]:
    """The ways in which calls run the layers, each once; that of the node itself is `forward`."""
    runs = {read_run(Settings(call.tree)): unread_ports(Settings(call.tree)) for call in reversed(wiring.calls)}
    own = read_run(Settings(wiring.calls[0].tree))
    for run in sorted(runs, key=lambda run: (run != own, run.first, run.end)):
        passed = tuple("None" if each.port in runs[run] else f"{each.port}_read" for each in blocks.sources)
        read = tuple(source for source in blocks.sources if source.port not in runs[run])
        yield Method("forward" if run == own else run.method, run, read, passed)


def _first_fields(spec: Transformer) -> Iterator[Field]:
    """Config fields of what stands around the layers."""
    if spec.head and spec.head.weights:
        yield Field("vocab", "int", str(spec.vocab))
    if spec.learned or any(rope.table for rope in spec.layers.rotary):
        yield Field("max_tokens", "int", str(spec.max_tokens))


def _last_fields(spec: Transformer) -> Iterator[Field]:
    if spec.learned:
        yield Field("positions", "int", str(spec.learned.rows))
        if spec.learned.offset:
            yield Field("first_position", "int", str(spec.learned.offset), "the row of the first token")
    yield from relative_fields(spec.relative)
    yield from head_fields(spec.head)


def _calls(node: Node, spec: Transformer, wiring: Wiring) -> Iterator[Statement]:
    """The lines of `model.py`: the stack, then what is made of its end."""
    features = wiring.results.get("features", node.name)
    unread = unread_ports(Settings(node.tree))
    ports = (*(port for port in spec.layers.crossed_ports if port not in unread), "mask")
    read = (wiring.arguments["features"], *(wiring.arguments.get(port, "None") for port in ports))
    run, own = (read_run(Settings(call.tree)) for call in (node, wiring.calls[0]))
    method = f"self.{node.module}" if run == own else f"self.{node.module}.{run.method}"
    yield Statement(features, method, read, wiring.shapes["features"])
    if "pooled" in wiring.results and spec.pooler:
        yield Statement(wiring.results["pooled"], f"self.{node.module}.pooled", (features,), wiring.shapes["pooled"])
    if "logits" in wiring.results:
        yield from logit_lines(node, spec.head, features, wiring)


COMPONENT = TransformerComponent()
