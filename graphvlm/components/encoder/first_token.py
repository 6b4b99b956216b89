"""`encoder/first_token`: the token ids of a text with another one at the beginning, which says how it is to be read."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, Statement
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted


@dataclass(frozen=True, slots=True)
class FirstToken(Spec):
    """The decided id; with `tokens`, so many are left of a text."""

    token: int
    tokens: int | None = None

    def summary(self) -> str:
        return f"first token {self.token}" + (f", {counted(self.tokens, 'token')} in all" if self.tokens else "")


class FirstTokenComponent:
    """Ports and line of `encoder/first_token`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        port = left = Port("tokens", (batch, seq))
        if settings.get("tokens") is None:
            return Signature(inputs={"ids": port}, outputs={"ids": left}, stream="ids")
        # What is left is a text of its own, and a mask of the whole is none of it.
        left = Port("tokens", (batch, Var(f"{name}.first", "first", free=True)))
        return Signature(inputs={"ids": port}, outputs={"ids": left}, stream="ids", aside=frozenset(("ids",)))

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> FirstToken:
        tokens = settings.get("tokens")
        return FirstToken(int(settings.get("token")), None if tokens is None else int(tokens))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, FirstToken)
        read = (
            f"{wiring.arguments['ids']}[:, 1:{spec.tokens or ''}]",
            "(1, 0)",
            f"value=self.config.{node.source}.token",
        )
        call = Statement(wiring.results["ids"], "F.pad", read, wiring.shapes["ids"])
        fields = (Field("token", "int", str(spec.token), "comes first"),)
        return NodePage("", None, class_name(node.name), fields, "", (call,))


COMPONENT = FirstTokenComponent()
