"""`encoder/token_embedding`: a row of the table for each token id. Table sizes come from the decoder it feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...blocks.parameters import Parameter, Piece, plain
from ...code import Field, NodePage, Statement, Wiring, literal
from ...component import Inferred, Port, Signature, Spec, counted, sizes_of
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class TokenEmbedding(Spec):
    """A decided table of `vocab` rows, `dim` wide; rows are multiplied by `scale`.

    `extra` more rows are for ids from `vocab` on: tokens that are read and never written, so that no head has them.
    """

    vocab: int
    dim: int
    scale: float = 1.0
    extra: int = 0

    def parameters(self) -> tuple[Parameter, ...]:
        if not self.extra:
            return (plain("weight", self.vocab, self.dim),)
        pieces = (Piece("weight", self.vocab), Piece("extra.weight", self.extra))
        return (Parameter("weight", (self.vocab + self.extra, self.dim), pieces),)

    def summary(self) -> str:
        return f"token embedding, {counted(self.vocab, 'token')}, {self.dim} wide"

    def resolved(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "dim": self.dim}


class TokenEmbeddingComponent:
    """Ports and construction of `encoder/token_embedding`; it has no file of its own."""

    modules = frozenset(("", "extra"))

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
        scale, dim = settings.get("scale", default=1.0), inferred.sizes["dim"]
        factor, extra = dim**0.5 if scale == "sqrt_dim" else float(scale), int(settings.get("extra_rows", default=0))
        return TokenEmbedding(inferred.sizes["vocab"], dim, factor, extra)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, TokenEmbedding)
        result, config = wiring.results["features"], f"config.{node.module}"
        calls = [Statement(result, f"self.{node.module}", (wiring.arguments["ids"],), wiring.shapes["features"])]
        fields = [Field("vocab", "int", str(spec.vocab)), Field("dim", "int", str(spec.dim))]
        rows = f"{config}.vocab"
        if spec.extra:
            fields.append(Field("rows", "int", str(spec.vocab + spec.extra), "with those for ids from `vocab` on"))
            rows = f"{config}.rows"
        if spec.scale != 1:
            fields.append(Field("scale", "float", literal(spec.scale)))
            # As a tensor, the factor is rounded to the type of the embeddings first, as models with one were trained.
            calls.append(Statement("scale", f"{result}.new_full", ("()", f"self.{config}.scale")))
            calls.append(Statement(result, "", (f"{result} * scale",)))
        return NodePage(
            template="",
            context=None,
            class_name=class_name(node.name),
            fields=tuple(fields),
            construct=f"nn.Embedding({rows}, {config}.dim)",
            calls=tuple(calls),
        )


COMPONENT = TokenEmbeddingComponent()
