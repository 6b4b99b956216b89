"""Say what one training step of a graph takes on each device: memory, exchanges, time. Nothing is run; no torch.

The mesh is the graph's `parallelism.mesh`; without one, `--world` devices share the data. Sizes that the graph leaves
open, such as the number of images in a batch, are assumed and printed; `--size` sets them.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from . import console
from . import options as shared
from .console import UsageError

if TYPE_CHECKING:
    from graphvlm.ir import Graph
    from graphvlm.planning import Device, Workload

EXAMPLES = """
    graphvlm plan llava_1_5_7b --world 8
    graphvlm plan llava_1_5_7b 'parallelism.mesh={dp: 4, tp: 2}' parallelism.nodes.vision.tp=1
    graphvlm plan qwen3_8b_vl.yaml --world 16 --gpu h200-141g --seq 8192 --size images=4 --recompute
    graphvlm plan llava_1_5_13b --world 8 --search         # meshes, the fastest that fits first
    graphvlm plan llava_1_5_7b --world 8 --json
"""


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    shared.add_changes(parser)
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument("--world", metavar="N", type=_positive, help="devices (default: as many as the mesh has)")
    parser.add_argument("--search", action="store_true", help="plan the meshes of --world devices")
    group = parser.add_argument_group("what a step is")
    group.add_argument("--gpu", metavar="NAME", default="h100-80g", help="the device (default: h100-80g)")
    group.add_argument("--batch", metavar="N", type=_positive, default=1, help="sequences a data-parallel rank (1)")
    group.add_argument(
        "--micro-batches", metavar="N", type=_positive, help="parts of a batch in a pipeline (one a sequence)"
    )
    group.add_argument("--seq", metavar="N", type=_positive, help="tokens a sequence (the decoder's longest, or 2048)")
    group.add_argument("--size", metavar="NAME=N", action="append", default=[], help="another open size")
    group.add_argument(
        "--recompute", action="store_true", help="keep the inputs of layers alone, and compute them again"
    )
    group.add_argument(
        "--weights", choices=("float32", "bfloat16"), default="float32", help="type of kept weights (float32)"
    )
    group.add_argument("--optimizer", choices=("adamw", "sgd", "none"), default="adamw", help="its state (adamw)")
    shared.add_passes(parser)


def run(args: argparse.Namespace) -> int:
    from graphvlm import planning

    try:
        device = planning.device(args.gpu)
    except ValueError as problem:
        raise UsageError(f"--gpu: {problem}") from None
    work = _workload(args)
    if args.search:
        return _search(args, work, device)
    from graphvlm.planning.report import as_json, as_text

    graph = _laid(args)
    _check_sizes(graph, work)
    found = planning.plan(graph, work, device)
    if graph.imported:
        names = ", ".join(node.name for node in graph.imported)
        console.note(f"not counted, for their modules are imported: {names}")
    print(json.dumps(as_json(graph.name, found), indent=2) if args.format == "json" else as_text(graph.name, found))
    return 0


def _search(args: argparse.Namespace, work: Workload, device: Device) -> int:
    from graphvlm.planning.report import search_json, search_text
    from graphvlm.planning.search import search

    if args.world is None:
        raise UsageError("--search needs --world N: how many devices there are")
    _check_sizes(shared.load(args), work)

    def laid(mesh: dict[str, int]) -> Graph:
        return shared.load(args, extra=[f"parallelism.mesh={{{', '.join(f'{k}: {v}' for k, v in mesh.items())}}}"])

    found = search(laid, args.world, work, device)
    print(json.dumps(search_json(found), indent=2) if args.format == "json" else search_text(found, device))
    return 0


def _laid(args: argparse.Namespace) -> Graph:
    """The graph on its mesh, or over as many data-parallel ranks as asked for if it names none."""
    graph = shared.load(args)
    mesh = graph.parallelism.mesh
    if args.world is None:
        return graph
    if not mesh:
        return shared.load(args, extra=[f"parallelism.mesh={{dp: {args.world}}}"])
    count = 1
    for degree in mesh.values():
        count *= degree
    if count != args.world:
        shape = " x ".join(f"{axis} {degree}" for axis, degree in mesh.items())
        raise UsageError(
            f"the mesh of the graph has {count} devices ({shape}), not {args.world}; "
            "leave --world out, change parallelism.mesh, or add --search"
        )
    return graph


def _workload(args: argparse.Namespace) -> Workload:
    from graphvlm.planning import Workload

    found = {}
    for text in args.size:
        name, _, number = text.partition("=")
        if not number.isdecimal() or not int(number):
            raise UsageError(f"--size takes NAME=N, such as images=4, and not `{text}`")
        found[name] = int(number)
    kept = 4 if args.weights == "float32" else 2
    if args.micro_batches and args.batch % args.micro_batches:
        raise UsageError(f"--micro-batches {args.micro_batches} does not divide --batch {args.batch}")
    return Workload(
        batch=args.batch,
        seq=args.seq,
        sizes=found,
        optimizer={"adamw": 2, "sgd": 0, "none": 0}[args.optimizer] * kept,
        weights=kept,
        recompute=args.recompute,
        parts=args.micro_batches,
    )


def _check_sizes(graph: Graph, work: Workload) -> None:
    from graphvlm.diagnostics import did_you_mean
    from graphvlm.planning.workload import longest, sizes

    known = sizes(graph, type(work)())
    for name in work.sizes:
        if name not in known:
            hint = did_you_mean(name, known) or f"open are {', '.join(known)}"
            raise UsageError(f"--size: `{graph.name}` has no open size `{name}`; {hint}")
    limit = longest(graph)
    if work.seq and limit and work.seq > limit:
        raise UsageError(f"--seq {work.seq} is more than the {limit} tokens that the decoder takes")


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a positive number is wanted, not `{text}`")
    return int(text)
