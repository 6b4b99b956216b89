"""`head/similarity`: products of the vectors of images and texts, over a learned temperature or as they are."""

from __future__ import annotations

from dataclasses import dataclass

from ...blocks.parameters import Parameter, plain
from ...code import Field, NodePage, Statement, Wiring, literal
from ...component import Inferred, Port, Signature, Spec
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...problems import Problems
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Similarity(Spec):
    """Decided scores; `temperature` is what the learned divisor starts at, if there is one, `bounds` what it may be.

    If it `gathers`, vectors are compared with those of all ranks.
    """

    temperature: float | None
    bounds: tuple[float, float] | None = None
    gathers: bool = False

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
        return Signature(
            inputs={
                "image": Port("vector", (images, dim)),
                "text": Port("vector", (texts, dim)),
                **{f"{side}_keys": Port("vector", (keys[side], dim), optional=True) for side in keys},
            },
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
        found = settings.get("temperature")
        if not isinstance(found, dict):
            return Similarity(None if found is None else float(found), gathers=gathers)
        low, start, high = (float(found[key]) for key in ("min", "init", "max"))
        if not low <= start <= high:
            problems.error(
                "bad-temperature",
                f"the temperature of `{inferred.node}` starts outside of {literal(low)} to {literal(high)}",
                settings.span("temperature", "init"),
                help="write `min` <= `init` <= `max`",
            )
        return Similarity(start, (low, high), gathers)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Similarity)
        name, own = class_name(node.name), spec.temperature is not None
        calls, functions = [], {"gathered_first": frozenset[str]()} if spec.gathers else {}
        for side, other in (("image", "text"), ("text", "image")):
            port = f"{side}_to_{other}"
            if port in wiring.results:
                keys = wiring.arguments.get(f"{other}_keys", wiring.arguments[other])
                keys = f"gathered_first({keys})" if spec.gathers else keys
                function = f"self.{node.module}" if own else "F.linear"
                calls.append(
                    Statement(wiring.results[port], function, (wiring.arguments[side], keys), wiring.shapes[port])
                )
        fields = (Field("temperature", "float", literal(spec.temperature), "at the start"),) if own else ()
        view = SimilarityView(node.name, name, f"{name}Config", spec.summary())
        template, construct = ("head/similarity.py.j2", f"{name}(config.{node.name})") if own else ("", "")
        begin: tuple[Statement, ...] = ()
        if spec.bounds:
            begin = (Statement("", f"self.{node.module}.temperature.clamp_", tuple(map(literal, spec.bounds))),)
        return NodePage(template, view, name, fields, construct, tuple(calls), functions=functions, begin=begin)


COMPONENT = SimilarityComponent()
