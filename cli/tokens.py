"""Say how many tokens of a prompt images, videos or sounds come to, by `prompt` of the graph. No torch, no tokenizer.

It counts with the page `counts.py` of the package: the tokens whose places the features of one take.
How many stand around and between them is for the tokenizer to say.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import options as shared
from .console import UsageError

if TYPE_CHECKING:
    from graphvlm.ir import Graph

EXAMPLES = """
    graphvlm tokens llava_v1_6_mistral_7b 640x480 1024x768
    graphvlm tokens internvl3_8b 640x480 prompt.image.tiling.max_tiles=6
    graphvlm tokens qwen2_5_vl_7b 1920x1080 --json
    graphvlm tokens qwen2_5_vl_7b 640x480x16         # a video of 16 frames
    graphvlm tokens qwen2_audio_7b 12.5s
"""
_HELP = (
    "WIDTHxHEIGHT of an image of the request, WIDTHxHEIGHTxFRAMES of a video, or the seconds of a sound (9.5s); "
    + shared.CHANGES_HELP
)
_SIZE = re.compile(r"([1-9]\d{0,6})x([1-9]\d{0,6})\Z")
_VIDEO = re.compile(r"([1-9]\d{0,6})x([1-9]\d{0,6})x([1-9]\d{0,5})\Z")
_LENGTH = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)s\Z")


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    parser.add_argument("changes", metavar="SIZE|CHANGE", nargs="+", help=_HELP)
    parser.add_argument("--format", choices=shared.FORMATS, default="text", help="of diagnostics (default: text)")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    images = [(int(found[1]), int(found[2])) for word in args.changes if (found := _SIZE.match(word))]
    videos = [tuple(map(int, found.groups())) for word in args.changes if (found := _VIDEO.match(word))]
    sounds = [float(found[1]) for word in args.changes if (found := _LENGTH.match(word))]
    args.changes = [word for word in args.changes if not any(form.match(word) for form in (_SIZE, _VIDEO, _LENGTH))]
    if not images and not videos and not sounds:
        raise UsageError("give the size of an image, such as 640x480, or the length of a sound, such as 9.5s")
    graph = shared.load(args)
    rows = [*_images(graph, images), *_videos(graph, videos), *_sounds(graph, sounds)]
    total = sum(row["features"] for row in rows)
    if args.format == "json":
        print(json.dumps({"graph": graph.name, "inputs": rows, "features": total}, indent=2))
        return 0
    for row in rows:
        what = f"{row['seconds']:g}s" if "seconds" in row else f"{row['width']}x{row['height']}"
        what += f"x{row['frames']}" if "frames" in row else ""
        grid = f", {row['rows']} x {row['columns']} {row['of']}" if "rows" in row else ""
        print(f"{what}: {row['features']} features{grid}")
    if len(rows) > 1:
        print(f"together: {total} features")
    return 0


def _images(graph: Graph, sizes: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    from graphvlm.counting import counter

    count = counter(graph)
    if sizes and count is None:
        raise UsageError(f"`{graph.name}` does not say what its images are: write `prompt.image`")
    for width, height in sizes:
        assert count is not None
        try:
            yield {"width": width, "height": height, **count(height, width, len(sizes))}
        except ValueError as problem:  # an image of a shape that the encoder cannot take
            raise UsageError(str(problem)) from None


def _videos(graph: Graph, sizes: list[tuple[int, ...]]) -> Iterator[dict[str, Any]]:
    from graphvlm.counting import video_counter

    count = video_counter(graph)
    if sizes and count is None:
        raise UsageError(f"`{graph.name}` does not say what its videos are: write `prompt.video`")
    for width, height, frames in sizes:
        assert count is not None
        try:
            yield {"width": width, "height": height, "frames": frames, "features": count(frames, height, width)}
        except ValueError as problem:  # frames of a shape that the encoder cannot take
            raise UsageError(str(problem)) from None


def _sounds(graph: Graph, lengths: list[float]) -> Iterator[dict[str, Any]]:
    from graphvlm.counting import sound_counter

    count = sound_counter(graph)
    if lengths and count is None:
        raise UsageError(f"`{graph.name}` does not say what its sounds are: write `prompt.audio`")
    for seconds in lengths:
        assert count is not None
        yield {"seconds": seconds, "features": count(seconds)}
