"""Write the weights of files that `torch.save` wrote (.pth, .pt, .bin) as safetensors, under the same key names.

Nothing in such a file is run: one that holds more than tensors and plain values is refused.
Several files become one checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .console import UsageError

EXAMPLES = """
    graphvlm convert model_base_caption.pth blip-caption
    graphvlm convert blip2_pretrained.pth visual_encoder.=eva_vit_g.pth blip2
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a file of weights; PREFIX=FILE puts PREFIX before each of its key names",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="the folder to write")


def run(args: argparse.Namespace) -> int:
    from graphvlm.pickled import Source, convert

    sources = []
    for text in args.files:
        prefix, separator, path = text.rpartition("=")
        if not Path(path).is_file():
            raise UsageError(f"there is no file {path}")
        sources.append(Source(Path(path), prefix if separator else ""))
    if args.directory.is_file():
        raise UsageError(f"{args.directory} is a file, and not a folder")
    written = convert(sources, args.directory)
    print(f"{args.directory}: {written.tensors} tensors, {written.bytes / 1e6:,.1f} MB")
    return 0
