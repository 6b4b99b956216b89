"""What a graph says of the videos of its prompts: the size of their frames, their tokens, the inputs that take them."""

from __future__ import annotations

import string
from dataclasses import dataclass
from math import prod
from typing import Any

from ..components.encoder.native_vit import NativeVit
from ..components.encoder.video_frames import VideoFrames
from ..components.encoder.vit import Vit
from ..components.fusion.scatter import Scatter
from ..components.projector.patch_merger import PatchMerger
from ..components.projector.video_packing import VideoPacking
from ..ir import Graph, Node, VideoPrompt
from ..problems import Problems
from ..settings import Settings
from ..spec import What
from .pictures import above

FIELDS = ("number", "seconds", "whole")
# What the video processors of transformers call what flows into a graph; seconds are counted here.
_KEYS: dict[What, str] = {
    "video": "pixel_values_videos",
    "patches": "pixel_values_videos",
    "grid": "video_grid_thw",
}


@dataclass(frozen=True, slots=True)
class Videos:
    """The videos of a graph, and how its prompt has them.

    A frame has `height` x `width` pixels and `tokens`, with `newline` a video one more; or it keeps its shape:
    `patch`es of so many pixels over `frames` frames, `merge` x `merge` of which become a token. `inputs` are pairs of
    an input of the graph and its name in video processors, `seconds` the input that says how long those frames are.
    """

    prompt: VideoPrompt
    token_id: int
    inputs: tuple[tuple[str, str], ...]
    seconds: str
    height: int = 0
    width: int = 0
    tokens: int = 0
    newline: bool = False
    patch: int = 0
    merge: int = 1
    frames: int = 1

    @property
    def framed(self) -> bool:
        """Whether something stands between the tokens of frames."""
        prompt = self.prompt
        return bool(prompt.before_frame or prompt.between_frames or prompt.after_frame)


def videos(graph: Graph) -> Videos | None:
    """The videos of a checked graph; None where its prompt speaks of none."""
    return found(graph, graph.prompt.video) if graph.prompt.video else None


def found(graph: Graph, prompt: VideoPrompt) -> Videos | None:
    """The videos that `prompt.video` speaks of; None where the graph has none that a prompt could have."""
    for node in graph.nodes.values():
        ids = dict(node.spec.placeholder) if isinstance(node.spec, Scatter) else {}
        if "video" in ids:
            return _of(graph, node, ids["video"], prompt)
    return None


def _of(graph: Graph, fused: Node, token_id: int, prompt: VideoPrompt) -> Videos | None:
    names = above(graph, fused.inputs["video"])
    nodes = [node for name, node in graph.nodes.items() if name in names]
    frames = next((node for node in nodes if isinstance(node.spec, VideoFrames)), None)
    tower = next((node for node in nodes if frames and frames.name in {ref.name for ref in node.inputs.values()}), None)
    native = [node.spec for node in nodes if isinstance(node.spec, NativeVit)]
    given = {name: each.port.what for name, each in graph.inputs.items()}
    seconds = next((name for name, what in given.items() if what == "seconds"), "")
    if frames and tower and isinstance(tower.spec, Vit):
        packing = next((node for node in nodes if isinstance(node.spec, VideoPacking)), None)
        port = packing.signature.inputs["features"] if packing else fused.signature.inputs["video"]
        tokens = port.shape[1]
        if not isinstance(tokens, int):
            return None
        inputs = tuple((ref.name, _KEYS["video"]) for ref in frames.inputs.values())
        newline = packing is not None and isinstance(packing.spec, VideoPacking) and packing.spec.newline
        size = (tower.spec.height, tower.spec.width)
        return Videos(prompt, token_id, inputs, "", *size, tokens=tokens, newline=newline)
    if len(native) == 1 and native[0].patch and native[0].patch.frames:
        inputs = tuple((name, _KEYS[given[name]]) for name in given if name in names and given[name] in _KEYS)
        merge = prod(node.spec.group for node in nodes if isinstance(node.spec, PatchMerger))
        patch, depth = native[0].patch.size, native[0].patch.frames
        return Videos(prompt, token_id, inputs, seconds, patch=patch, merge=merge, frames=depth)
    return None


def check(graph: Graph, problems: Problems) -> None:
    """Whether the videos of a prompt are those that the graph takes."""
    prompt = graph.prompt.video
    if prompt is None:
        return
    settings = Settings(graph.tree).child("prompt", "video")
    given = found(graph, prompt)
    if given is None or graph.prompt.image is None:
        why = "no encoder here takes frames whose features take the places of tokens at the port `video`"
        problems.error(
            "bad-prompt",
            f"`prompt.video` is of videos, and {why if given is None else 'a prompt has them beside images'}",
            settings.tree.span,
            help="remove `prompt.video`" if given is None else "write `prompt.image`",
        )
        return
    limits = [name for name in ("min_pixels", "max_pixels") if settings.has(name)]
    if given.patch and len(limits) < 2:
        problems.error(
            "bad-prompt",
            "how many tokens a video comes to is not known: frames that keep their shape need numbers of pixels",
            settings.tree.span,
            help="write `min_pixels` and `max_pixels` below `prompt.video`",
        )
    for name in ("limits", *limits) if not given.patch else ():
        if settings.has(name):
            message = f"`prompt.video.{name}` is not read: frames are of one size"
            problems.error("unread-setting", message, settings.span(name), help=f"remove `{name}`")
    for name in ("before_frame", "after_frame"):
        if not _fields(settings.get(name, default="")):
            problems.error(
                "bad-prompt",
                f"`{name}` has braces that stand for nothing",
                settings.span(name),
                help="write `{number}`, `{seconds}` or `{whole}`, and `{{` for a brace",
            )


def _fields(text: str) -> bool:
    try:
        fields = [each[1:] for each in string.Formatter().parse(text) if each[1] is not None]
    except ValueError:  # a brace without its other one
        return False
    return all(name in FIELDS and not form and not turned for name, form, turned in fields)


def video_preprocessor(given: Videos, seen: dict[str, Any]) -> dict[str, Any]:
    """`video_preprocessor_config.json`, with the numbers for images (`seen`) that make pixels of frames too."""
    shared = ("do_convert_rgb", "do_resize", "resample", "do_rescale", "rescale_factor", "do_normalize")
    made = {name: seen[name] for name in (*shared, "image_mean", "image_std")}
    if not given.patch:
        size = {"height": given.height, "width": given.width}
        return {"video_processor_type": "LlavaOnevisionVideoProcessor", "size": size, "do_sample_frames": False, **made}
    name = "Glm4vVideoProcessor" if seen["image_processor_type"].startswith("Glm") else "Qwen3VLVideoProcessor"
    return {
        "video_processor_type": name if given.prompt.volume else "Qwen2VLVideoProcessor",
        "size": {"shortest_edge": given.prompt.least, "longest_edge": given.prompt.most},
        "patch_size": given.patch,
        "temporal_patch_size": given.frames,
        "merge_size": given.merge,
        "do_sample_frames": False,
        **({} if name.startswith("Glm") and given.prompt.volume else {"cap_pixels_per_frame": False}),
        **made,
    }
