"""`encoder/token_embedding`: a row of the table for each token id. Table sizes come from the decoder it feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...blocks.parameters import Parameter, plain
from ...code import Field, NodePage, Statement, Wiring
from ...component import Inferred, Port, Signature, Spec, counted, sizes_of
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class TokenEmbedding(Spec):
    """A decided table of `vocab` rows, `dim` wide."""

    vocab: int
    dim: int

    def parameters(self) -> tuple[Parameter, ...]:
        return (plain("weight", self.vocab, self.dim),)

    def summary(self) -> str:
        return f"token embedding, {counted(self.vocab, 'token')}, {self.dim} wide"

    def resolved(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "dim": self.dim}


class TokenEmbeddingComponent:
    """Ports and construction of `encoder/token_embedding`; it has no file of its own."""

    modules = frozenset(("",))

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "vocab", "dim")
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        return Signature(
            inputs={"ids": Port("tokens", (batch, seq))},
            outputs={"features": Port("features", (batch, seq, sizes["dim"]), vocab=sizes["vocab"], tail=seq)},
            sizes=sizes,
            written=written,
            stream="ids",
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> TokenEmbedding:
        return TokenEmbedding(inferred.sizes["vocab"], inferred.sizes["dim"])

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, TokenEmbedding)
        call = Statement(
            wiring.results["features"],
            f"self.{node.name}",
            (wiring.arguments["ids"],),
            wiring.shapes["features"],
        )
        config = f"config.{node.name}"
        return NodePage(
            template="",
            context=None,
            class_name=class_name(node.name),
            fields=(Field("vocab", "int", str(spec.vocab)), Field("dim", "int", str(spec.dim))),
            construct=f"nn.Embedding({config}.vocab, {config}.dim)",
            calls=(call,),
        )


COMPONENT = TokenEmbeddingComponent()
