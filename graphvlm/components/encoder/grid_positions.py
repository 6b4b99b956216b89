"""`encoder/grid_positions`: frame, row and column of each token of a text with images and videos in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...code import Field, NodePage, Statement, Wiring
from ...component import Inferred, Port, Signature, Spec
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings
from ...words import suggestion


@dataclass(frozen=True, slots=True)
class Kind:
    """What has a grid: its port, its token, and how many positions its frames are apart."""

    port: str
    token: int
    interval: int


@dataclass(frozen=True, slots=True)
class GridPositions(Spec):
    """Decided positions; with `apart`, frames are like images of their own."""

    kinds: tuple[Kind, ...]
    group: int
    apart: bool

    def summary(self) -> str:
        return f"grid_positions, {', '.join(f'{kind.port} at token {kind.token}' for kind in self.kinds)}"

    def resolved(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class GridPositionsView:
    """What the template places. `spaced` if the frames of some kind are further apart than one position."""

    name: str
    class_name: str
    config: str
    kinds: tuple[Kind, ...]
    group: int
    apart: bool

    @property
    def grids(self) -> tuple[str, ...]:
        """The parameters for what has a grid."""
        return tuple(f"{kind.port}: Tensor | None" for kind in self.kinds)

    @property
    def spaced(self) -> bool:
        return any(kind.interval > 1 for kind in self.kinds)


class GridPositionsComponent:
    """Ports and page of `encoder/grid_positions`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        grids = {
            port: Port("grid", (Var(f"{name}.{port}s", "images"), 3), optional=True, skippable=True)
            for port in settings.get("placeholder", default={})
        }
        return Signature(
            inputs={"ids": Port("tokens", (batch, seq)), "mask": Port("mask", (batch, seq), optional=True), **grids},
            outputs={"positions": Port("positions", (3, batch, seq))},
            stream="ids",
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> GridPositions:
        placeholder, intervals = settings.get("placeholder"), settings.child("interval").tree
        for port, _ in intervals.items() if intervals.is_mapping else ():
            if port not in placeholder:
                message = f"`interval` of `{inferred.node}` is that of `{port}`, which has no placeholder"
                edit = suggestion(port, placeholder, "placeholder")
                problems.error("unknown-port", message, intervals.key_span(port), help=edit)
        return GridPositions(
            kinds=tuple(
                Kind(port, token, int(settings.get("interval", port, default=1)))
                for port, token in placeholder.items()
                if port in inferred.inputs
            ),
            group=int(settings.get("group", default=1)),
            apart=settings.get("frames", default="together") == "apart",
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, GridPositions)
        name = class_name(node.name)
        view = GridPositionsView(node.name, name, f"{name}Config", spec.kinds, spec.group, spec.apart)
        fields = [Field(f"{kind.port}_token", "int", str(kind.token)) for kind in spec.kinds]
        if spec.group > 1:
            fields.append(Field("group", "int", str(spec.group), "side of the blocks of patches that are one token"))
        for kind in spec.kinds:
            if kind.interval > 1:
                comment = "positions from one frame to the next"
                fields.append(Field(f"{kind.port}_interval", "int", str(kind.interval), comment))
        mask = wiring.arguments.get("mask", "None")
        arguments = (wiring.arguments["ids"], mask, *(wiring.arguments[kind.port] for kind in spec.kinds))
        call = Statement(wiring.results["positions"], f"self.{node.module}", arguments, wiring.shapes["positions"])
        construct = f"{name}(config.{node.name})"
        return NodePage("encoder/grid_positions.py.j2", view, name, tuple(fields), construct, (call,))


COMPONENT = GridPositionsComponent()
