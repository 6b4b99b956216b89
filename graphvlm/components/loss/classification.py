"""`loss/classification`: cross entropy of the scores of a sample and its class."""

from __future__ import annotations

from ...dims import Var
from ...ir import Node
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature
from ._common import LOSS, Loss, loss_page, parse_distill, smoothing_of


class ClassificationComponent:
    """Ports and line of `loss/classification`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, classes = Var(f"{name}.batch", "batch"), Var(f"{name}.classes", "classes")
        return Signature(
            inputs={
                "scores": Port("scores", (batch, classes)),
                "classes": Port("classes", (batch,)),
                "teacher": Port("scores", (batch, classes), optional=True),
            },
            outputs={"loss": LOSS},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Loss:
        distill = parse_distill(settings, inferred, ("teacher",), problems)
        return Loss("classification loss", smoothing_of(settings), distill)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        read = (wiring.arguments["scores"], wiring.arguments["classes"])
        teacher = {"teacher": wiring.arguments["teacher"]} if "teacher" in node.inputs else {}
        return loss_page(node, wiring, "classification_loss", read, teacher)


COMPONENT = ClassificationComponent()
