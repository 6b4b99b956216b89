"""Write a starter graph, made of catalog parts or copied from a shipped graph. An existing file is left as it is."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from graphvlm import resources
from graphvlm.diagnostics import did_you_mean

from . import options as shared
from .console import UsageError, note
from .starter import FUSIONS, Part, starter

EXAMPLES = """
    graphvlm new my_model
    graphvlm new my_model --encoder clip_vit_l_14_336 --decoder vicuna_7b
    graphvlm new my_model --fusion prefix --decoder llama_3_2_1b
    graphvlm new my_model --encoder qwen2_audio --decoder qwen3_8b
    graphvlm new models/my_llava.yaml --from llava_1_5_7b
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the graph, or the path of the file to write")
    parser.add_argument(
        "--encoder", metavar="ENCODER", default="siglip_base_patch16_224", help="(default: %(default)s)"
    )
    parser.add_argument("--projector", metavar="PROJECTOR", help="(default: llava_mlp, or what suits the encoder)")
    parser.add_argument(
        "--fusion", choices=tuple(FUSIONS), help="(default: scatter, for a decoder that reads one text)"
    )
    parser.add_argument("--decoder", metavar="DECODER", default="qwen3_0_6b", help="(default: %(default)s)")
    parser.add_argument("--from", dest="base", metavar="GRAPH", help="copy this graph instead")


def run(args: argparse.Namespace) -> int:
    path = Path(args.name)
    path = path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")
    name = shared.check_name(path.stem)
    if path.exists():
        raise UsageError(f"{path} exists already, and is left as it is")
    shared.write(_copy(name, args.base) if args.base else _compose(name, args), path)
    note(f"next: graphvlm check {path}")
    return 0


def _copy(name: str, base: str) -> str:
    text = shared.graph_path(base).read_text(encoding="utf-8")
    text = re.sub(r"\A# yaml-language-server:.*\n", "", text)  # its path to the schema is right where it stood
    return shared.renamed(text, name)


def _compose(name: str, args: argparse.Namespace) -> str:
    for kind, part in (("encoder", args.encoder), ("projector", args.projector), ("decoder", args.decoder)):
        if part:
            _check_part(f"{kind}/{part}")
    projector = f"projector/{args.projector}" if args.projector else ""
    encoder, decoder = Part.of(f"encoder/{args.encoder}"), Part.of(f"decoder/{args.decoder}")
    return starter(name, encoder, projector, args.fusion or "", decoder)


def _check_part(name: str) -> None:
    if resources.part_file(name) is None:
        kind = name.split("/", maxsplit=1)[0]
        known = [part for part, _ in resources.part_files() if part.startswith(f"{kind}/")]
        hint = did_you_mean(name, known) or f"`graphvlm list parts {kind}` lists them"
        raise UsageError(f"there is no part `{name}`; {hint}")
