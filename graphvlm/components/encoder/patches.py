"""`encoder/patches`: images of different sizes, padded to one or cut already, as one sequence of patches and the grid
of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...code import Field, Statement
from ...diagnostics import Label
from ...dims import Dim, Many, Sum, Var, Written
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec
from ._order import check_read

Cut = Literal["row", "apart"]


@dataclass(frozen=True, slots=True)
class Patches(Spec):
    """Decided patches of `size` by `size` pixels, in blocks of `group` by `group`. They may come `cut`: side by
    side in one `row`, or each `apart`, as an image of its own."""

    size: int
    channels: int
    group: int
    cut: Cut | None

    @property
    def numbers(self) -> int:
        return self.channels * self.size**2

    def summary(self) -> str:
        blocks = f", in blocks of {self.group} x {self.group}" if self.group > 1 else ""
        return f"patches of {self.size} px{blocks}"

    def resolved(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class PatchesView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    summary: str
    image: str
    numbers: int
    group: int
    cut: Cut | None


class PatchesComponent:
    """Ports and page of `encoder/patches`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        images, channels = Var(f"{name}.images", "images"), Var(f"{name}.channels", "channels")
        height, width = Var(f"{name}.height", "height"), Var(f"{name}.width", "width")
        spec, patches = _spec(settings), Var(f"{name}.patches", "patches")
        image: tuple[Dim, ...] = (images, channels, height, width)
        if spec.cut == "row":
            image = (1, channels, spec.size, Sum((Many(spec.size, patches),)))
        elif spec.cut == "apart":
            image = (patches, channels, spec.size, spec.size)
        measured = spec.cut != "apart"
        return Signature(
            inputs={
                "image": Port("image", image),
                **({"sizes": Port("sizes", (images, 2))} if measured else {}),
            },
            outputs={
                "patches": Port("patches", (patches, spec.numbers)),
                **({"grid": Port("grid", (images, 3))} if measured else {}),
            },
            absent={} if measured else {"grid": Label(settings.span("cut"), "their grid is not read here")},
            written={channels: Written(spec.channels, settings.span("patch"), name)},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Patches:
        check_read(inferred.node, "patches", settings, _UNREAD, problems)
        if settings.has("cut") and settings.has("patch", "group"):
            problems.error(
                "unread-setting",
                f"`patch.group` of `{inferred.node}` is not read: patches that are cut already stay as they are",
                settings.span("patch", "group"),
                help="remove `group`, or `cut`",
            )
        return _spec(settings)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Patches)
        name = class_name(node.name)
        image = f"[images, {spec.channels}, height, width]"
        if spec.cut == "apart":
            image = f"[patches, {spec.channels}, {spec.size}, {spec.size}]"
        view = PatchesView(node.name, name, f"{name}Config", spec.summary(), image, spec.numbers, spec.group, spec.cut)
        fields = [] if spec.cut == "apart" else [Field("patch_size", "int", str(spec.size))]
        if spec.group > 1:
            fields.append(Field("group", "int", str(spec.group), "side of the blocks of patches that stand together"))
        ports = ("patches",) if spec.cut == "apart" else ("patches", "grid")
        call = Statement(
            ", ".join(wiring.results.get(port, "_") for port in ports),
            f"self.{node.module}",
            tuple(wiring.arguments[port] for port in node.inputs),
            wiring.shapes["patches"],
        )
        construct = f"{name}(config.{node.name})" if fields else f"{name}()"
        return NodePage("encoder/patches.py.j2", view, name, tuple(fields), construct, (call,))


_UNREAD = (("patch", "frames"), ("patch", "bias"), ("patch", "norm"), ("patch", "remainder"), ("patch", "partial"))


def _spec(settings: Settings) -> Patches:
    return Patches(
        size=int(settings.get("patch", "size")),
        channels=int(settings.get("patch", "channels", default=3)),
        group=int(settings.get("patch", "group", default=1)),
        cut=settings.get("cut"),
    )


COMPONENT = PatchesComponent()
