"""Write a starter graph, made of catalog parts or copied from a shipped graph. An existing file is left as it is."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from graphvlm import resources
from graphvlm.diagnostics import did_you_mean
from graphvlm.source import decode, parse
from graphvlm.tree import Tree

from . import options as shared
from .console import UsageError, note

EXAMPLES = """
    graphvlm new my_model
    graphvlm new my_model --encoder clip_vit_l_14_336 --decoder vicuna_7b
    graphvlm new my_model --fusion prefix --decoder llama_3_2_1b
    graphvlm new models/my_llava.yaml --from llava_1_5_7b
"""

STARTER = """\
version: 1
name: {name}
description: {encoder}, {projector}, {decoder}

inputs:
  pixel_values: image
  input_ids: tokens

nodes:
  vision:
    use: encoder/{encoder} # any key beside `use` overrides the part
    inputs: pixel_values{output}
  projector:
    use: projector/{projector} # its widths are inferred from its neighbours
    inputs: vision
  text:
    kind: encoder
    type: token_embedding
    inputs: input_ids
  fused:
    kind: fusion
{fusion}
  llm:
    use: decoder/{decoder}
    inputs: fused

outputs:
  logits: llm.logits

freeze: [vision]
"""
# A tower with a class token is read one layer before its end, without that token, as CLIP towers commonly are.
CLASS_TOKEN = "\n    output: {layer: -2, drop_cls: true}"
FUSIONS = {
    "scatter": """\
    type: scatter # image features take the place of the placeholder tokens
    inputs: {{text: text, image: projector, ids: input_ids}}
    placeholder: {{image: {placeholder}}} # the token id that stands for one image feature in a prompt""",
    "prefix": """\
    type: prefix # image features stand before the text
    inputs: {{image: projector, text: text}}""",
}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the graph, or the path of the file to write")
    parser.add_argument(
        "--encoder", metavar="ENCODER", default="siglip_base_patch16_224", help="(default: %(default)s)"
    )
    parser.add_argument("--projector", metavar="PROJECTOR", default="llava_mlp", help="(default: %(default)s)")
    parser.add_argument("--fusion", choices=tuple(FUSIONS), default="scatter", help="(default: %(default)s)")
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
    encoder, decoder = _part(f"encoder/{args.encoder}"), _part(f"decoder/{args.decoder}")
    _part(f"projector/{args.projector}")
    vocab = decoder.get("vocab")
    last = int(vocab.value) - 1 if vocab is not None and isinstance(vocab.value, int) else 0
    return STARTER.format(
        name=name,
        encoder=args.encoder,
        projector=args.projector,
        decoder=args.decoder,
        output=CLASS_TOKEN if (token := encoder.get("class_token")) is not None and token.value else "",
        fusion=FUSIONS[args.fusion].format(placeholder=last),
    )


def _part(name: str) -> Tree:
    file = resources.part_file(name)
    if file is None:
        kind = name.split("/", maxsplit=1)[0]
        known = [part for part, _ in resources.part_files() if part.startswith(f"{kind}/")]
        hint = did_you_mean(name, known) or f"`graphvlm list parts {kind}` lists them"
        raise UsageError(f"there is no part `{name}`; {hint}")
    return parse(decode(file.read_bytes(), name))
