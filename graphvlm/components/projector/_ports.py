"""What all projectors that keep the number of tokens have in common: their ports and their call."""

from __future__ import annotations

from ...code import Statement
from ...dims import Var
from ...ir import Node
from ...node_page import Wiring
from ...settings import Settings
from ...spec import Port, Signature, sizes_of


def projector_signature(name: str, settings: Settings) -> Signature:
    """[images, tokens, in] -> [images, tokens, out]."""
    sizes, written = sizes_of(name, settings, "in", "out")
    images, tokens = Var(f"{name}.images", "images"), Var(f"{name}.tokens", "tokens")
    tail, vocab = Var(f"{name}.tail", "tokens"), Var(f"{name}.vocab", "vocab")
    return Signature(
        inputs={"features": Port("features", (images, tokens, sizes["in"]), vocab=vocab, tail=tail)},
        outputs={"features": Port("features", (images, tokens, sizes["out"]), vocab=vocab, tail=tail)},
        sizes=sizes,
        written=written,
        stream="features",
    )


def one_call(node: Node, wiring: Wiring) -> tuple[Statement, ...]:
    """The line in `model.py` that calls a module with one input and one output."""
    return (
        Statement(
            wiring.results["features"],
            f"self.{node.module}",
            (wiring.arguments["features"],),
            wiring.shapes["features"],
        ),
    )
