"""`fusion/spread`: features of several depths of an encoder at their placeholder tokens, zero elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...code import Field, Statement, literal
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted, sizes_of
from .._between import conditions, read_between


@dataclass(frozen=True, slots=True)
class Spread(Spec):
    """Decided placeholders, port -> token id, each with features of `depths` depths.

    `between` are port -> the tokens between which its placeholder stands for it.
    """

    dim: int
    placeholder: tuple[tuple[str, int], ...]
    depths: int
    between: tuple[tuple[str, tuple[int, int]], ...] = ()

    def summary(self) -> str:
        tokens = ", ".join(f"{port} at token {token}" for port, token in self.placeholder)
        return f"spread, {counted(self.depths, 'depth')}, {tokens}"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.dim}


@dataclass(frozen=True, slots=True)
class SpreadView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    ports: tuple[str, ...]
    between: tuple[str, ...]
    conditions: Mapping[str, tuple[str, ...]]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        return ("self", "ids: Tensor", *(f"{port}: Features" for port in self.ports))


class SpreadComponent:
    """Ports and page of `fusion/spread`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim")
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free=True)
        depths = range(1, int(settings.get("depths", default=1)) + 1)
        read = dict[str, Port]()
        for port in settings.get("placeholder", default={}):
            images, tokens = Var(f"{name}.{port}s", "images"), Var(f"{name}.{port}_tokens", "tokens")
            features = Port("features", (images, tokens, sizes["dim"]), skippable=True)
            read |= {f"{port}_{depth}": features for depth in depths}
        given = Port("features", (batch, seq, sizes["dim"]))
        return Signature(
            inputs={"ids": Port("tokens", (batch, seq)), **read},
            outputs={f"depth_{depth}": given for depth in depths},
            sizes=sizes,
            written=written,
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Spread:
        placeholder = dict(settings.get("placeholder"))
        between = read_between(placeholder, settings, inferred.node, None, problems)
        depths = int(settings.get("depths", default=1))
        return Spread(inferred.sizes["dim"], tuple(placeholder.items()), depths, tuple(between.items()))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Spread)
        name, depths = class_name(node.name), range(1, spec.depths + 1)
        placeholder, between = dict(spec.placeholder), dict(spec.between)
        found = tuple(between), conditions(placeholder, between)
        view = SpreadView(node.name, name, f"{name}Config", tuple(placeholder), *found)
        arguments = [wiring.arguments["ids"]]
        for port, _ in spec.placeholder:
            features = ", ".join(wiring.arguments[f"{port}_{depth}"] for depth in depths)
            arguments.append(f"({features}{',' if spec.depths == 1 else ''})")
        targets = [wiring.results.get(f"depth_{depth}", "_") for depth in depths]
        target = f"({targets[0]},)" if spec.depths == 1 else ", ".join(targets)
        call = Statement(target, f"self.{node.module}", tuple(arguments), wiring.shapes["depth_1"])
        fields = tuple(Field(f"{port}_token", "int", str(token)) for port, token in spec.placeholder)
        fields += tuple(Field(f"{port}_between", "tuple[int, int]", literal(ids)) for port, ids in spec.between)
        return NodePage("fusion/spread.py.j2", view, name, fields, f"{name}(config.{node.name})", (call,))


COMPONENT = SpreadComponent()
