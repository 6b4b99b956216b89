"""`loss/classification`: cross entropy of the scores of a sample and its class."""

from __future__ import annotations

from ...code import NodePage, Wiring
from ...component import Inferred, Port, Signature
from ...dims import Var
from ...ir import Node
from ...problems import Problems
from ...settings import Settings
from ._common import LOSS, Loss, loss_page, smoothed


class ClassificationComponent:
    """Ports and line of `loss/classification`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, classes = Var(f"{name}.batch", "batch"), Var(f"{name}.classes", "classes")
        return Signature(
            inputs={"scores": Port("scores", (batch, classes)), "classes": Port("classes", (batch,))},
            outputs={"loss": LOSS},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Loss:
        return Loss("classification loss", float(settings.get("smoothing", default=0.0)))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Loss)
        read = (wiring.arguments["scores"], wiring.arguments["classes"])
        return loss_page(node, wiring, "classification_loss", read, smoothed(spec))


COMPONENT = ClassificationComponent()
