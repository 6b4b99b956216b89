"""What fusions of several streams of the same tokens share: their ports are those that `inputs` names."""

from __future__ import annotations

from ...code import Statement, Wiring
from ...component import Port, Signature
from ...dims import Dim, Sum, Var
from ...ir import Node
from ...settings import Settings


def streams_signature(name: str, settings: Settings, *, wider: bool) -> Signature:
    """[images, tokens, ...] of every port -> the same, as wide as all together if `wider`."""
    given = settings.get("inputs")
    # Two that are missing, where fewer are named.
    ports = tuple(given) if isinstance(given, dict) and len(given) > 1 else ("first", "second")
    images, tokens = Var(f"{name}.images", "images"), Var(f"{name}.tokens", "tokens")
    widths = [Var(f"{name}.{port}_dim" if wider else f"{name}.dim", "dim") for port in ports]
    out: Dim = Sum(tuple(widths)) if wider else widths[0]
    return Signature(
        inputs={port: Port("features", (images, tokens, width)) for port, width in zip(ports, widths, strict=True)},
        outputs={"features": Port("features", (images, tokens, out))},
    )


def one_call(node: Node, wiring: Wiring) -> tuple[Statement, ...]:
    """The line of `model.py` that calls the module with all its ports."""
    arguments = tuple(wiring.arguments[port] for port in node.inputs)
    return (Statement(wiring.results["features"], f"self.{node.module}", arguments, wiring.shapes["features"]),)
