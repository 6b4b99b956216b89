"""`head/classifier`: scores of a few classes from one vector a sample, by a linear map or with a layer before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...blocks.expressions import activated, bias_argument
from ...blocks.parameters import Parameter, linear
from ...code import Field, Statement
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, sizes_of
from ._pooled import Pool, pooled, words


@dataclass(frozen=True, slots=True)
class Classifier(Spec):
    """A decided classifier; with `hidden` there is a layer of that width between, with an activation."""

    inside: int
    classes: int
    bias: bool
    pool: Pool
    hidden: int | None
    activation: str

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._parameters())

    def _parameters(self) -> Iterator[Parameter]:
        if self.hidden:
            yield from linear("hidden", self.inside, self.hidden, self.bias)
        yield from linear("linear", self.hidden or self.inside, self.classes, self.bias)

    def summary(self) -> str:
        hidden = f" over {self.hidden}" if self.hidden else ""
        return f"classifier of the {words(self.pool)}, {self.inside}{hidden} to {self.classes} classes"

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside}


@dataclass(frozen=True, slots=True)
class ClassifierView:
    """What the template places; `read` is the expression of what is classified, `step` that of the hidden layer."""

    name: str
    class_name: str
    config: str
    summary: str
    bias: str
    read: str
    step: str
    quick_gelu: bool
    functional: bool


class ClassifierComponent:
    """Ports and page of `head/classifier`."""

    modules = frozenset(("hidden", "linear"))

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "in")
        batch, tokens = Var(f"{name}.batch", "batch"), Var(f"{name}.tokens", "tokens")
        return Signature(
            inputs={"features": Port("features", (batch, tokens, sizes["in"]))},
            outputs={"scores": Port("scores", (batch, int(settings.get("classes"))))},
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Classifier:
        hidden = settings.get("hidden")
        if hidden is None and settings.has("activation"):
            problems.error(
                "unread-setting",
                f"`activation` of `{inferred.node}` is that of a hidden layer, and there is none",
                settings.span("activation"),
                help="remove `activation`, or write `hidden`",
            )
        return Classifier(
            inferred.sizes["in"],
            int(settings.get("classes")),
            bool(settings.get("bias", default=True)),
            settings.get("pool", default="first"),
            None if hidden is None else int(hidden),
            settings.get("activation", default="relu"),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Classifier)
        name, read = class_name(node.name), pooled(spec.pool)
        view = ClassifierView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            bias=bias_argument(spec.bias),
            read="x" if spec.hidden else read,
            step=activated(spec.activation, f"self.hidden({read})") if spec.hidden else "",
            quick_gelu=bool(spec.hidden) and spec.activation == "quick_gelu",
            functional=bool(spec.hidden) and spec.activation != "quick_gelu",
        )
        fields = [Field("in_dim", "int", str(spec.inside)), Field("classes", "int", str(spec.classes))]
        if spec.hidden:
            fields.insert(1, Field("hidden_dim", "int", str(spec.hidden)))
        call = Statement(
            wiring.results["scores"], f"self.{node.module}", (wiring.arguments["features"],), wiring.shapes["scores"]
        )
        construct = f"{name}(config.{node.name})"
        return NodePage("head/classifier.py.j2", view, name, tuple(fields), construct, (call,))


COMPONENT = ClassifierComponent()
