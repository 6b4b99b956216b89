"""What fusions of several streams share: their ports are those that `inputs` names."""

from __future__ import annotations

from ...code import Statement
from ...dims import Dim, Many, Sum, Var
from ...ir import Node
from ...node_page import Wiring
from ...settings import Settings
from ...spec import Port, Signature


def streams_signature(name: str, settings: Settings, *, wider: bool) -> Signature:
    """[images, tokens, ...] of every port -> the same, as wide as all together if `wider`."""
    ports = _ports(settings)
    images, tokens = Var(f"{name}.images", "images"), Var(f"{name}.tokens", "tokens")
    widths = [Var(f"{name}.{port}_dim" if wider else f"{name}.dim", "dim") for port in ports]
    out: Dim = Sum(tuple(widths)) if wider else widths[0]
    return Signature(
        inputs={port: Port("features", (images, tokens, width)) for port, width in zip(ports, widths, strict=True)},
        outputs={"features": Port("features", (images, tokens, out))},
        alike=ports,
    )


def rows_signature(name: str, settings: Settings, *, alternate: bool) -> Signature:
    """[images, tokens of a port, dim] of every port -> [images, all tokens, dim]; as many of each if they alternate."""
    ports = _unmasked(_ports(settings))
    images, dim, same = Var(f"{name}.images", "images"), Var(f"{name}.dim", "dim"), Var(f"{name}.tokens", "tokens")
    tokens = [same if alternate else Var(f"{name}.{port}_tokens", "tokens") for port in ports]
    out = Sum((Many(len(ports), same),) if alternate else tuple(tokens))
    counts = dict(zip(ports, tokens, strict=True))
    streams = {port: Port("features", (images, count, dim)) for port, count in counts.items()}
    masks = {
        f"{port}_mask": Port("mask", (images, count), optional=True, skippable=True, of=port)
        for port, count in counts.items()
    }
    return Signature(
        inputs=streams | {port: mask for port, mask in masks.items() if port not in streams},
        outputs={"features": Port("features", (images, out, dim)), "mask": Port("mask", (images, out))},
    )


def _ports(settings: Settings) -> tuple[str, ...]:
    """The named ports; two that are missing, where fewer are named."""
    given = settings.get("inputs")
    named = tuple(given) if isinstance(given, dict) else ()
    # A mask may be written too, beside what it is of.
    streams = tuple(
        port for port in named if port.removesuffix("_mask") == port or port.removesuffix("_mask") not in named
    )
    return streams if len(streams) > 1 else ("first", "second")


def _unmasked(ports: tuple[str, ...]) -> tuple[str, ...]:
    """The ports but those of masks of others, which a resolved graph names beside them."""
    return tuple(port for port in ports if port.removesuffix("_mask") == port or port[:-5] not in ports)


def one_call(node: Node, wiring: Wiring, *, masked: bool = False) -> tuple[Statement, ...]:
    """The line of `model.py` that calls the module with all its ports; if `masked`, a mask comes out too."""
    arguments = tuple(wiring.arguments[port] for port in node.inputs)
    results = [wiring.results["features"], *([wiring.results.get("mask", "_")] if masked else [])]
    return (Statement(", ".join(results), f"self.{node.module}", arguments, wiring.shapes["features"]),)
