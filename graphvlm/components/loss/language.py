"""`loss/language`: cross entropy of tokens, each predicting the next one, or masked ones predicting themselves."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import NodePage, Wiring
from ...component import Inferred, Port, Signature
from ...dims import Var
from ...ir import Node
from ...problems import Problems
from ...settings import Settings
from ._common import LOSS, Loss, loss_page, parse_distill, smoothing_of


@dataclass(frozen=True, slots=True)
class Language(Loss):
    """A decided loss of tokens; with `shift` a token predicts the label of the next one."""

    shift: bool = True


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
            },
            outputs={"loss": LOSS},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Language:
        shift = bool(settings.get("shift", default=True))
        words = "loss of next tokens" if shift else "loss of masked tokens"
        return Language(words, smoothing_of(settings), parse_distill(settings, inferred, ("teacher",), problems), shift)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Language)
        before, after = ("[:, :-1]", "[:, 1:]") if spec.shift else ("", "")
        read = (f"{wiring.arguments['logits']}{before}", f"{wiring.arguments['labels']}{after}")
        teacher = {"teacher": f"{wiring.arguments['teacher']}{before}"} if spec.distill else {}
        return loss_page(node, wiring, "language_loss", read, teacher)


COMPONENT = LanguageComponent()
