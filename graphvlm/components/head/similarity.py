"""`head/similarity`: products of the vectors of images and texts, over a learned temperature or as they are.

Where one side has several vectors a sample, the most alike counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...blocks.parameters import Parameter, plain
from ...code import Field, Statement, literal
from ...dims import Dim, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec


@dataclass(frozen=True, slots=True)
class Similarity(Spec):
    """Decided scores; `temperature` is what the learned divisor starts at, if there is one, `bounds` what it may be.

    If it `gathers`, vectors are compared with those of all ranks. One side may have several vectors a sample, and the
    most alike counts (`max_over`). With `paired`, a sample is compared with its own partner alone. If they are not
    `keyed`, no gradient goes back to those that vectors are compared with.
    """

    temperature: float | None
    bounds: tuple[float, float] | None = None
    gathers: bool = False
    max_over: str = ""
    paired: bool = False
    keyed: bool = True

    def parameters(self) -> tuple[Parameter, ...]:
        return () if self.temperature is None else (plain("temperature", 1),)

    def summary(self) -> str:
        return "similarity" if self.temperature is None else f"similarity, temperature {literal(self.temperature)}"


@dataclass(frozen=True, slots=True)
class SimilarityView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    temperature: bool
    max_over: str
    paired: bool

    @property
    def other(self) -> str:
        """The side that has one vector a sample."""
        return "text" if self.max_over == "image" else "image"

    @property
    def over(self) -> str:
        """What scores are divided by."""
        return " / self.temperature" if self.temperature else ""


class SimilarityComponent:
    """Ports and page of `head/similarity`; without a temperature it is a product in `model.py`."""

    modules = frozenset(("temperature",))

    def signature(self, name: str, settings: Settings) -> Signature:
        dim = Var(f"{name}.dim", "dim")
        images, texts = Var(f"{name}.images", "images"), Var(f"{name}.texts", "texts")
        given = settings.get("inputs")
        keys = {side: Var(f"{name}.{side}_keys", "keys") for side in ("image", "text")}
        wired = {side for side in keys if isinstance(given, dict) and f"{side}_keys" in given}
        gathers = bool(settings.get("gather", default=False))
        wired |= set(keys) if gathers else set()
        many = settings.get("max_over", default="")
        sides = {"image": images, "text": texts}
        vectors = {side: _vector(name, side, batch, dim, many=side == many) for side, batch in sides.items()}
        if settings.get("paired", default=False):
            one = {side: _vector(name, side, images, dim, many=side == many) for side in sides}
            return Signature(inputs=one, outputs={"scores": Port("scores", (images, 1))})
        key_ports = {
            f"{side}_keys": replace(_vector(f"{name}.keys", side, keys[side], dim, many=side == many), optional=True)
            for side in keys
        }
        return Signature(
            inputs={**vectors, **key_ports},
            outputs={
                "image_to_text": Port("scores", (images, keys["text"] if "text" in wired else texts)),
                "text_to_image": Port("scores", (texts, keys["image"] if "image" in wired else images)),
            },
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Similarity:
        gathers = bool(settings.get("gather", default=False))
        if gathers and {"image_keys", "text_keys"} & inferred.inputs.keys():
            problems.error(
                "unread-setting",
                f"`gather` of `{inferred.node}` is of the vectors themselves, and it compares them with keys",
                settings.span("gather"),
                help="remove `gather`: a queue keeps what all ranks gave",
            )
        paired, many = bool(settings.get("paired", default=False)), settings.get("max_over", default="")
        unread = next((key for key in ("gather", "key_grad") if paired and settings.has(key)), None)
        if unread is not None:
            problems.error(
                "unread-setting",
                f"`{unread}` of `{inferred.node}` is of others than the partner of a sample, and it compares with none",
                settings.span(unread),
                help=f"remove `{unread}`, or `paired`",
            )
        keyed = bool(settings.get("key_grad", default=True))
        found = settings.get("temperature")
        if not isinstance(found, dict):
            start = None if found is None else float(found)
            return Similarity(start, gathers=gathers, max_over=many, paired=paired, keyed=keyed)
        low, start, high = (float(found[key]) for key in ("min", "init", "max"))
        if not low <= start <= high:
            problems.error(
                "bad-temperature",
                f"the temperature of `{inferred.node}` starts outside of {literal(low)} to {literal(high)}",
                settings.span("temperature", "init"),
                help="write `min` <= `init` <= `max`",
            )
        return Similarity(start, (low, high), gathers, many, paired, keyed)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Similarity)
        name = class_name(node.name)
        view = SimilarityView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            summary=spec.summary(),
            temperature=spec.temperature is not None,
            max_over=spec.max_over,
            paired=spec.paired,
        )
        own = view.temperature or bool(spec.max_over) or spec.paired
        fields = (Field("temperature", "float", literal(spec.temperature), "at the start"),) if view.temperature else ()
        construct = "" if not own else f"{name}(config.{node.name})" if view.temperature else f"{name}()"
        begin: tuple[Statement, ...] = ()
        if spec.bounds:
            begin = (Statement("", f"self.{node.module}.temperature.clamp_", tuple(map(literal, spec.bounds))),)
        return NodePage(
            "head/similarity.py.j2" if own else "",
            view,
            name,
            fields,
            construct,
            tuple(_calls(node, spec, wiring, own=own)),
            functions={"gathered_first": frozenset()} if spec.gathers else {},
            begin=begin,
            methods=_METHODS if spec.max_over and not spec.paired else (),
        )


_METHODS = ("image_to_text", "text_to_image")


def _vector(node: str, side: str, batch: Dim, dim: Dim, *, many: bool) -> Port:
    """A port of one vector a sample, or of several."""
    return (
        Port("features", (batch, Var(f"{node}.{side}.tokens", "tokens"), dim)) if many else Port("vector", (batch, dim))
    )


def _calls(node: Node, spec: Similarity, wiring: Wiring, *, own: bool) -> Iterator[Statement]:
    """The lines of `model.py`: one for each direction that is read."""
    if spec.paired:
        read = (wiring.arguments["image"], wiring.arguments["text"])
        yield Statement(wiring.results["scores"], f"self.{node.module}", read, wiring.shapes["scores"])
    for side, other in (("image", "text"), ("text", "image")):
        port = f"{side}_to_{other}"
        if port in wiring.results:
            keys = wiring.arguments.get(f"{other}_keys", wiring.arguments[other])
            keys = keys if spec.keyed else f"{keys}.detach()"
            keys = f"gathered_first({keys})" if spec.gathers else keys
            method = f".{port}" if spec.max_over else ""
            function = f"self.{node.module}{method}" if own else "F.linear"
            yield Statement(wiring.results[port], function, (wiring.arguments[side], keys), wiring.shapes[port])


COMPONENT = SimilarityComponent()
