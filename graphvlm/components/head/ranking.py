"""`head/ranking`: which candidate a model would say most readily, the one of the least loss."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, Statement, literal
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec


@dataclass(frozen=True, slots=True)
class Ranking(Spec):
    """A decided order of candidates, which may be `masked`; `smoothing` is the share of a target that all have."""

    smoothing: float
    masked: bool

    def summary(self) -> str:
        return "the candidate of the least loss"


@dataclass(frozen=True, slots=True)
class RankingView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    smoothing: bool
    masked: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        masks = ("mask: Tensor | None",) if self.masked else ()
        return ("self", "logits: Tensor", "tokens: Tensor", *masks, "chosen: Tensor")


class RankingComponent:
    """Ports and page of `head/ranking`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        rows, seq = Var(f"{name}.rows", "rows"), Var(f"{name}.seq", "seq")
        batch, top = Var(f"{name}.batch", "batch"), Var(f"{name}.top", "candidates")
        return Signature(
            inputs={
                "logits": Port("logits", (rows, seq, Var(f"{name}.vocab", "vocab"))),
                "tokens": Port("tokens", (rows, seq)),
                "mask": Port("mask", (rows, seq), optional=True, of="tokens"),
                "chosen": Port("chosen", (batch, top)),
            },
            outputs={"best": Port("classes", (batch,)), "losses": Port("scores", (batch, top))},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Ranking:
        return Ranking(float(settings.get("smoothing", default=0.0)), "mask" in inferred.inputs)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Ranking)
        name, read = class_name(node.name), ("logits", "tokens", *(("mask",) if spec.masked else ()), "chosen")
        targets = [wiring.results.get(port, "_") for port in ("best", "losses")]
        arguments = tuple(wiring.arguments[port] for port in read)
        call = Statement(", ".join(targets), f"self.{node.module}", arguments, wiring.shapes["best"])
        view = RankingView(node.name, name, f"{name}Config", bool(spec.smoothing), spec.masked)
        fields = (Field("smoothing", "float", literal(spec.smoothing)),) if spec.smoothing else ()
        construct = f"{name}(config.{node.name})" if spec.smoothing else f"{name}()"
        return NodePage("head/ranking.py.j2", view, name, fields, construct, (call,))


COMPONENT = RankingComponent()
