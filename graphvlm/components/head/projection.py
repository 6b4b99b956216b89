"""`head/projection`: a linear map into a space where vectors are compared, of one token or of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...blocks.expressions import bias_argument
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
class Projection(Spec):
    """A decided projection; what it gives has length one if it is to be `normalized`."""

    inside: int
    out: int
    bias: bool
    pool: Pool
    normalized: bool

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(linear("linear", self.inside, self.out, self.bias))

    def summary(self) -> str:
        more = ", of length 1" if self.normalized else ""
        return f"projection of the {words(self.pool)}, {self.inside} to {self.out}{more}".replace("the each", "each")

    def resolved(self) -> dict[str, Any]:
        return {"in": self.inside, "out": self.out}


@dataclass(frozen=True, slots=True)
class ProjectionView:
    """What the template places; `read` is the expression of what is projected."""

    name: str
    class_name: str
    config: str
    summary: str
    bias: str
    read: str
    shapes: str
    normalized: bool


class ProjectionComponent:
    """Ports and page of `head/projection`."""

    modules = frozenset(("linear",))

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "in", "out")
        batch, tokens = Var(f"{name}.batch", "batch"), Var(f"{name}.tokens", "tokens")
        vector = not settings.get("each", default=False)
        given = Port("vector", (batch, sizes["out"])) if vector else Port("features", (batch, tokens, sizes["out"]))
        return Signature(
            inputs={"features": Port("features", (batch, tokens, sizes["in"]))},
            outputs={"vector" if vector else "features": given},
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Projection:
        each = bool(settings.get("each", default=False))
        if each and settings.has("pool"):
            problems.error(
                "unread-setting",
                f"`pool` of `{inferred.node}` makes one vector of all tokens, and `each` projects every one",
                settings.span("pool"),
                help="remove `pool`, or `each`",
            )
        return Projection(
            inferred.sizes["in"],
            inferred.sizes["out"],
            bool(settings.get("bias", default=True)),
            "none" if each else settings.get("pool", default="first"),
            bool(settings.get("normalize", default=True)),
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Projection)
        name = class_name(node.name)
        given = next(iter(node.signature.outputs))
        tokens = ", tokens" if spec.pool == "none" else ""
        view = ProjectionView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            bias=bias_argument(spec.bias),
            read=pooled(spec.pool),
            shapes=f"[batch, tokens, in_dim] -> [batch{tokens}, out_dim]",
            normalized=spec.normalized,
        )
        fields = (Field("in_dim", "int", str(spec.inside)), Field("out_dim", "int", str(spec.out)))
        read = (wiring.arguments["features"],)
        call = Statement(wiring.results[given], f"self.{node.module}", read, wiring.shapes[given])
        return NodePage("head/projection.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


COMPONENT = ProjectionComponent()
