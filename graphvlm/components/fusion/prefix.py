"""`fusion/prefix`: features of another modality stand before the text, in one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...code import Field, Statement
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, sizes_of


@dataclass(frozen=True, slots=True)
class Prefix(Spec):
    """A decided prefix of so many `images` a text; `masks` are the ports with masks: of the text, of the image."""

    dim: int
    images: int
    masks: tuple[str, ...]

    def summary(self) -> str:
        of = f" of {self.images} images" if self.images > 1 else ""
        return f"prefix, image tokens{of} before the text"

    def resolved(self) -> dict[str, Any]:
        return {"dim": self.dim}


@dataclass(frozen=True, slots=True)
class PrefixView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    images: int
    masks: tuple[str, ...]


class PrefixComponent:
    """Ports and page of `fusion/prefix`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        sizes, written = sizes_of(name, settings, "dim")
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq")
        tokens = Var(f"{name}.tokens", "tokens")
        vocab, tail = Var(f"{name}.vocab", "vocab"), Var(f"{name}.tail", "seq")
        images = int(settings.get("images", default=1))
        both = Sum((Many(images, tokens) if images > 1 else tokens, seq))
        of_image = Sum((Many(images, batch),)) if images > 1 else batch
        only_text = settings.get("logits", default="text") == "text"
        return Signature(
            inputs={
                "text": Port("features", (batch, seq, sizes["dim"]), vocab=vocab, tail=tail),
                "image": Port("features", (of_image, tokens, sizes["dim"]), skippable=True),
                "mask": Port("mask", (batch, seq), optional=True),
                "image_mask": Port("mask", (of_image, tokens), optional=True, skippable=True, of="image"),
            },
            outputs={
                "features": Port(
                    "features", (batch, both, sizes["dim"]), vocab=vocab, tail=tail if only_text else both
                ),
                "mask": Port("mask", (batch, both)),
            },
            sizes=sizes,
            written=written,
            stream="text",
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Prefix:
        masks = tuple(port for port in ("mask", "image_mask") if port in inferred.inputs)
        return Prefix(inferred.sizes["dim"], int(settings.get("images", default=1)), masks)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Prefix)
        name = class_name(node.name)
        arguments = [wiring.arguments[port] for port in ("text", "image", *spec.masks)]
        targets, shape = wiring.results["features"], wiring.shapes["features"]
        if spec.masks:
            targets = f"{targets}, {wiring.results.get('mask', '_')}"
        call = Statement(targets, f"self.{node.module}", tuple(arguments), shape)
        several = spec.images > 1
        fields = (Field("images", "int", str(spec.images), "of each text"),) if several else ()
        view = PrefixView(node.name, name, f"{name}Config", spec.images, spec.masks)
        construct = f"{name}(config.{node.name})" if several else f"{name}()"
        return NodePage("fusion/prefix.py.j2", view, name, fields, construct, (call,))


COMPONENT = PrefixComponent()
