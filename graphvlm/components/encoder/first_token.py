"""`encoder/first_token`: the token ids of a text with another one at the beginning, which says how it is to be read."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, NodePage, Statement, Wiring
from ...component import Inferred, Port, Signature, Spec
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class FirstToken(Spec):
    """The decided id."""

    token: int

    def summary(self) -> str:
        return f"first token {self.token}"


class FirstTokenComponent:
    """Ports and line of `encoder/first_token`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        port = Port("tokens", (Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)))
        return Signature(inputs={"ids": port}, outputs={"ids": port}, stream="ids")

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> FirstToken:
        return FirstToken(int(settings.get("token")))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, FirstToken)
        read = (f"{wiring.arguments['ids']}[:, 1:]", "(1, 0)", f"value=self.config.{node.source}.token")
        call = Statement(wiring.results["ids"], "F.pad", read, wiring.shapes["ids"])
        fields = (Field("token", "int", str(spec.token), "comes first"),)
        return NodePage("", None, class_name(node.name), fields, "", (call,))


COMPONENT = FirstTokenComponent()
