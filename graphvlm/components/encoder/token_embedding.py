"""`encoder/token_embedding`: a row of the table for each token id. Table sizes come from the decoder it feeds.

With `token_types`, a second table has a row for each type of token, which is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...blocks.parameters import Parameter, Piece, plain
from ...code import Field, Statement, literal
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of


@dataclass(frozen=True, slots=True)
class TokenEmbedding(Spec):
    """A decided table of `vocab` rows, `dim` wide; rows are multiplied by `scale`.

    `extra` more rows are for ids from `vocab` on: tokens that are read and never written, so that no head has them.
    Of a `parted` table, each rank of `tp` holds some rows.
    """

    vocab: int
    dim: int
    scale: float = 1.0
    extra: int = 0
    types: int = 0
    parted: bool = False

    @property
    def split(self) -> dict[str, str]:
        """How tensor parallelism splits the module itself, if it does."""
        return {"": "vocabulary"} if self.parted else {}

    def parameters(self) -> tuple[Parameter, ...]:
        types = (plain("types.weight", self.types, self.dim),) if self.types else ()
        if not self.extra:
            return (plain("weight", self.vocab, self.dim), *types)
        pieces = (Piece("weight", self.vocab), Piece("extra.weight", self.extra))
        return (Parameter("weight", (self.vocab + self.extra, self.dim), pieces), *types)

    def summary(self) -> str:
        types = f" of {counted(self.types, 'type')}" if self.types else ""
        return f"token embedding, {counted(self.vocab, 'token')}{types}, {self.dim} wide"

    def resolved(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "dim": self.dim}


@dataclass(frozen=True, slots=True)
class TokenEmbeddingView:
    """What the template of an embedding with token types places; `rows` is a config field."""

    name: str
    class_name: str
    config: str
    summary: str
    rows: str


class TokenEmbeddingComponent:
    """Ports and construction of `encoder/token_embedding`; without token types it has no file of its own."""

    modules = frozenset(("", "extra", "types"))

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "vocab", "dim")
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        return Signature(
            inputs={"ids": Port("tokens", (batch, seq)), **_types_port(settings, batch, seq)},
            outputs={"features": Port("features", (batch, seq, sizes["dim"]), vocab=sizes["vocab"], tail=seq)},
            sizes=sizes,
            written=written,
            stream="ids",
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> TokenEmbedding:
        scale, dim = settings.get("scale", default=1.0), inferred.sizes["dim"]
        factor, extra = dim**0.5 if scale == "sqrt_dim" else float(scale), int(settings.get("extra_rows", default=0))
        return TokenEmbedding(inferred.sizes["vocab"], dim, factor, extra, int(settings.get("token_types", default=0)))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, TokenEmbedding)
        result, config = wiring.results["features"], f"config.{node.source}"
        read = (wiring.arguments["ids"], *((wiring.arguments.get("types", "None"),) if spec.types else ()))
        calls = [Statement(result, f"self.{node.module}", read, wiring.shapes["features"])]
        fields = [Field("vocab", "int", str(spec.vocab)), Field("dim", "int", str(spec.dim))]
        rows = f"{config}.vocab"
        if spec.extra:
            fields.append(Field("rows", "int", str(spec.vocab + spec.extra), "with those for ids from `vocab` on"))
            rows = f"{config}.rows"
        if spec.types:
            fields.append(Field("types", "int", str(spec.types), "of tokens"))
        if spec.scale != 1:
            fields.append(Field("scale", "float", literal(spec.scale)))
            # As a tensor, the factor is rounded to the type of the embeddings first, as models with one were trained.
            calls.append(Statement("scale", f"{result}.new_full", ("()", f"self.{config}.scale")))
            calls.append(Statement(result, "", (f"{result} * scale",)))
        name = class_name(node.name)
        view = TokenEmbeddingView(node.name, name, f"{name}Config", spec.summary(), rows.rpartition(".")[2])
        return NodePage(
            template="encoder/token_embedding.py.j2" if spec.types else "",
            context=view if spec.types else None,
            class_name=name,
            fields=tuple(fields),
            construct=f"{name}({config})" if spec.types else f"nn.Embedding({rows}, {config}.dim)",
            calls=tuple(calls),
            note="tp: vocabulary" if spec.parted else "",
        )


def _types_port(settings: Settings, batch: Var, seq: Var) -> dict[str, Port]:
    """The port of the types of tokens; where nothing is fed, all are of the first."""
    if not settings.has("token_types"):
        return {}
    return {"types": Port("token_types", (batch, seq), optional=True, skippable=True)}


COMPONENT = TokenEmbeddingComponent()
