"""What random graphs learn by: heads on what encoders see, and the losses of what these say."""

from __future__ import annotations

from ..block_strategies import ACTIVATIONS
from .flow import Features, Growing


def objectives(made: Growing, found: list[Features]) -> None:
    """Classes of some features, others compared with each other; two losses are summed, or not."""
    seen = [each for each in found if each.rows.startswith("of ") and each.dim and not each.mask and not each.measured]
    if not seen:
        return
    losses = []
    if len(seen) < 2 or made.chance():
        losses.append(_classes(made, made.pick(*seen)))
    if len(seen) > 1:
        losses.append(_likeness(made, seen[0], seen[1]))
    if len(losses) > 1 and made.chance():
        reads = {f"loss_{index}": loss for index, loss in enumerate(losses)}
        made.node("loss/sum", reads, **made.maybe(weights=lambda: {"loss_0": 0.5}))


def _classes(made: Growing, source: Features) -> str:
    scores = made.node(
        "head/classifier",
        source.ref,
        classes=5,
        **made.maybe(
            pool=lambda: made.pick("mean", "first"),
            hidden=lambda: 14,
            bias=made.chance,
        ),
    )
    if "hidden" in made.nodes[scores] and made.chance():
        made.nodes[scores]["activation"] = made.pick(*ACTIVATIONS)
    reads = {"scores": scores, "classes": made.input("topic", "classes")}
    return made.node("loss/classification", reads, **made.maybe(smoothing=lambda: 0.1))


def _likeness(made: Growing, left: Features, right: Features) -> str:
    one, other = (_vector(made, each) for each in (left, right))
    likeness = made.node(
        "head/similarity",
        {"image": one, "text": other},
        **made.maybe(temperature=lambda: made.pick(0.07, {"init": 0.5, "min": 0.01, "max": 0.9})),
    )
    reads = {port: f"{likeness}.{port}" for port in ("image_to_text", "text_to_image")}
    return made.node("loss/contrastive", reads, **made.maybe(smoothing=lambda: 0.1))


def _vector(made: Growing, source: Features) -> str:
    pool = made.maybe(pool=lambda: made.pick("mean", "first"), normalize=made.chance, bias=made.chance)
    return made.node("head/projection", source.ref, out=8, **pool)
