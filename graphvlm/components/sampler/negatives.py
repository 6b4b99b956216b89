"""`sampler/negatives`: pairs of a batch, and pairs that do not belong together though they look so.

For each text another image is drawn, then for each image another text, by how alike they are. Streams become three
times as long: pairs as they are, texts with other images, images with other texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, Statement, literal
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec

# The streams that can be drawn from, and whether another image or another text is taken of each.
_OF_TEXT = {"image": False, "text": True, "tokens": True, "mask": True}


@dataclass(frozen=True, slots=True)
class Negatives(Spec):
    """Decided pairs: the connected `streams`, and the probability `floor` that unlike ones have at least.

    With `by_id`, samples whose ids are equal belong together too, and none is drawn for the other. If it `gathers`,
    others are those of all ranks.
    """

    streams: tuple[str, ...]
    floor: float
    by_id: bool = False
    gathers: bool = False

    def summary(self) -> str:
        return "pairs, and pairs that look alike"


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream: its name, whether there may be none, and from what each row of the two kinds of pairs is taken."""

    name: str
    optional: bool
    of_text: bool


@dataclass(frozen=True, slots=True)
class NegativesView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    streams: tuple[Stream, ...]
    floor: bool
    by_id: bool
    gathers: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        given = (f"{each.name}: Tensor{' | None' if each.optional else ''}" for each in self.streams)
        ids = ("ids: Tensor",) if self.by_id else ()
        return ("self", "image_to_text: Tensor", "text_to_image: Tensor", *ids, *given)

    @property
    def returns(self) -> str:
        """What `forward` gives: the streams and the classes."""
        types = (f"Tensor{' | None' if each.optional else ''}" for each in self.streams)
        return f"tuple[{', '.join((*types, 'Tensor'))}]"

    @property
    def masked(self) -> bool:
        return any(each.optional for each in self.streams)


class NegativesComponent:
    """Ports and page of `sampler/negatives`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        given = settings.get("inputs")
        wired = given if isinstance(given, dict) else {}
        batch, seq = Var(f"{name}.batch", "batch"), Var(f"{name}.seq", "seq", free="tokens" in wired)
        tokens, dim, width = Var(f"{name}.tokens", "tokens"), Var(f"{name}.dim", "dim"), Var(f"{name}.width", "dim")
        vocab = Var(f"{name}.vocab", "vocab")
        keys = {side: Var(f"{name}.{side}_keys", "keys") for side in ("image", "text")}
        scores = {
            "image_to_text": Port("scores", (batch, keys["text"])),
            "text_to_image": Port("scores", (batch, keys["image"])),
            "ids": Port("classes", (batch,), optional=True),
        }
        rows = Sum((Many(3, batch),))
        ports = {
            "image": Port("features", (batch, tokens, dim)),
            "text": Port("features", (batch, seq, width), vocab=vocab, tail=seq),
            "tokens": Port("tokens", (batch, seq)),
            "mask": Port("mask", (batch, seq)),
        }
        given_out = {
            "image": Port("features", (rows, tokens, dim)),
            "text": Port("features", (rows, seq, width), vocab=vocab, tail=seq),
            "tokens": Port("tokens", (rows, seq)),
            "mask": Port("mask", (rows, seq)),
        }
        streams = {port: _optional(found, port, wired) for port, found in ports.items()}
        outputs = {port: found for port, found in given_out.items() if port in wired or port == "mask"}
        stream = "tokens" if "tokens" in wired else "text" if "text" in wired else ""
        return Signature(
            inputs={**scores, **streams},
            outputs={**outputs, "classes": Port("classes", (rows,))},
            stream=stream,
            aside=frozenset(("image", "classes")),
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Negatives:
        streams = tuple(port for port in _OF_TEXT if port in inferred.inputs)
        if "image" not in streams or len({"text", "tokens"} & {*streams}) != 1:
            problems.error(
                "bad-negatives",
                f"`{inferred.node}` makes pairs of images and texts: it reads `image`, and `text` or `tokens`",
                settings.span("inputs"),
                help="write `inputs: {image_to_text: ..., text_to_image: ..., image: ..., text: ...}`",
            )
        floor, gathers = float(settings.get("floor", default=0.0)), bool(settings.get("gather", default=False))
        return Negatives(streams, floor, "ids" in inferred.inputs, gathers)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Negatives)
        name, ids = class_name(node.name), ("ids",) if spec.by_id else ()
        read = ("image_to_text", "text_to_image", *ids, *spec.streams)
        targets = [wiring.results.get(port, "_") for port in (*spec.streams, "classes")]
        call = Statement(", ".join(targets), f"self.{node.module}", tuple(wiring.arguments[port] for port in read))
        streams = tuple(Stream(port, port == "mask", _OF_TEXT[port]) for port in spec.streams)
        view = NegativesView(node.name, name, f"{name}Config", streams, bool(spec.floor), spec.by_id, spec.gathers)
        fields = (Field("floor", "float", literal(spec.floor), "probability of the unlikeliest"),) if spec.floor else ()
        construct = f"{name}(config.{node.name})" if spec.floor else f"{name}()"
        helpers = frozenset(("gathered_first",)) if spec.gathers else frozenset[str]()
        return NodePage("sampler/negatives.py.j2", view, name, fields, construct, (call,), helpers=helpers)


def _optional(port: Port, name: str, wired: dict[str, object]) -> Port:
    """The port, which may stay open; whether enough are connected is said in one message."""
    return Port(port.what, port.shape, optional=True, vocab=port.vocab, tail=port.tail, skippable=name == "mask")


COMPONENT = NegativesComponent()
