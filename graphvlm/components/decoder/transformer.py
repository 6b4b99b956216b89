"""`decoder/transformer`: a causal stack over embeddings, its final norm, and the head that gives logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...blocks.expressions import outer_norm
from ...blocks.head import TEXT_MODULES, Head, HeadView, head_fields, head_view, logit_lines, parse_head
from ...blocks.parameters import Parameter, norm, plain, stack
from ...blocks.parse import layer_count, parse_norm, parse_stack
from ...blocks.parse_learned import parse_learned
from ...blocks.parse_sublayers import cross_ports
from ...blocks.relative import parse_relative, relative_fields, relative_parameters
from ...blocks.segments import marked_segment, read_segments
from ...blocks.settings import Stack
from ...blocks.settings_norm import Norm
from ...blocks.settings_position import Alibi, Learned, Relative
from ...blocks.use import causal_use
from ...blocks.views import StackView, stack_view
from ...code import Field, Statement, literal
from ...diagnostics import Label
from ...dims import Dim, Var, show
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from ._marked import Marked, check_marked, read_marked
from ._parts import DecoderParts, check_parts, decoder_parts, part_masks, part_ports, stream_of


@dataclass(frozen=True, slots=True)
class Transformer(Spec):
    """A decided decoder. `cut` if outputs are wanted for the last tokens only, those of the text; after the layers
    `inject`, what flows into ports of their own is added to the hidden states. `marked` tokens see each other. `hidden`
    are the connected masks of segments before the last. What comes in is multiplied with `input_scale`."""

    vocab: int
    max_tokens: int
    layers: Stack
    learned: Learned | None
    input_norm: Norm | None
    final_norm: Norm | None
    head: Head | None
    cut: bool
    inject: tuple[int, ...] = ()
    relative: Relative | Alibi | None = None
    marked: Marked | None = None
    hidden: tuple[str, ...] = ()
    input_scale: float = 1.0

    @property
    def stack(self) -> Stack:
        return self.layers

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        if self.learned:
            yield plain("position.weight", self.learned.rows, self.layers.dim)
        yield from relative_parameters(self.relative)
        if self.input_norm:
            yield from norm("input_norm", self.input_norm, self.layers.dim)
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, self.layers.dim)
        if self.head:
            yield from self.head.parameters(self.layers.dim, self.vocab)

    def summary(self) -> str:
        words = ["transformer", counted(len(self.layers.order), "layer")]
        linear = sum(self.layers.linear)
        if linear:
            words.append(f"{linear if self.layers.attentions else 'all'} of them linear")
        words.append(f"{self.layers.dim} wide")
        for attention in self.layers.attentions[:1]:
            kv = f" over {attention.kv_heads}" if attention.kv_heads != attention.heads else ""
            words.append(f"{counted(attention.heads, 'head')}{kv}")
        return ", ".join(words)

    def resolved(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "dim": self.layers.dim, **self.layers.resolved()}

    def prune(self, outputs: frozenset[str]) -> tuple[Transformer, tuple[str, ...]]:
        if "logits" in outputs or self.head is None or not self.head.weights:
            return self, ()
        return replace(self, head=None), ("head",)

    def with_stack(self, stack: Stack) -> Transformer:
        return replace(self, layers=stack)


@dataclass(frozen=True, slots=True)
class TransformerView:
    """What the template of a decoder places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    reads: tuple[str, ...]
    learned: Learned | None
    relative: Relative | Alibi | None
    input_norm: str
    final_norm: str
    input_parted: bool
    final_parted: bool
    head: HeadView | None
    inject: tuple[int, ...]
    input_scale: bool
    marked: str
    parts: DecoderParts | None
    tp: bool


