"""`decoder/transformer`: a causal stack over embeddings, its final norm, and the head that gives logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...blocks.parameters import MODULES, Parameter, linear, norm, stack
from ...blocks.parse import parse_norm, parse_stack
from ...blocks.rope import parse_rope
from ...blocks.settings import Norm, Rope, Stack
from ...blocks.views import StackView, bias_argument, norm_expression, norm_field, rope_fields, stack_view
from ...code import Field, NodePage, Statement, Wiring
from ...component import Inferred, Port, Signature, Spec, counted, sizes_of
from ...diagnostics import Label
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Head:
    """How hidden states become logits: by the token embedding again (`tied`), or by a matrix of their own."""

    tied: bool
    bias: bool


@dataclass(frozen=True, slots=True)
class Transformer(Spec):
    """A decided decoder. `cut` if outputs are wanted for the last tokens only, those of the text."""

    vocab: int
    max_tokens: int
    layers: Stack
    rotary: Rope | None
    final_norm: Norm | None
    head: Head | None
    cut: bool

    @property
    def stack(self) -> Stack:
        return self.layers

    @property
    def rope(self) -> Rope | None:
        return self.rotary

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        yield from stack(self.layers)
        if self.final_norm:
            yield from norm("norm", self.final_norm, self.layers.dim)
        if self.head and not self.head.tied:
            yield from linear("head", self.layers.dim, self.vocab, self.head.bias)

    def summary(self) -> str:
        attention = self.layers.attention()
        kv = f" over {attention.kv_heads}" if attention.kv_heads != attention.heads else ""
        layers, heads = counted(len(self.layers.order), "layer"), counted(attention.heads, "head")
        return f"transformer, {layers}, {self.layers.dim} wide, {heads}{kv}"

    def resolved(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "dim": self.layers.dim, **self.layers.resolved()}

    def prune(self, outputs: frozenset[str]) -> tuple[Transformer, tuple[str, ...]]:
        if "logits" in outputs or self.head is None or self.head.tied:
            return self, ()
        return replace(self, head=None), ("head",)

    def with_blocks(self, stack: Stack | None, rope: Rope | None) -> Transformer:
        return replace(self, layers=stack or self.layers, rotary=rope)


@dataclass(frozen=True, slots=True)
class RopeView:
    """The rotary positions: which formula, and whether they are tabled."""

    config: str
    type: str
    table: bool
    attention_factor: bool


@dataclass(frozen=True, slots=True)
class TransformerView:
    """What the template of a decoder places."""

    name: str
    class_name: str
    config: str
    summary: str
    stack: StackView
    rope: RopeView | None
    final_norm: str
    head: str
    tp: bool


class TransformerComponent:
    """Ports, checks and page of `decoder/transformer`."""

    modules = MODULES | {"norm", "head", "embed"}

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "vocab", "dim", removable=False)
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq")
        tail, dim, vocab = Var(f"{name}.tail", "seq"), sizes["dim"], sizes["vocab"]
        hidden = Port("features", (batch, tail, dim))
        head = _head(settings)
        logits = {"logits": Port("logits", (batch, tail, vocab))} if head else {}
        return Signature(
            inputs={
                "features": Port("features", (batch, seq, dim), vocab=vocab, tail=tail),
                "mask": Port("mask", (batch, seq), optional=True),
            },
            outputs={**logits, "hidden": hidden},
            sizes=sizes,
            written=written,
            stream="features",
            tied=settings.span("head", "tied") if head and head.tied else None,
            absent={} if head else {"logits": Label(settings.span("head"), "leaves the logits out")},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Transformer | None:
        blocks = parse_stack(settings, inferred, mlp_bias=False, problems=problems)
        if blocks is None:
            return None
        _check_bias(settings, inferred, problems)
        max_tokens = int(settings.get("max_tokens", default=4096))
        rope = parse_rope(settings, inferred, blocks, max_tokens, problems)
        features = inferred.inputs["features"]
        return Transformer(
            vocab=inferred.sizes["vocab"],
            max_tokens=max_tokens,
            layers=blocks,
            rotary=rope,
            final_norm=parse_norm(settings, "norm") if settings.get("final_norm", default=True) else None,
            head=_head(settings),
            cut=features.tail != features.shape[1],
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Transformer)
        name = class_name(node.name)
        config = f"{name}Config"
        rope = _rope_view(spec.rotary, config)
        blocks = stack_view(spec.layers, config, decoder=True, rope=rope is not None, tp=node.tensor_parallel)
        fields: tuple[Field, ...] = (
            Field("vocab", "int", str(spec.vocab)),
            Field("max_tokens", "int", str(spec.max_tokens)),
            *blocks.fields,
            *(rope_fields(spec.rotary) if spec.rotary else ()),
        )
        norm_code = ""
        if spec.final_norm:
            eps, fields = norm_field(fields, spec.final_norm, "final_norm_eps")
            norm_code = norm_expression(spec.final_norm, "config.dim", eps)
        head = ""
        if spec.head and not spec.head.tied:
            head = f"config.vocab{bias_argument(spec.head.bias)}"
        view = TransformerView(
            node.name, name, config, spec.summary(), blocks, rope, norm_code, head, node.tensor_parallel > 1
        )
        calls = _calls(node, spec, wiring)
        return NodePage("decoder/transformer.py.j2", view, name, fields, f"{name}(config.{node.name})", calls)


def _check_bias(settings: Settings, inferred: Inferred, problems: Problems) -> None:
    head = _head(settings)
    if head and head.tied and head.bias:
        problems.clash(
            "tied-head",
            f"the tied head of `{inferred.node}` has no bias: its weight is the token embedding's, which has none",
            Label(settings.span("head", "bias"), "no such bias"),
            Label(settings.span("head", "tied"), "tied"),
            help="remove `bias`, or write `tied: false`",
        )


def _head(settings: Settings) -> Head | None:
    head = settings.get("head", default={})
    if head == "none":
        return None
    return Head(bool(head.get("tied", False)), bool(head.get("bias", False)))


def _rope_view(rope: Rope | None, config: str) -> RopeView | None:
    if rope is None:
        return None
    return RopeView(config, rope.type, rope.table, rope.type == "yarn")


def _calls(node: Node, spec: Transformer, wiring: Wiring) -> tuple[Statement, ...]:
    hidden = wiring.results["hidden"]
    mask = wiring.arguments.get("mask", "None")
    shape = wiring.shapes["hidden"]
    read = (wiring.arguments["features"], mask, wiring.arguments["cache"])
    lines = [Statement(hidden, f"self.{node.name}", read, wiring.shapes["features"] if spec.cut else shape)]
    if spec.cut:
        lines.append(Statement(hidden, "", (f"{hidden}[:, -{wiring.tail}.size(1) :]",), shape))
    if "logits" in wiring.results:
        logits = wiring.results["logits"]
        if wiring.keep:
            lines.append(Statement("", "", ("if keep is not None:",)))
            lines.append(Statement(f"    {hidden}", "", (f"{hidden}{wiring.keep}",), f"[tokens, {spec.layers.dim}]"))
        if spec.head and spec.head.tied:
            arguments = (hidden, f"self.{wiring.embedding}.weight")
            lines.append(Statement(logits, "F.linear", arguments, wiring.shapes["logits"]))
        else:
            lines.append(Statement(logits, f"self.{node.name}.head", (hidden,), wiring.shapes["logits"]))
    return tuple(lines)


COMPONENT = TransformerComponent()
