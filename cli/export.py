"""Export the programs of a graph: each encoder with its projector, the prompt, and the step with a cache.

`--onnx` writes DIR/<graph>_onnx: a model a program, verified in ONNX Runtime against the package, a manifest, profiles
for TensorRT, and `run_onnx.py`, which generates text from these files alone.

`--trt` writes that too, and DIR/<graph>_trt: an engine a program. Nothing is run on a GPU.

`--pt2` writes DIR/<graph>_pt2: each program as torch.export saves it, and compiled by AOTInductor to a library. Another
process loads both and compares them with the package, and the library is timed against it.

`--hf` writes DIR/<graph>_hf: a directory that `transformers`, vLLM and SGLang load by the code in it. A process that
cannot import graphvlm loads it and has to give the logits and the text of the package.

`--titan` writes DIR/<graph>_titan: the package over modules of torchtitan, with what it asks a model for.

Exit codes: 0 fine; 1 the graph has errors, what was exported differs from the package by more than it may, or TensorRT
refuses a program; 2 the command line is wrong, or a package is not installed; 3 everything but the engines was written,
as no TensorRT is installed that could build them.
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import console, engines, hub, libraries, quantising, titan
from . import options as shared

if TYPE_CHECKING:
    from graphvlm.exporters.onnx import Exported, Options
    from graphvlm.exporters.sizes import Range
    from graphvlm.ir import Graph

EXAMPLES = """
    graphvlm export tiny --onnx -o out
    graphvlm export llava_1_5_7b --onnx --weights llava-1.5-7b-hf -o out --limit seq=2:1024:4096
    graphvlm export llava_1_5_7b --trt --dry-run
    graphvlm export tiny --pt2 -o out
    graphvlm export llava_1_5_7b --hf --weights llava-1.5-7b-hf -o out --dtype bfloat16
    graphvlm export tiny --trt --backend tensorrt-rtx --target sm_86,sm_89,sm_120 -o out
    graphvlm export my_model.yaml nodes.llm.layers=2 --onnx --json
