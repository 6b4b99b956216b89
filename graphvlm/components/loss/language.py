"""`loss/language`: cross entropy of tokens, each predicting the next one, or masked ones predicting themselves."""

from __future__ import annotations

from dataclasses import dataclass

from ...dims import Var
from ...ir import Node
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature
from ._common import LOSS, Loss, loss_page, parse_distill, smoothing_of


@dataclass(frozen=True, slots=True)
class Language(Loss):
    """A decided loss of tokens; with `shift` a token predicts the label of the next one.

    If it is `weighted`, rows are answers of samples: their losses are sums over tokens, and each has a weight.
    """

    shift: bool = True
    weighted: bool = False


class LanguageComponent:
    """Ports and line of `loss/language`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, seq, vocab = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq"), Var(f"{name}.vocab", "vocab")
        return Signature(
            inputs={
                "logits": Port("logits", (batch, seq, vocab)),
                "labels": Port("labels", (batch, seq)),
                "teacher": Port("logits", (batch, seq, vocab), optional=True),
                "weights": Port("weights", (batch,), optional=True),
                "repeats": Port("repeats", (Var(f"{name}.samples", "batch"),), optional=True),
            },
            outputs={"loss": LOSS},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Language:
        shift = bool(settings.get("shift", default=True))
        if len({"weights", "repeats"} & inferred.inputs.keys()) == 1:
            problems.error(
                "bad-weights",
                f"`{inferred.node}` knows by half how rows count: `weights` are of rows, `repeats` say whose they are",
                settings.span("inputs"),
                help="feed both, or neither",
            )
        weighted = "weights" in inferred.inputs
        words = "loss of next tokens" if shift else "loss of masked tokens"
        distill = parse_distill(settings, inferred, ("teacher",), problems)
        return Language(words, smoothing_of(settings), distill, shift, weighted)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Language)
        before, after = ("[:, :-1]", "[:, 1:]") if spec.shift else ("", "")
        read = (f"{wiring.arguments['logits']}{before}", f"{wiring.arguments['labels']}{after}")
        teacher = {"teacher": f"{wiring.arguments['teacher']}{before}"} if spec.distill else {}
        rows = f"({wiring.arguments.get('weights', '')}, {wiring.arguments.get('repeats', '')})"
        return loss_page(node, wiring, "language_loss", read, teacher | ({"rows": rows} if spec.weighted else {}))


COMPONENT = LanguageComponent()
