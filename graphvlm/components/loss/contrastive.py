"""`loss/contrastive`: each image has to find its text among many, and each text its image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...dims import Var
from ...ir import Node
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature
from ._common import LOSS, Loss, loss_page, parse_distill, smoothing_of


@dataclass(frozen=True, slots=True)
class Contrastive(Loss):
    """A decided contrastive loss; `by_id` if samples whose ids are equal belong together; those of all ranks, if it
    `gathers`."""

    by_id: bool = False
    gathers: bool = False


class ContrastiveComponent:
    """Ports and line of `loss/contrastive`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        batch, texts, images = (
            Var(f"{name}.batch", "batch"),
            Var(f"{name}.texts", "keys"),
            Var(f"{name}.images", "keys"),
        )
        scores = {"image_to_text": Port("scores", (batch, texts)), "text_to_image": Port("scores", (batch, images))}
        teacher = {f"{port}_teacher": replace(found, optional=True) for port, found in scores.items()}
        ids = {
            "ids": Port("classes", (batch,), optional=True),
            "key_ids": Port("classes", (texts,), optional=True),
        }
        return Signature(inputs={**scores, **teacher, **ids}, outputs={"loss": LOSS})

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Contrastive:
        gathers, given = bool(settings.get("gather", default=False)), {"ids", "key_ids"} & inferred.inputs.keys()
        if gathers and given != {"ids"}:
            problems.error(
                "unread-setting",
                f"`gather` of `{inferred.node}` is of `ids`, which columns have from all ranks: it reads these alone",
                settings.span("gather"),
                help="feed `ids` and no `key_ids`, or remove `gather`",
            )
        elif len(given) == 1 and not gathers:
            problems.error(
                "bad-distill",
                f"`{inferred.node}` is told which samples belong together by half: it compares `ids` with `key_ids`",
                settings.span("inputs"),
                help="feed both, or neither",
            )
        distill = parse_distill(settings, inferred, _TEACHER, problems)
        return Contrastive("contrastive loss", smoothing_of(settings), distill, "ids" in inferred.inputs, gathers)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Contrastive)
        read = (wiring.arguments["image_to_text"], wiring.arguments["text_to_image"])
        options: dict[str, str] = {}
        if spec.by_id:
            own = wiring.arguments["ids"]
            options["ids"] = f"({own}, {f'gathered_first({own})' if spec.gathers else wiring.arguments['key_ids']})"
        if spec.distill:
            options["teacher"] = f"({', '.join(wiring.arguments[port] for port in _TEACHER)})"
        page = loss_page(node, wiring, "contrastive_loss", read, options)
        more = {"gathered_first": frozenset[str]()} if spec.gathers else {}
        return replace(page, functions={**page.functions, **more})


_TEACHER = ("image_to_text_teacher", "text_to_image_teacher")
COMPONENT = ContrastiveComponent()