"""
NEEDS_ONNX = "ONNX needs {}: pip install 'graphvlm[onnx]'"
DTYPES = ("float32", "float16", "bfloat16")


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    shared.add_changes(parser)
    target = parser.add_argument_group("what to make")
    target.add_argument("--onnx", action="store_true", help="ONNX models")
    target.add_argument("--trt", action="store_true", help="TensorRT engines, from ONNX models")
    target.add_argument("--pt2", action="store_true", help="programs of torch.export, and libraries by AOTInductor")
    target.add_argument("--hf", action="store_true", help="a directory that transformers, vLLM and SGLang load")
    target.add_argument("--titan", action="store_true", help="a package that torchtitan 0.3.0 trains")
    target.add_argument("--dry-run", action="store_true", help="say what would be made; needs no weights")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path(), help="(default: this folder)")
    parser.add_argument("--weights", metavar="DIR", type=Path, help="a Hugging Face checkpoint (default: random)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of random weights and inputs (default: 0)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights (default: float32)")
    parser.add_argument("--opset", type=int, choices=(18, 20), default=20, help="of ONNX (default: 20)")
    parser.add_argument(
        "--limit",
        metavar="NAME=LEAST:USUAL:MOST",
        action="append",
        default=[],
        help="a range of an open size such as batch, seq, images or cache; may be repeated",
    )
    parser.add_argument("--no-verify", action="store_true", help="do not run what was exported")
    parser.add_argument(
        "--sizes", metavar="N", type=int, choices=(1, 2, 3), default=3, help="to compare at (default: 3)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite a folder that holds other files")
    parser.add_argument("--json", action="store_true", help="print the manifest")
    engines.options(parser)
    libraries.options(parser)
    quantising.options(parser)
    shared.add_passes(parser)


def run(args: argparse.Namespace) -> int:
    if not (args.onnx or args.trt or args.hf or args.pt2 or args.titan):
        raise console.UsageError("what should be made? --onnx, --trt, --pt2, --hf or --titan")
    onnx = args.onnx or args.trt
    if onnx and (missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]):
        raise console.UsageError(NEEDS_ONNX.format(" and ".join(missing)))
    if args.weights is not None and not args.weights.exists():
        raise console.UsageError(f"there is no {args.weights}")
    quantising.check(args)
    if args.dry_run and not onnx:
        raise console.UsageError("--dry-run says what --onnx and --trt would make")
    graph = shared.load(args)
    if args.weights is None and not args.dry_run and (onnx or args.hf or args.pt2):
        console.note(f"no --weights: the weights are random (seed {args.seed}), and so is what comes out")
    code = hub.run(args, graph) if args.hf else 0
    code = max(code, titan.run(args, graph)) if args.titan else code
    code = max(code, libraries.run(args, graph)) if args.pt2 else code
    return max(code, _programs(args, graph)) if onnx else code


def _programs(args: argparse.Namespace, graph: Graph) -> int:
    """ONNX models, and engines from them."""
    chosen = _chosen(args, graph)
    if args.dry_run:
        return engines.dry_run(args, graph, chosen)
    made = _onnx(args, graph, chosen)
    code = 0 if made.agrees else 1
    return max(code, engines.run(args, made)) if args.trt else code


def _chosen(args: argparse.Namespace, graph: Graph) -> Options:
    from graphvlm.exporters.onnx import Options

    return Options(
        weights=args.weights,
        seed=args.seed,
        dtype=args.dtype,
        opset=args.opset,
        ranges=limits(args.limit, graph),
        quantize=quantising.recipe(args),
        verify=not args.no_verify,
        sizes=args.sizes,
        force=args.force,
    )


def _onnx(args: argparse.Namespace, graph: Graph, chosen: Options) -> Exported:
    from graphvlm.exporters.folder import ForeignFiles
    from graphvlm.exporters.onnx import export
    from graphvlm.exporters.quantising import NoTorchao

    folder = args.output / f"{graph.name}_onnx"
    try:
        made = export(graph, folder, chosen, console.note)
    except (ForeignFiles, NoTorchao, ValueError) as problem:  # or keys that the checkpoint lacks, or has too many of
        raise console.UsageError(str(problem)) from None
    _print(args, made.folder, made.manifest)
    if not made.agrees:
        worst = max(made.differences, key=lambda each: each.worst)
        console.note(f"{worst.program}: `{worst.output}` is {worst.worst:.1e} from the package, which is too much")
    return made


def _print(args: argparse.Namespace, folder: Path, manifest: Any) -> None:
    if args.json:
        print(json.dumps({"folder": str(folder), **manifest}, indent=1))
        return
    for program in manifest["programs"]:
        found = [each["difference"] for each in manifest["verified"] if each["program"] == program["name"]]
        said = f"{max(found):.1e} from the package" if found else "not verified"
        print(f"{program['name']:24}{sum(program['operators'].values()):6} operators  {said}")
    print(folder)


def limits(words: list[str], graph: Graph) -> dict[str, Range]:
    """The ranges of a command line."""
    from graphvlm.exporters.plan import make
    from graphvlm.exporters.sizes import Range, ranges

    known = ranges(make(graph))
    found = {}
    for word in words:
        name, _, numbers = word.partition("=")
        try:
            least, usual, most = map(int, numbers.split(":"))
        except ValueError:
            raise console.UsageError(f"--limit {word}: write NAME=LEAST:USUAL:MOST, such as seq=2:512:4096") from None
        if name not in known:
            raise console.UsageError(f"--limit {word}: the open sizes of this graph are {', '.join(known)}")
        if not 1 <= least <= usual <= most:
            raise console.UsageError(f"--limit {word}: the numbers have to grow, and the first is 1 at least")
        found[name] = Range(least, usual, most)
    return found
