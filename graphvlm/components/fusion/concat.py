"""`fusion/concat`: features of the same tokens side by side, or tokens of the same images behind each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...blocks.expressions import activated
from ...diagnostics import Label
from ...dims import show_shape
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Signature, Spec
from ._streams import one_call, rows_signature, streams_signature

Order = Literal["side_by_side", "behind", "alternate"]
_WORDS = {"side_by_side": "side by side", "behind": "behind each other", "alternate": "token by token in turn"}

_JOINED = {
    "side_by_side": "torch.cat(streams, dim=-1)",
    "behind": "torch.cat(streams, dim=1)",
    "alternate": "torch.stack(streams, dim=2).flatten(1, 2)",
}


@dataclass(frozen=True, slots=True)
class Concat(Spec):
    """Decided streams, where each stands, and the activation of all of them together, if there is one.

    Where tokens may be padding, `masks` are the ports that say which are.
    """

    ports: tuple[str, ...]
    activation: str
    order: Order
    masks: tuple[str, ...] = ()

    def summary(self) -> str:
        return f"{len(self.ports)} streams {_WORDS[self.order]}"


@dataclass(frozen=True, slots=True)
class ConcatView:
    """What the template places; `summary` is what the module does, `joined` the expression of the streams together."""

    name: str
    class_name: str
    summary: str
    joined: str
    ports: tuple[str, ...]
    masks: tuple[str, ...]
    activation: str
    output: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("self", *(f"{port}: Tensor" for port in self.ports), *(f"{port}: Tensor | None" for port in self.masks))

    @property
    def mask_of(self) -> tuple[str, ...]:
        """The mask of each stream."""
        masks = (f"{port}_mask" for port in self.ports)
        return tuple(mask if mask in self.masks else "None" for mask in masks)

    @property
    def functional(self) -> bool:
        return bool(self.activation) and self.activation != "quick_gelu"

    def activated(self, value: str) -> str:
        """The activation applied to the expression `value`."""
        return activated(self.activation, value)


class ConcatComponent:
    """Ports and page of `fusion/concat`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        order = _order(settings)
        if order == "side_by_side":
            return streams_signature(name, settings, wider=True)
        return rows_signature(name, settings, alternate=order == "alternate")

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Concat:
        order = _order(settings)
        if order == "behind":
            _check_images(settings, inferred, problems)
        elif settings.has("interleave") and order == "side_by_side":
            message = f"`interleave` of `{inferred.node}` is about tokens, and features of one token stand side by side"
            edit = "write `axis: tokens` too, or remove `interleave`"
            problems.error("unread-setting", message, settings.span("interleave"), help=edit)
        masks = tuple(port for port, found in inferred.inputs.items() if found.what == "mask")
        ports = tuple(port for port in inferred.inputs if port not in masks)
        return Concat(ports, settings.get("activation", default=""), order, masks)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Concat)
        name, output = class_name(node.name), show_shape(node.signature.outputs["features"].shape)
        what = "features of the same tokens" if spec.order == "side_by_side" else "tokens of the same images"
        view = ConcatView(
            name=node.name,
            class_name=name,
            summary=f"{what} {_WORDS[spec.order]}",
            joined=_JOINED[spec.order],
            ports=spec.ports,
            masks=spec.masks,
            activation=spec.activation,
            output=output,
        )
        calls = one_call(node, wiring, masked=bool(spec.masks))
        return NodePage("fusion/concat.py.j2", view, name, (), f"{name}()", calls)


def _order(settings: Settings) -> Order:
    """Where the streams stand."""
    if settings.get("axis", default="features") == "features":
        return "side_by_side"
    return "alternate" if settings.get("interleave", default=False) else "behind"


def _check_images(settings: Settings, inferred: Inferred, problems: Problems) -> None:
    """Tokens can stand behind those of the same image where images have rows of their own."""
    first = next(iter(inferred.inputs.values()))
    if first.shape[0] == 1:
        problems.clash(
            "packed-images",
            f"`{inferred.node}` puts tokens behind each other, and all images that it is given share one row: those of "
            "one image would come apart",
            Label(settings.span("axis"), "behind each other"),
            help="write `interleave: true`, or `axis: features` to join the features of each token",
        )


COMPONENT = ConcatComponent()
