"""Build a graph, load its weights (or initialise them at random), and print what it generates as it comes.

The tokenizer and the image processor are taken from the weights directory, through `transformers`. Without one, the
prompt's bytes are its token ids, and token ids are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

from . import console, inference
from . import options as shared

EXAMPLES = """
    graphvlm run tiny --image photo.jpg --prompt "What is this?"
    graphvlm run llava_1_5_7b --weights llava-1.5-7b-hf --image photo.jpg --prompt "What is this?" --dtype bfloat16
    graphvlm run my_model.yaml nodes.llm.layers=2 --prompt "hello" --temperature 0.8 --top-p 0.95 --seed 1
"""
DTYPES = ("float32", "bfloat16", "float16")


def options(parser: argparse.ArgumentParser) -> None:
    shared.add_graph(parser)
    shared.add_changes(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what to go on from")
    parser.add_argument("--image", metavar="FILE", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--weights", metavar="DIR", type=Path, help="a Hugging Face checkpoint (default: random)")
    parser.add_argument("--max-new-tokens", metavar="N", type=_count, default=64, help="(default: 64)")
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--temperature", metavar="T", type=_positive, default=0.0, help="(default: 0, no sampling)")
    sampling.add_argument("--top-k", metavar="K", type=_count, help="from the K likeliest tokens")
    sampling.add_argument("--top-p", metavar="P", type=_positive, help="from the likeliest that make up P together")
    sampling.add_argument("--min-p", metavar="P", type=_share, help="from those with P times the largest probability")
    sampling.add_argument(
        "--repetition-penalty",
        metavar="X",
        type=_penalty,
        default=1.0,
        help="divides the scores of tokens that are there already (default: 1, none)",
    )
    sampling.add_argument("--no-repeat-ngram-size", metavar="N", type=_count, default=0, help="no N tokens come twice")
    sampling.add_argument("--stop", metavar="TEXT", action="append", default=[], help="end with it; may be repeated")
    sampling.add_argument("--seed", metavar="N", type=int, default=0, help="also of random weights (default: 0)")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", help="as torch names it (default: an accelerator if there is one)")
    machine.add_argument("--dtype", choices=DTYPES, help="(default: that of the weights; float32 for random ones)")
    machine.add_argument("--compile", action="store_true", help="torch.compile the decoding step")
    shared.add_passes(parser)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("must be at least 0")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number


def _penalty(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def run(args: argparse.Namespace) -> int:
    for path in (*args.image, *([args.weights] if args.weights else [])):
        if not path.exists():
            raise console.UsageError(f"there is no {path}")
    graph = shared.load(args)
    translator = inference.translator(graph, args.weights)
    inputs = translator.encode(args.prompt, args.image)
    module = _compile(args)
    if not hasattr(module, "generate"):
        raise console.UsageError(f"graph `{graph.name}` has no decoder that generates text")
    model = inference.model(module, args.weights, inference.device(args.device), args.dtype)
    reader, clock, text = translator.reader(), console.Clock(), ""
    for token in inference.tokens(module, model, inputs, **_options(args)):
        clock.tick()
        piece = reader(token)
        print(piece, end="", flush=True)
        text += piece
        if any(stop in text for stop in args.stop):
            break
    print()
    console.note(str(clock))
    return 0


def _compile(args: argparse.Namespace) -> ModuleType:
    import torch

    import graphvlm

    torch.manual_seed(args.seed)
    overlays, overrides = shared.changes(args)
    with console.step(f"compiling {args.graph}"):
        return graphvlm.compile(shared.graph_path(args.graph), *overlays, overrides=overrides)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    names = ("max_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram_size")
    return {name: getattr(args, name) for name in (*names, "compile")}
