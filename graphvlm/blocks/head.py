"""Heads: how hidden states become logits, by the token embedding again or a matrix of their own, after a transform."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..code import Field, Statement, literal
from ..node_page import Wiring
from ..settings import Settings
from .expressions import activated, bias_argument, norm_expression, norm_field
from .parameters import MODULES, Parameter, linear, norm, plain
from .parse_norm import make_norm, norm_settings
from .settings_norm import Norm

if TYPE_CHECKING:
    from ..ir import Node


@dataclass(frozen=True, slots=True)
class Transform:
    """What stands before the vocabulary: a linear layer as wide as the model, an activation, a norm."""

    activation: str
    norm: Norm


@dataclass(frozen=True, slots=True)
class Head:
    """How hidden states become logits: by the token embedding again (`tied`), or by a matrix of their own.

    `scale` multiplies the logits, then `softcap` bounds them: `cap * tanh(logit / cap)`. A tied head that stands
    `apart` is a module all the same: ranks have parts of the embedding, which something has to be done for.
    """

    tied: bool
    bias: bool
    scale: float | None = None
    softcap: float | None = None
    transform: Transform | None = None
    apart: bool = False

    @property
    def own(self) -> bool:
        """Whether it is more than one matrix: a class of its own."""
        return self.transform is not None or (self.tied and self.bias)

    @property
    def weights(self) -> bool:
        """Whether it has any, besides the token embedding's, or is a module without."""
        return self.own or self.apart or not self.tied

    def parameters(self, dim: int, vocab: int) -> Iterator[Parameter]:
        """Its weights, in the order of the generated module."""
        if self.transform:
            yield from linear("head.transform", dim, dim, bias=True)
            yield from norm("head.norm", self.transform.norm, dim)
        if self.tied and self.bias:
            yield plain("head.bias", vocab)
        elif not self.tied:
            yield from linear("head.out" if self.own else "head", dim, vocab, self.bias)


# Every module of a stack of text, whatever its settings: one list of names serves encoders and decoders.
TEXT_MODULES = MODULES | frozenset(
    (
        *("position", "relative.table", "input_norm", "norm", "embed", "embed_extra", "embed_types"),
        *("pooler", "head", "head.transform", "head.norm", "head.out"),
    )
)


def parse_head(settings: Settings, *, default: object) -> Head | None:
    """The head of a node, or None if it has none."""
    head = settings.get("head", default=default)
    if head == "none":
        return None
    scale, softcap = head.get("scale"), head.get("softcap")
    return Head(
        tied=bool(head.get("tied", False)),
        bias=bool(head.get("bias", False)),
        scale=None if scale is None else float(scale),
        softcap=None if softcap is None else float(softcap),
        transform=_transform(settings) if head.get("transform") else None,
    )


def _transform(settings: Settings) -> Transform:
    """The transform before the vocabulary; its norm is that of the layers, with its own settings over them."""
    found = settings.child("head", "transform")
    usual = norm_settings(settings.get("norm", default="rms"))
    return Transform(found.get("activation", default="gelu"), make_norm(norm_settings(usual, found.get("norm"))))


@dataclass(frozen=True, slots=True)
class HeadView:
    """What a node builds as its head. `linear` are arguments of an `nn.Linear`; a head with a `name` is a class.

    `norm` is a constructor, empty without a transform.
    """

    linear: str
    name: str
    tied: bool
    bias: bool
    norm: str
    activation: str

    @property
    def empty(self) -> bool:
        """Whether it is a class without weights."""
        return self.tied and not self.bias and not self.norm

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return activated(self.activation, value)

    @property
    def quick_gelu(self) -> bool:
        return self.activation == "quick_gelu"

    @property
    def functional(self) -> bool:
        """Whether its class calls functions of `torch.nn.functional`."""
        return bool(self.name) and (self.tied or not self.quick_gelu)


def head_view(
    head: Head | None, class_name: str, fields: tuple[Field, ...]
) -> tuple[HeadView | None, tuple[Field, ...]]:
    """The view of a head of the node whose class is `class_name`, and the config fields with those that it reads."""
    if head is None or not head.weights:
        return None, fields
    made, activation = "", ""
    if head.transform:
        eps, fields = norm_field(fields, head.transform.norm, "head_norm_eps")
        made, activation = norm_expression(head.transform.norm, "config.dim", eps), head.transform.activation
    linear = f"config.vocab{bias_argument(head.bias)}"
    name = f"{class_name}Head" if head.own or head.apart else ""
    return HeadView(linear, name, head.tied, head.bias, made, activation), fields


def head_fields(head: Head | None) -> Iterator[Field]:
    """Config fields of what is done to the logits."""
    if head and head.scale is not None:
        yield Field("logit_scale", "float", literal(head.scale))
    if head and head.softcap is not None:
        yield Field("logit_softcap", "float", literal(head.softcap))


def logit_lines(node: Node, head: Head | None, hidden: str, wiring: Wiring) -> Iterator[Statement]:
    """The lines of `model.py` from hidden states to logits."""
    logits, shape = wiring.results["logits"], wiring.shapes["logits"]
    tied = (f"self.{wiring.embedding}.weight",) if head and head.tied else ()
    function = f"self.{node.module}.head" if head is None or head.weights else "F.linear"
    yield Statement(logits, function, (hidden, *tied), shape)
    config = f"self.config.{node.source}"
    if head and head.scale is not None:
        yield Statement(logits, "", (f"{logits} * {config}.logit_scale",))
    if head and head.softcap is not None:
        yield Statement("cap", "", (f"{config}.logit_softcap",))
        yield Statement(logits, "", (f"cap * ({logits} / cap).tanh()",))
