"""The part of `export` that makes TensorRT engines, and what it says beforehand."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import console

if TYPE_CHECKING:
    from graphvlm.exporters.onnx import Exported, Options
    from graphvlm.exporters.tensorrt import Backend
    from graphvlm.ir import Graph

NO_BACKEND = 3


def options(parser: argparse.ArgumentParser) -> None:
    """The options of `--trt`."""
    group = parser.add_argument_group("engines")
    names = ("torch-tensorrt", "tensorrt", "tensorrt-rtx")
    group.add_argument("--backend", choices=names, help="(default: the first of these that is installed and can)")
    group.add_argument("--target", metavar="SM", default="", help="other GPUs than the one here: sm_86,sm_89,sm_120")
    group.add_argument("--strip-weights", action="store_true", help="leave the weights out; a refit puts them in")
    group.add_argument("--refit", action="store_true", help="let weights be replaced later")


def dry_run(args: argparse.Namespace, graph: Graph, chosen: Options) -> int:
    """Print the plan; 1 if ONNX lacks an operation, or engines are asked for and TensorRT would refuse an operator."""
    from graphvlm.exporters.onnx import lacking, survey
    from graphvlm.exporters.tensorrt import unsupported

    found = survey(graph, chosen, console.note)
    refuses = unsupported if args.trt else lacking
    refused = {each["name"]: refuses(each["operators"]) for each in found["programs"]}
    if args.json:
        print(json.dumps({**found, "unsupported": refused, "executed": False}, indent=1))
    else:
        _print(found, refused)
    return 1 if any(refused.values()) else 0


def _print(found: dict[str, Any], refused: dict[str, tuple[str, ...]]) -> None:
    from graphvlm.exporters.onnx import lacking

    for program in found["programs"]:
        print(program["name"])
        for sign, kind in (("<-", "inputs"), ("->", "outputs")):
            for each in program[kind]:
                print(f"  {sign} {each['name']:32}{each['dtype']:9}[{', '.join(map(str, each['shape']))}]")
        print("  " + ", ".join(f"{count} {name}" for name, count in program["operators"].items()))
        for name in refused[program["name"]]:
            whose = "ONNX" if name in lacking(program["operators"]) else "TensorRT"
            places = ", ".join(program["sources"].get(name, ()))
            print(f"  refused: {whose} has no {name.rpartition('::')[2]}, which comes from {places}")
    for name, (least, usual, most) in found["limits"].items():
        print(f"{name}: {least} to {most}, usually {usual}")
    memory = found["memory"]
    print(f"weights: {memory['weights'] / 2**20:,.0f} MiB in {found['dtype']}")
    if memory["cache_per_token"]:
        print(f"cache: {memory['cache_per_token']:,} bytes a token, {memory['cache_at_most'] / 2**20:,.0f} MiB at most")


def run(args: argparse.Namespace, made: Exported) -> int:
    """Build the engines of an export; the exit code."""
    from graphvlm.cache import folder_of_cache
    from graphvlm.exporters.folder import ForeignFiles, digests, replaced, write_json
    from graphvlm.exporters.tensorrt import NoBackend, Order, Refused, build, chosen

    targets = tuple(word for word in args.target.split(",") if word)
    if wrong := [word for word in targets if not re.fullmatch(r"sm_\d{2,3}", word)]:
        raise console.UsageError(f"--target {wrong[0]}: write compute capabilities such as sm_86,sm_120")
    order = Order(targets, strip=args.strip_weights, refit=args.refit)
    folder = args.output / f"{made.manifest['graph']}_trt"
    engines, why, backend, code = list[dict[str, Any]](), "", None, 0
    try:
        with replaced(folder, force=args.force) as new:
            try:
                backend = chosen(args.backend, targets, _cuda)
                for traced in made.traced:
                    model = made.folder / f"{traced.name}.onnx"
                    profile = json.loads(model.with_suffix(".profile.json").read_text(encoding="utf-8"))
                    cache = folder_of_cache() / "engines"
                    built = build(model, profile, order, backend, cache=cache, exported=traced.exported)
                    shutil.copyfile(built.path, new / f"{traced.name}.engine")
                    engines.append({"name": traced.name, "file": f"{traced.name}.engine", "cached": built.cached})
                    console.note(f"{traced.name}: {'from the cache' if built.cached else 'built'}")
            except NoBackend as problem:
                why, code = str(problem), NO_BACKEND
            except Refused as problem:
                why, code = str(problem), 1
            write_json(new / "manifest.json", _manifest(made, backend, order, engines, why) | {"files": digests(new)})
    except ForeignFiles as problem:
        raise console.UsageError(str(problem)) from None
    if why:
        console.note(f"{why}\nthe models and their profiles are in {made.folder}")
    if not args.json:
        print(folder)
    return code


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _manifest(
    made: Exported, backend: Backend | None, order: Any, engines: list[dict[str, Any]], why: str
) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "tensorrt",
        "graph": made.manifest["graph"],
        "models": str(Path("..") / made.folder.name),
        "backend": backend.name if backend else None,
        "targets": list(order.targets),
        "weights": "left out" if order.strip else "inside",
        "refit": order.refit,
        "engines": engines,
        "why": why or None,
        "executed": False,
    }
