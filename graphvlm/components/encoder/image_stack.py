"""`encoder/image_stack`: the images in stacks of images that were filled up to the same number.

A stack is the images of one prompt, or, with `tiling`, one image and the tiles that it was cut into.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, Statement, literal
from ...diagnostics import Label
from ...dims import Var, Written
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec, counted


@dataclass(frozen=True, slots=True)
class ImageStack(Spec):
    """A decided stack. Where images are cut: the side of a tile, and the resolutions in pixels, smallest first.

    Without resolutions images are not scaled but padded to whole tiles.
    `counted` if it is told how many images each prompt has, `masked` if pixels have a mask.
    """

    tile: int = 0
    resolutions: tuple[tuple[int, int], ...] = ()
    counted: bool = False
    masked: bool = False

    def summary(self) -> str:
        if not self.tile:
            return "image stack"
        kinds = f", {counted(len(self.resolutions), 'resolution')}" if self.resolutions else ""
        return f"image stack, tiles of {self.tile} px{kinds}"


@dataclass(frozen=True, slots=True)
class ImageStackView:
    """What the template places."""

    name: str
    class_name: str
    config: str
    tiled: bool
    chosen: bool
    counted: bool
    masked: bool
    stack: str
    image: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        sizes = ("sizes: Tensor",) if self.tiled else ()
        counts = ("counts: Tensor | None",) if self.counted else ()
        mask = ("stack_mask: Tensor | None",) if self.masked else ()
        return ("self", "stack: Tensor", *sizes, *counts, *mask)

    @property
    def returns(self) -> str:
        """What `forward` returns."""
        if self.tiled:
            return "tuple[Tensor, Tensor]"
        return "tuple[Tensor, Tensor | None]" if self.masked else "Tensor"


class ImageStackComponent:
    """Ports, checks and page of `encoder/image_stack`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        tiled = settings.has("tiling")
        stacks, inside = Var(f"{name}.stacks", "images" if tiled else "batch"), Var(f"{name}.inside", "depth")
        images = Var(f"{name}.images", "tiles" if tiled else "images")
        channels, height, width = (Var(f"{name}.{axis}", axis) for axis in ("channels", "height", "width"))
        written: dict[Var, Written] = {}
        inputs = {"stack": Port("stack", (stacks, inside, channels, height, width))}
        outputs = {"image": Port("image", (images, channels, height, width))}
        if tiled:
            size = Written(int(settings.get("tiling", "size")), settings.span("tiling", "size"), name)
            written |= {height: size, width: size}
            inputs["sizes"] = Port("sizes", (stacks, 2))
            inputs["counts"] = Port("counts", (Var(f"{name}.batch", "batch"),), optional=True)
            outputs["grid"] = Port("sizes", (stacks, 2))
        else:
            inputs["stack_mask"] = Port("stack_mask", (stacks, inside, height, width), optional=True)
        absent = {}
        if not tiled and isinstance(settings.get("inputs"), dict) and settings.has("inputs", "stack_mask"):
            outputs["pixel_mask"] = Port("pixel_mask", (images, height, width))
        elif not tiled:
            absent["pixel_mask"] = Label(settings.span("inputs"), "no `stack_mask` is fed")
        return Signature(inputs, outputs, written=written, absent=absent)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> ImageStack | None:
        if not settings.has("tiling"):
            return ImageStack(masked="stack_mask" in inferred.inputs)
        tile = int(settings.get("tiling", "size"))
        resolutions = [(int(high), int(wide)) for high, wide in settings.get("tiling", "resolutions", default=[])]
        written = settings.tree.get("tiling", "resolutions")
        for resolution, place in zip(resolutions, written.elements() if written else (), strict=True):
            if any(side % tile for side in resolution):
                problems.clash(
                    "tile-not-divisible",
                    f"images of {resolution[0]} x {resolution[1]} pixels do not divide into the tiles of "
                    f"`{inferred.node}`, {tile} x {tile}",
                    Label(place.span, "no multiple of a tile"),
                    Label(settings.span("tiling", "size"), "the tiles"),
                    help=f"write multiples of {tile}, as what cuts the images has them",
                )
                return None
        resolutions.sort(key=lambda resolution: resolution[0] * resolution[1])
        return ImageStack(tile, tuple(resolutions), counted="counts" in inferred.inputs)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, ImageStack)
        name = class_name(node.name)
        images = ", ".join(str(dim) for dim in node.signature.outputs["image"].shape[1:] if isinstance(dim, int))
        tail = f"{images}]" if images.count(",") == 2 else "channels, height, width]"
        view = ImageStackView(
            name=node.name,
            class_name=name,
            config=f"{name}Config",
            tiled=bool(spec.tile),
            chosen=bool(spec.resolutions),
            counted=spec.counted,
            masked=spec.masked,
            stack=f"[images, tiles, {tail}" if spec.tile else f"[batch, images, {tail}",
            image=f"[tiles, {tail}" if spec.tile else f"[images, {tail}",
        )
        fields: tuple[Field, ...] = ()
        targets = wiring.results["image"]
        if spec.tile:
            fields = (Field("tile_size", "int", str(spec.tile)),)
            if spec.resolutions:
                fields += (Field("resolutions", "tuple[tuple[int, int], ...]", _lines(spec.resolutions)),)
            targets = f"{targets}, {wiring.results.get('grid', '_')}"
        elif spec.masked:
            targets = f"{targets}, {wiring.results.get('pixel_mask', '_')}"
        arguments = tuple(wiring.arguments[port] for port in node.inputs)
        call = Statement(targets, f"self.{node.module}", arguments, wiring.shapes["image"])
        construct = f"{name}(config.{node.name})" if fields else f"{name}()"
        return NodePage("encoder/image_stack.py.j2", view, name, fields, construct, (call,))


def _lines(resolutions: tuple[tuple[int, int], ...]) -> str:
    """The tuple, one resolution a line: there may be dozens."""
    lines = "".join(f"        {literal(resolution)},\n" for resolution in resolutions)
    return f"(  # smallest first\n{lines}    )"


COMPONENT = ImageStackComponent()
