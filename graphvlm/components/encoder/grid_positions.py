"""`encoder/grid_positions`: frame, row and column of each token of a text with images and videos in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...code import Field, Statement, literal
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec
from ...words import suggestion
from .._between import Between, conditions, read_between


@dataclass(frozen=True, slots=True)
class Kind:
    """What has a grid: its port, its token, and how many positions its frames are apart.

    With `timed`, that is for a second, and the caller says how many lie between frames. With `apart`, each frame is
    like an image of its own. Its token may be that of others, which it stands for `between` two others alone.
    """

    port: str
    token: int
    interval: int = 1
    timed: bool = False
    apart: bool = False
    between: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class GridPositions(Spec):
    """Decided positions."""

    kinds: tuple[Kind, ...]
    group: int
    merged: int

    def summary(self) -> str:
        return f"grid_positions, {', '.join(f'{kind.port} at token {kind.token}' for kind in self.kinds)}"

    def resolved(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class GridPositionsView:
    """What the template places.

    `spaced` if the frames of some kind are further apart than one position, `timed` if that depends on their seconds,
    `apart` if they are all like images of their own, `mixed` if those of some kinds are.
    """

    name: str
    class_name: str
    config: str
    kinds: tuple[Kind, ...]
    group: int
    merged: int

    @property
    def blocks(self) -> str:
        """The frames, rows and columns of the grid that are one token, as a Python list; empty for one of each."""
        frames = "self.merged_frames" if self.merged > 1 else "1"
        side = "self.group" if self.group > 1 else "1"
        return f"[{frames}, {side}, {side}]" if max(self.merged, self.group) > 1 else ""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        grids = (name for kind in self.kinds for name in _ports(kind))
        return ("self", "ids: Tensor", "mask: Tensor | None", *(f"{name}: Tensor | None" for name in grids))

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """Port -> what else a token that is its placeholder has to be."""
        between = {kind.port: kind.between for kind in self.kinds if kind.between}
        return conditions({kind.port: kind.token for kind in self.kinds}, between)

    @property
    def between(self) -> tuple[str, ...]:
        """The ports whose tokens stand between others."""
        return tuple(kind.port for kind in self.kinds if kind.between)

    @property
    def walk(self) -> tuple[str, ...]:
        """The parameters of `walk`."""
        found = ["size: Tensor", "where: Tensor", "step: Tensor", "inside: Tensor"]
        if self.timed:
            found.append("interval: Tensor | None = None")
        elif self.spaced:
            found.append("interval: int = 1")
        return (*found, "apart: bool = False") if self.mixed else tuple(found)

    def walked(self, kind: Kind) -> tuple[str, ...]:
        """What `walk` is called with for one kind."""
        given = ["size", "where", "step", "inside"]
        if kind.timed:
            given.append("interval")
        elif kind.interval > 1:
            every = f"self.{kind.port}_interval"
            given.append(f"size.new_full(size.shape[:1], {every})" if self.timed else every)
        return (*given, "apart=True") if kind.apart and self.mixed else tuple(given)

    @property
    def timed(self) -> bool:
        return any(kind.timed for kind in self.kinds)

    @property
    def spaced(self) -> bool:
        return any(kind.interval > 1 for kind in self.kinds)

    @property
    def apart(self) -> bool:
        return all(kind.apart for kind in self.kinds)

    @property
    def mixed(self) -> bool:
        return not self.apart and any(kind.apart for kind in self.kinds)


class GridPositionsComponent:
    """Ports and page of `encoder/grid_positions`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        grids, placeholder = dict[str, Port](), settings.get("placeholder", default={})
        for port in placeholder:
            images = Var(f"{name}.{port}s", "images")
            grids[port] = Port("grid", (images, 3), optional=True, skippable=True)
            if f"{port}_seconds" not in placeholder:
                grids[f"{port}_seconds"] = Port("seconds", (images,), optional=True, skippable=True)
        return Signature(
            inputs={"ids": Port("tokens", (batch, seq)), "mask": Port("mask", (batch, seq), optional=True), **grids},
            outputs={"positions": Port("positions", (3, batch, seq))},
            stream="ids",
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> GridPositions:
        placeholder = settings.get("placeholder")
        for key in ("interval", "frames"):
            tree = settings.child(key).tree
            for port, _ in tree.items():
                if port not in placeholder:
                    message = f"`{key}` of `{inferred.node}` is that of `{port}`, which has no placeholder"
                    edit = suggestion(port, placeholder, "placeholder")
                    problems.error("unknown-port", message, tree.key_span(port), help=edit)
        for port in placeholder:
            if f"{port}_seconds" in {*inferred.inputs} - {*placeholder} and port not in inferred.inputs:
                message = f"`{inferred.node}` is told the seconds between frames of `{port}`, and not its grid"
                edit = f"feed the grid to `{port}`, or remove `{port}_seconds`"
                problems.error("missing-port", message, settings.span("inputs"), help=edit)
        between = read_between(placeholder, settings, inferred.node, None, problems)
        kinds = (_kind(port, token, settings, inferred, between) for port, token in placeholder.items())
        found = tuple(kind for kind in kinds if kind.port in inferred.inputs)
        merged = int(settings.get("merged_frames", default=1))
        return GridPositions(found, group=int(settings.get("group", default=1)), merged=merged)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, GridPositions)
        name = class_name(node.name)
        view = GridPositionsView(node.name, name, f"{name}Config", spec.kinds, spec.group, spec.merged)
        fields = [Field(f"{kind.port}_token", "int", str(kind.token)) for kind in spec.kinds]
        for kind in spec.kinds:
            if kind.between:
                fields.append(Field(f"{kind.port}_between", "tuple[int, int]", literal(kind.between)))
        if spec.group > 1:
            fields.append(Field("group", "int", str(spec.group), "side of the blocks of patches that are one token"))
        if spec.merged > 1:
            fields.append(Field("merged_frames", "int", str(spec.merged), "frames that are one token"))
        for kind in spec.kinds:
            if kind.interval > 1 or kind.timed:
                comment = "positions a second" if kind.timed else "positions from one frame to the next"
                fields.append(Field(f"{kind.port}_interval", "int", str(kind.interval), comment))
        mask = wiring.arguments.get("mask", "None")
        read = (wiring.arguments[port] for kind in spec.kinds for port in _ports(kind))
        arguments = (wiring.arguments["ids"], mask, *read)
        call = Statement(wiring.results["positions"], f"self.{node.module}", arguments, wiring.shapes["positions"])
        construct = f"{name}(config.{node.name})"
        return NodePage("encoder/grid_positions.py.j2", view, name, tuple(fields), construct, (call,))


def _ports(kind: Kind) -> tuple[str, ...]:
    """The ports of one kind."""
    return (kind.port, f"{kind.port}_seconds") if kind.timed else (kind.port,)


def _kind(port: str, token: int, settings: Settings, inferred: Inferred, between: Between) -> Kind:
    frames = settings.get("frames", default="together")
    return Kind(
        port,
        token,
        interval=int(settings.get("interval", port, default=1)),
        timed=f"{port}_seconds" in {*inferred.inputs} - {*settings.get("placeholder")},
        apart=(frames.get(port) if isinstance(frames, dict) else frames) == "apart",
        between=between.get(port),
    )


COMPONENT = GridPositionsComponent()
