"""`loss/contrastive`: each image has to find its text among many, and each text its image."""

from __future__ import annotations

from ...code import NodePage, Wiring
from ...component import Inferred, Port, Signature
from ...dims import Var
from ...ir import Node
from ...problems import Problems
from ...settings import Settings
from ._common import LOSS, Loss, loss_page, smoothed


class ContrastiveComponent:
    """Ports and line of `loss/contrastive`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, texts, images = (
            Var(f"{name}.batch", "batch"),
            Var(f"{name}.texts", "keys"),
            Var(f"{name}.images", "keys"),
        )
        return Signature(
            inputs={
                "image_to_text": Port("scores", (batch, texts)),
                "text_to_image": Port("scores", (batch, images)),
            },
            outputs={"loss": LOSS},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Loss:
        return Loss("contrastive loss", float(settings.get("smoothing", default=0.0)))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Loss)
        read = (wiring.arguments["image_to_text"], wiring.arguments["text_to_image"])
        return loss_page(node, wiring, "contrastive_loss", read, smoothed(spec))


COMPONENT = ContrastiveComponent()
