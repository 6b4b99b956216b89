"""The part of `export` that keeps weights in fewer bits."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from graphvlm.exporters.quantising import Recipe

KINDS = ("int8", "int4", "float8")


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `--onnx`, `--pt2` and `--hf`."""
    group = parser.add_argument_group("fewer bits")
    group.add_argument("--quantize", choices=KINDS, default="", help="weights of linear layers in fewer bits (torchao)")
    group.add_argument(
        "--keep",
        metavar="PATTERN",
        action="append",
        help="linear layers that keep their type (default: heads, routers, indexers); may be repeated",
    )


def check(args: argparse.Namespace) -> None:
    """Raise `UsageError` for what does not go together."""
    if args.keep and not args.quantize:
        raise console.UsageError("--keep is for --quantize")
    if args.quantize and args.titan:
        raise console.UsageError("--quantize is for --onnx, --trt, --pt2 and --hf: what is trained keeps its type")
    if args.quantize == "int4" and args.trt:
        raise console.UsageError(
            "--quantize int4 is for ONNX Runtime alone (MatMulNBits), and TensorRT has no such operator"
        )
    if args.quantize == "float8" and args.opset < 19 and (args.onnx or args.trt):
        raise console.UsageError("ONNX has float8 from opset 19 on: --opset 20")
    if args.quantize and args.dtype == "bfloat16" and (args.onnx or args.trt):
        raise console.UsageError(
            "ONNX Runtime computes nothing in bfloat16: --quantize with --dtype float32 or float16"
        )


def recipe(args: argparse.Namespace) -> Recipe | None:
    """What was asked for."""
    from graphvlm.exporters.quantising import KEPT, Recipe

    return Recipe(args.quantize, tuple(args.keep or KEPT)) if args.quantize else None
