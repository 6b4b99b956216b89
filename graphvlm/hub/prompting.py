"""The processor of the profile, from `prompt:` of the graph: what stands for an image, and how it becomes pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..code import quoted
from ..components.encoder.vit import Vit
from ..components.fusion.scatter import Scatter
from ..diagnostics import GraphError
from ..ir import Graph, ImagePrompt, Ref
from ..names import class_name
from ..problems import Problems
from ..settings import Settings

# How Pillow numbers what `resample` can be.
_RESAMPLE = {"bilinear": 2, "bicubic": 3}


@dataclass(frozen=True, slots=True)
class ProcessorView:
    """One processor: each image takes `tokens` placeholders, whose number in the vocabulary is `token_id`.

    `token`, `start` and `end` are literals of Python. So many images stand `before` each text; none, if they stand
    where the text has them.
    """

    class_name: str
    token: str
    token_id: int
    tokens: int
    start: str
    end: str
    before: int


@dataclass(frozen=True, slots=True)
class _Images:
    height: int
    width: int
    channels: int
    tokens: int
    token_id: int


def processor(graph: Graph, before: int) -> tuple[ProcessorView | None, dict[str, Any]]:
    """The view of the processor of a graph in the profile, and its JSON files; nothing if no images are spoken of.
    So many images stand `before` each text.

    Raises GraphError if images have no size, or no number of tokens, of their own.
    """
    image = graph.prompt.image
    if image is None:
        return None, {}
    found = _images(graph)
    name = f"{class_name(graph.name)}Processor"
    view = ProcessorView(
        class_name=name,
        token=quoted(image.token),
        token_id=found.token_id,
        tokens=found.tokens,
        start=quoted(image.start),
        end=quoted(image.end),
        before=before,
    )
    auto = {"AutoProcessor": f"processing_{graph.name}.{name}"}
    return view, {
        "processor_config.json": {"processor_class": name, "auto_map": auto},
        "preprocessor_config.json": _pixels(image, found),
    }


def _images(graph: Graph) -> _Images:
    """Size and tokens of an image, where both are numbers."""
    for node in graph.nodes.values():
        ids = dict(node.spec.placeholder) if isinstance(node.spec, Scatter) else {}
        counts = dict(node.spec.tokens) if isinstance(node.spec, Scatter) else {}
        towers = [each.spec for each in graph.nodes.values() if Ref("pixel_values") in each.inputs.values()]
        if "image" in ids and "image" in counts and len(towers) == 1 and isinstance(towers[0], Vit):
            tower = towers[0]
            return _Images(tower.height, tower.width, tower.channels, counts["image"], ids["image"])
    problems = Problems()
    message = "the profile `hf` has no form for `prompt.image` of images that differ in size or number of tokens"
    span = Settings(graph.tree).span("prompt", "image")
    problems.error(
        "outside-profile", message, span, help="remove `prompt.image`, and put a processor beside the weights"
    )
    problems.stop()
    raise GraphError(())


def _pixels(image: ImagePrompt, found: _Images) -> dict[str, Any]:
    """How the image processor of transformers makes pixels; each number is written down."""
    size = {"height": found.height, "width": found.width}
    cropped = image.resize == "crop"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": found.channels == 3,
        "do_resize": True,
        "size": {"shortest_edge": max(found.height, found.width)} if cropped else size,
        "resample": _RESAMPLE[image.resample],
        "do_center_crop": cropped,
        "crop_size": size,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(image.mean),
        "image_std": list(image.std),
    }
