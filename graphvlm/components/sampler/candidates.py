"""`sampler/candidates`: of a list of texts the likeliest for each sample, by what comes behind their first token."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, NodePage, Statement, Wiring
from ...component import Inferred, Port, Signature, Spec, counted
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Candidates(Spec):
    """So many of each sample; `masked` and `padded` if the texts and what was encoded may have padding."""

    top: int
    masked: bool
    padded: bool

    def summary(self) -> str:
        return counted(self.top, "candidate")


@dataclass(frozen=True, slots=True)
class CandidatesView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    masked: bool
    padded: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        return ("self", *(f"{name}: {type_}" for name, type_ in _types(self.masked, self.padded).items()))

    @property
    def returns(self) -> str:
        """What it gives: all but the logits, and which were chosen."""
        types = list(_types(self.masked, self.padded).values())[1:]
        return f"tuple[{', '.join((*types, 'Tensor'))}]"


def _types(masked: bool, padded: bool) -> dict[str, str]:
    """What comes in, with the types."""
    text = {"tokens": "Tensor"} | ({"mask": "Tensor | None"} if masked else {})
    return {"logits": "Tensor", **text, "features": "Tensor"} | ({"features_mask": "Tensor | None"} if padded else {})


class CandidatesComponent:
    """Ports and page of `sampler/candidates`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, many, top = Var(f"{name}.batch", "batch"), Var(f"{name}.many", "candidates"), int(settings.get("top"))
        seq, tokens, dim = (
            Var(f"{name}.seq", "seq", free=True),
            Var(f"{name}.tokens", "tokens"),
            Var(f"{name}.dim", "dim"),
        )
        rows = Sum((Many(top, batch),)) if top > 1 else batch
        return Signature(
            inputs={
                "logits": Port("logits", (batch, Var(f"{name}.first", "seq"), Var(f"{name}.vocab", "vocab"))),
                "tokens": Port("tokens", (many, seq)),
                "mask": Port("mask", (many, seq), optional=True),
                "features": Port("features", (batch, tokens, dim)),
                "features_mask": Port("mask", (batch, tokens), optional=True, of="features"),
            },
            outputs={
                "tokens": Port("tokens", (rows, seq)),
                "mask": Port("mask", (rows, seq)),
                "features": Port("features", (rows, tokens, dim)),
                "features_mask": Port("mask", (rows, tokens)),
                "chosen": Port("chosen", (batch, top)),
            },
            stream="tokens",
            aside=frozenset(("features", "chosen")),
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Candidates:
        return Candidates(int(settings.get("top")), "mask" in inferred.inputs, "features_mask" in inferred.inputs)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Candidates)
        name, read = class_name(node.name), tuple(_types(spec.masked, spec.padded))
        targets = [wiring.results.get(port, "_") for port in (*read[1:], "chosen")]
        arguments = tuple(wiring.arguments[port] for port in read)
        call = Statement(", ".join(targets), f"self.{node.module}", arguments, wiring.shapes["tokens"])
        view = CandidatesView(node.name, name, f"{name}Config", spec.masked, spec.padded)
        fields = (Field("top", "int", str(spec.top), "of each sample"),)
        construct = f"{name}(config.{node.name})"
        return NodePage("sampler/candidates.py.j2", view, name, fields, construct, (call,))


COMPONENT = CandidatesComponent()
