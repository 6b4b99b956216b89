"""`projector/video_packing`: the tokens of all frames of a video in one sequence, and perhaps one for its end."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Statement
from ...dims import Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec


@dataclass(frozen=True, slots=True)
class VideoPacking(Spec):
    """A decided packing of features `dim` wide; with `newline`, a token stands behind each video."""

    dim: int
    newline: bool

    def summary(self) -> str:
        return "video packing, newline" if self.newline else "video packing"


@dataclass(frozen=True, slots=True)
class VideoPackingView:
    """What the template places."""

    name: str
    class_name: str
    newline: bool
    before: str
    after: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of `forward`."""
        return ("self", "features: Tensor", "video: Tensor", *(("newline: Tensor",) if self.newline else ()))


class VideoPackingComponent:
    """Ports and page of `projector/video_packing`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        videos, all_frames, tokens = (Var(f"{name}.{axis}", axis) for axis in ("videos", "all_frames", "tokens"))
        pixels = tuple(Var(f"{name}.{axis}", axis) for axis in ("frames", "channels", "height", "width"))
        packed, dim = Var(f"{name}.packed", "tokens"), Var(f"{name}.dim", "dim")
        return Signature(
            inputs={
                "features": Port("features", (all_frames, tokens, dim)),
                "video": Port("video", (videos, *pixels)),
                "newline": Port("features", (1, 1, dim), optional=True),
            },
            outputs={"features": Port("features", (videos, packed, dim))},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> VideoPacking:
        dim = inferred.inputs["features"].shape[2]
        if not isinstance(dim, int):
            raise AssertionError("features without a width after inference")
        return VideoPacking(dim, "newline" in inferred.inputs)

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, VideoPacking)
        name = class_name(node.name)
        before, after = (f"[{axes}, tokens, {spec.dim}]" for axes in ("all_frames", "videos"))
        view = VideoPackingView(node.name, name, spec.newline, before, after)
        arguments = tuple(wiring.arguments[port] for port in node.inputs)
        call = Statement(wiring.results["features"], f"self.{node.module}", arguments, wiring.shapes["features"])
        return NodePage("projector/video_packing.py.j2", view, name, (), f"{name}()", (call,))


COMPONENT = VideoPackingComponent()