class TransformerComponent:
    """Ports, checks and page of `decoder/transformer`."""

    modules = TEXT_MODULES

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "vocab", "dim", removable=False)
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq")
        tail, dim, vocab = Var(f"{name}.tail", "seq"), sizes["dim"], sizes["vocab"]
        hidden = Port("features", (batch, tail, dim))
        head = parse_head(settings, default={})
        logits = {"logits": Port("logits", (batch, tail, vocab))} if head else {}
        stream = Port("features", (batch, seq, dim), vocab=vocab, tail=tail)
        parts = part_ports(name, settings, stream)
        crossed = cross_ports(name, settings, (batch, seq, dim))
        return Signature(
            inputs={**parts.streams, **crossed.ports, **parts.masks, **dict(_more_ports(settings, batch, seq, dim))},
            outputs={**logits, "hidden": hidden},
            sizes=sizes | crossed.sizes,
            written=written | crossed.written,
            stream=parts.stream,
            mask=parts.mask,
            tied=settings.span("head", "tied") if head and head.tied else None,
            absent={} if head else {"logits": Label(settings.span("head"), "leaves the logits out")},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Transformer | None:
        max_tokens = int(settings.get("max_tokens", default=4096))
        blocks = parse_stack(settings, inferred, mlp_bias=False, problems=problems, max_tokens=max_tokens, causal=True)
        if blocks is None:
            return None
        _check_positions(settings, inferred, blocks, problems)
        check_marked(inferred.node, settings, problems)
        check_parts(inferred.node, settings, blocks, problems)
        settings_norm = parse_norm(settings, "norm")
        stream = stream_of(settings)
        features = inferred.inputs[stream]
        return Transformer(
            vocab=inferred.sizes["vocab"],
            max_tokens=max_tokens,
            layers=blocks,
            learned=parse_learned(settings, inferred, max_tokens, problems),
            relative=parse_relative(settings, inferred, blocks, problems, both=False),
            input_norm=settings_norm if settings.get("input_norm", default=False) else None,
            final_norm=settings_norm if settings.get("final_norm", default=True) else None,
            head=parse_head(settings, default={}),
            cut=features.tail != features.shape[1] or (stream != "features" and len(blocks.segments) > 1),
            inject=_inject(settings, inferred, problems),
            marked=read_marked(settings),
            hidden=tuple(name for name in part_masks(settings) if name in inferred.inputs),
            input_scale=float(settings.get("input_scale", default=1.0)),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Transformer)
        name = class_name(node.name)
        config = f"{name}Config"
        outer = (spec.input_norm, spec.final_norm)
        use = causal_use(spec.layers, masked=spec.marked is not None or spec.relative is not None)
        blocks = stack_view(spec.layers, config, use, tp=node.tensor_parallel, outer=outer)
        fields: tuple[Field, ...] = (
            Field("vocab", "int", str(spec.vocab)),
            Field("max_tokens", "int", str(spec.max_tokens)),
            *blocks.fields,
            *_other_fields(spec),
        )
        input_norm, fields = outer_norm(fields, spec.input_norm)
        final_norm, fields = outer_norm(fields, spec.final_norm)
        head, fields = head_view(spec.head, name, fields)
        view = TransformerView(
            name=node.name,
            class_name=name,
            config=config,
            summary=spec.summary(),
            stack=blocks,
            reads=tuple(dict.fromkeys(name for source in blocks.sources for name in source.arguments)),
            learned=spec.learned,
            relative=spec.relative,
            input_norm=input_norm,
            final_norm=final_norm,
            input_parted=bool(spec.input_norm and spec.input_norm.by),
            final_parted=bool(spec.final_norm and spec.final_norm.by),
            head=head,
            inject=spec.inject,
            input_scale=spec.input_scale != 1,
            marked=spec.marked.kind if spec.marked else "",
            parts=decoder_parts(spec.layers, spec.hidden),
            tp=node.tensor_parallel > 1,
        )
        calls = _calls(node, spec, wiring)
        return NodePage("decoder/transformer.py.j2", view, name, fields, f"{name}(config.{node.name})", calls)


def _more_ports(settings: Settings, batch: Dim, seq: Dim, dim: Dim) -> Iterator[tuple[str, Port]]:
    """Positions of three numbers, tokens that see each other, and what is added after some layers."""
    if settings.get("position") and settings.get("position", "type") == "mrope":
        yield "positions", Port("positions", (3, batch, seq), optional=True, skippable=True)
    marked = read_marked(settings)
    flagged = [marked.port] if marked and marked.port not in ("features", "mask") else []
    for port in [*flagged, *(segment.where for segment in read_segments(settings) if segment.where)]:
        yield port, Port("mask", (batch, seq), skippable=True)
    for layer in settings.get("inject", default=[]):
        yield f"inject_{layer}", Port("features", (batch, seq, dim), skippable=True)


def _inject(settings: Settings, inferred: Inferred, problems: Problems) -> tuple[int, ...]:
    """The layers after which something is added."""
    found, count = tuple(settings.get("inject", default=[])), layer_count(settings)
    wrong = next((layer for layer in found if layer >= count), None)
    if wrong is not None:
        problems.clash(
            "no-such-layer",
            f"`inject` of `{inferred.node}` names layer {wrong}; there are {count} layers, 0 to {count - 1}",
            Label(settings.span("inject"), "no such layer"),
            *settings.labels("layers", text=f"{count} layers"),
            help=f"use numbers from 0 to {count - 1}",
        )
    return found


def _check_positions(settings: Settings, inferred: Inferred, blocks: Stack, problems: Problems) -> None:
    """Positions have one number in all layers, or three, and padding has none."""
    if settings.get("position") and settings.get("position", "padding") == "counted":
        problems.error(
            "unread-setting",
            f"`padding: counted` of `{inferred.node}`: positions of a decoder skip padding on either side",
            settings.span("position", "padding"),
            help="remove `padding`, or use `kind: encoder`",
        )
    if len({bool(rope.sections) for rope in blocks.rotary}) > 1:
        problems.error(
            "position-of-layer",
            f"positions of some layers of `{inferred.node}` have three numbers, and those of others one",
            settings.span("layers", "where"),
            help="use positions of type `mrope` in all layers, or in none",
        )


def _other_fields(spec: Transformer) -> Iterator[Field]:
    """Config fields of what stands before, between and after the layers."""
    if spec.input_scale != 1:
        yield Field("input_scale", "float", literal(spec.input_scale), "of what comes in")
    if spec.inject:
        yield Field("inject", "tuple[int, ...]", literal(spec.inject), "after these layers, something is added")
    if spec.learned:
        yield Field("positions", "int", str(spec.learned.rows))
        if spec.learned.offset:
            yield Field("first_position", "int", str(spec.learned.offset), "the row of the first token")
    yield from relative_fields(spec.relative)
    yield from head_fields(spec.head)


def _calls(node: Node, spec: Transformer, wiring: Wiring) -> tuple[Statement, ...]:
    hidden = wiring.results["hidden"]
    mask = wiring.arguments.get(node.signature.mask, "None")
    shape = wiring.shapes["hidden"]
    stream, marked = node.signature.stream, marked_segment(spec.layers.segments)
    before = () if marked else tuple(segment.name for segment in spec.layers.segments[:-1])
    read = [
        wiring.arguments.get(port, "None") for port in (*before, stream, *spec.layers.crossed_ports, *spec.hidden)
    ] + [mask]
    if marked:
        read.append(wiring.arguments[marked.where])
    if spec.marked:
        read.append(wiring.arguments[spec.marked.port])
    if any(rope.sections for rope in spec.layers.rotary):
        read.append(wiring.arguments.get("positions", "None"))
    if spec.inject:
        added = [wiring.arguments[f"inject_{layer}"] for layer in spec.inject]
        read.append(f"({', '.join(added)}{',' if len(added) == 1 else ''})")
    if spec.layers.one_by_one:
        read.append(wiring.arguments["cache"])
    whole = _whole(node, (*before, stream)) if spec.cut else shape
    lines = [Statement(hidden, f"self.{node.module}", tuple(read), whole)]
    if spec.cut:
        lines.append(Statement(hidden, "", (f"{hidden}[:, -{wiring.tail}.size(1) :]",), shape))
    if "logits" in wiring.results:
        if wiring.keep:
            lines.append(Statement("", "", ("if keep is not None:",)))
            lines.append(Statement(f"    {hidden}", "", (f"{hidden}{wiring.keep}",), f"[tokens, {spec.layers.dim}]"))
        lines.extend(logit_lines(node, spec.head, hidden, wiring))
    return tuple(lines)


def _whole(node: Node, ports: tuple[str, ...]) -> str:
    """The shape of all tokens that come in at these ports, one behind the other."""
    shapes = [node.signature.inputs[port].shape for port in ports]
    batch, _, dim = shapes[-1]
    return f"[{show(batch)}, {' + '.join(show(shape[1]) for shape in shapes)}, {show(dim)}]"


COMPONENT = TransformerComponent()
