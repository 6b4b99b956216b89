"""`projector/frame_merger`: the tokens at one place of frames that follow each other become one, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from ...code import Field, Statement
from ...dims import Many, Sum, Var
from ...ir import Node
from ...names import class_name
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Port, Signature, Spec


@dataclass(frozen=True, slots=True)
class FrameMerger(Spec):
    """A decided merger of `frames` frames, whose tokens are `dim` wide and `group` by `group` patches each."""

    dim: int
    frames: int
    group: int

    def summary(self) -> str:
        return f"frame_merger, {self.frames} frames, {self.dim} to {self.frames * self.dim}"


@dataclass(frozen=True, slots=True)
class FrameMergerView:
    """What the template places. With `masked` it is said which tokens are real: all, but in a graph."""

    name: str
    class_name: str
    config: str
    summary: str
    dim: int
    frames: int
    group: int
    masked: bool


class FrameMergerComponent:
    """Ports and page of `projector/frame_merger`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        images, tokens = Var(f"{name}.images", "images"), Var(f"{name}.tokens", "tokens")
        dim, merged = Var(f"{name}.dim", "dim"), Var(f"{name}.merged", "tokens")
        frames = int(settings.get("frames", default=_PAIR))
        return Signature(
            inputs={"features": Port("features", (1, tokens, dim)), "grid": Port("grid", (images, 3))},
            outputs={
                "features": Port("features", (1, merged, Sum((Many(frames, dim),)))),
                "mask": Port("mask", (1, merged)),
            },
        )

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> FrameMerger:
        dim = inferred.inputs["features"].shape[2]
        if not isinstance(dim, int):
            raise AssertionError("features without a width after inference")
        return FrameMerger(dim, int(settings.get("frames", default=_PAIR)), int(settings.get("group", default=1)))

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, FrameMerger)
        name, masked = class_name(node.name), "mask" in wiring.read
        view = FrameMergerView(
            node.name, name, f"{name}Config", spec.summary(), spec.dim, spec.frames, spec.group, masked
        )
        fields = [Field("frames", "int", str(spec.frames), "that become one")]
        if spec.group > 1:
            fields.append(Field("group", "int", str(spec.group), "side of the blocks of patches that are one token"))
        results = [wiring.results["features"], *([wiring.results.get("mask", "_")] if masked else [])]
        arguments = (wiring.arguments["features"], wiring.arguments["grid"])
        call = Statement(", ".join(results), f"self.{node.module}", arguments, wiring.shapes["features"])
        construct = f"{name}(config.{node.name})"
        return NodePage("projector/frame_merger.py.j2", view, name, tuple(fields), construct, (call,))


_PAIR = 2


COMPONENT = FrameMergerComponent()
