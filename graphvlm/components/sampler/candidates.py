"""`sampler/candidates`: of a list of texts or images the likeliest for each sample.

By scores of all, or for texts by the logits of what comes behind their first token.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, Statement
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted


@dataclass(frozen=True, slots=True)
class Candidates(Spec):
    """So many of each sample; `masked` and `padded` if texts and what was encoded may have padding.

    They are `scored`, or chosen by logits; the list is of `texts`, or of what was encoded.
    """

    top: int
    masked: bool
    padded: bool
    scored: bool
    texts: bool

    def summary(self) -> str:
        return counted(self.top, "candidate")


@dataclass(frozen=True, slots=True)
class CandidatesView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    spec: Candidates

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        return ("self", *(f"{name}: {type_}" for name, type_ in _types(self.spec).items()))

    @property
    def returns(self) -> str:
        """What it gives: all but what they are chosen by, and which were."""
        types = list(_types(self.spec).values())[1:]
        return f"tuple[{', '.join((*types, 'Tensor'))}]"


def _types(spec: Candidates) -> dict[str, str]:
    """What comes in, with the types: first what they are chosen by."""
    text = {"tokens": "Tensor"} | ({"mask": "Tensor | None"} if spec.masked else {})
    seen = {"features": "Tensor"} | ({"features_mask": "Tensor | None"} if spec.padded else {})
    return {"scores" if spec.scored else "logits": "Tensor", **text, **seen}


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
        texts, seen = (many, batch) if settings.get("list", default="tokens") == "tokens" else (batch, many)
        return Signature(
            inputs={
                "logits": Port(
                    "logits", (batch, Var(f"{name}.first", "seq"), Var(f"{name}.vocab", "vocab")), optional=True
                ),
                "scores": Port("scores", (batch, many), optional=True),
                "tokens": Port("tokens", (texts, seq)),
                "mask": Port("mask", (texts, seq), optional=True),
                "features": Port("features", (seen, tokens, dim)),
                "features_mask": Port("mask", (seen, tokens), optional=True, of="features"),
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
        texts, given = settings.get("list", default="tokens") == "tokens", {"logits", "scores"} & inferred.inputs.keys()
        if len(given) != 1 or (given == {"logits"} and not texts):
            problems.error(
                "bad-candidates",
                f"`{inferred.node}` chooses by `scores` of all candidates, or texts by `logits` of what follows",
                settings.span("inputs"),
                help="feed `scores` [batch, candidates] and no `logits`",
            )
        top, found = int(settings.get("top")), inferred.inputs
        return Candidates(top, "mask" in found, "features_mask" in found, scored="scores" in found, texts=texts)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Candidates)
        name, read = class_name(node.name), tuple(_types(spec))
        targets = [wiring.results.get(port, "_") for port in (*read[1:], "chosen")]
        arguments = tuple(wiring.arguments[port] for port in read)
        call = Statement(", ".join(targets), f"self.{node.module}", arguments, wiring.shapes["tokens"])
        view = CandidatesView(node.name, name, f"{name}Config", spec)
        fields = (Field("top", "int", str(spec.top), "of each sample"),)
        construct = f"{name}(config.{node.name})"
        return NodePage("sampler/candidates.py.j2", view, name, fields, construct, (call,))


COMPONENT = CandidatesComponent()
