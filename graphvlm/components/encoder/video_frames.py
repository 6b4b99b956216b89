"""`encoder/video_frames`: the frames of videos as images, one behind the other."""

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
class VideoFrames(Spec):
    """Nothing is to be decided."""

    def summary(self) -> str:
        return "frames of videos"


class VideoFramesComponent:
    """Ports and page of `encoder/video_frames`: one line of `model.py`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        videos, frames, images = (Var(f"{name}.{axis}", axis) for axis in ("videos", "frames", "all_frames"))
        pixels = tuple(Var(f"{name}.{axis}", axis) for axis in ("channels", "height", "width"))
        return Signature(
            inputs={"video": Port("video", (videos, frames, *pixels))},
            outputs={"image": Port("image", (images, *pixels))},
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> VideoFrames:
        return VideoFrames()

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        video = wiring.arguments["video"]
        call = Statement(wiring.results["image"], f"{video}.flatten", ("0", "1"), wiring.shapes["image"])
        return NodePage("", None, class_name(node.name), (), "", (call,))


COMPONENT = VideoFramesComponent()
