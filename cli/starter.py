"""The text of a starter graph: an encoder, a projector, a way into the text and a decoder of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from graphvlm import catalog
from graphvlm.component import component
from graphvlm.compose import compose
from graphvlm.diagnostics import Source
from graphvlm.settings import Settings
from graphvlm.spec import Port

from .console import UsageError

# What an encoder reads -> the input that it comes from.
INPUTS = {
    "image": "pixel_values",
    "video": "pixel_values",
    "stack": "pixel_values",
    "tiles": "pixel_values",
    "patches": "pixel_values",
    "audio": "input_features",
    "grid": "image_grid_thw",
    "tile_grid": "aspect_ratios",
    "arrangement": "aspect_ratio_ids",
    "tile_mask": "tile_mask",
    "sizes": "image_sizes",
    "mask": "feature_mask",
}
# A tower with a class token is read one layer before its end, without that token, as CLIP towers commonly are.
CLASS_TOKEN = "    output: {layer: -2, drop_cls: true}"
SCATTER = """\
  fused:
    kind: fusion
    type: scatter # {noun} features take the place of the placeholder tokens
    inputs: {{text: text, {noun}: projector, ids: input_ids}}
    placeholder: {{{noun}: {placeholder}}} # the token id that stands for one of them in a prompt"""
PREFIX = """\
  fused:
    kind: fusion
    type: prefix # {noun} features stand before the text
    inputs: {{{noun}: projector, text: text}}"""
FUSIONS = {"scatter": SCATTER, "prefix": PREFIX}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the catalog: its name, its settings, and the ports that something has to flow into."""

    name: str
    settings: Settings
    needed: Mapping[str, Port]

    @classmethod
    def of(cls, name: str) -> Part:
        """The part `kind/name`, with the parts that it uses put in."""
        tree = compose(Source("<part>", f"part: {{use: {name}}}")).get("part")
        assert tree is not None
        settings = Settings(tree)
        signature = component(settings.get("kind"), settings.get("type")).signature("part", settings)
        return cls(name, settings, {port: end for port, end in signature.inputs.items() if not end.optional})


def starter(name: str, encoder: Part, projector: str, fusion: str, decoder: Part) -> str:
    """A graph of these parts; without a `projector` or a `fusion`, with what suits them.

    Raises UsageError if a part reads what a starter does not have.
    """
    noun = _noun(encoder)
    tower = "audio" if noun == "audio" else "vision"
    crossed = [port for port, end in decoder.needed.items() if end.what == "features"][1:]
    others = [end.what for port, end in decoder.needed.items() if end.what not in ("features", "visible")]
    if len(crossed) > 1 or others:
        raise UsageError(f"`{decoder.name}` reads more than a text and {noun}s; {_instead(decoder)}")
    if crossed and fusion:
        raise UsageError(f"`{decoder.name}` reads {noun} features in its layers (`{crossed[0]}`): leave --fusion out")
    read = {"features": "text", crossed[0]: "projector"} if crossed else {}
    visible = {port: f"{noun}_visible" for port, end in decoder.needed.items() if end.what == "visible"}
    inputs: dict[str, str] = {INPUTS[end.what]: end.what for end in encoder.needed.values()}
    inputs |= {"input_ids": "tokens"} | dict.fromkeys(visible.values(), "visible")
    lines = [
        "version: 1",
        f"name: {name}",
        f"description: {', '.join(_shown(encoder.name, projector, decoder.name))}",
        "\ninputs:",
        *(f"  {each}: {what}" for each, what in inputs.items()),
        "\nnodes:",
        *_tower(tower, encoder),
        *_projector(tower, encoder, projector),
        *([f"    out: {decoder.settings.get('dim')} # as wide as the decoder"] if crossed else []),
        "  text:\n    kind: encoder\n    type: token_embedding\n    inputs: input_ids",
        *([] if crossed else [FUSIONS[fusion or "scatter"].format(noun=noun, placeholder=_placeholder(decoder))]),
        f"  llm:\n    use: {decoder.name}",
        f"    inputs: {_wires(read | visible) if read else 'fused'}",
        "\noutputs:\n  logits: llm.logits",
        f"\nfreeze: [{tower}]",
    ]
    return "\n".join(lines) + "\n"


def _shown(*names: str) -> Iterator[str]:
    yield from (name.partition("/")[2] or name for name in names if name)


def _noun(encoder: Part) -> str:
    """What an encoder encodes."""
    what = [end.what for end in encoder.needed.values()]
    unknown = [each for each in what if each not in INPUTS]
    if unknown:
        reads = "what other nodes give" if "features" in unknown else "more than images or sounds"
        raise UsageError(f"`{encoder.name}` reads {reads}; {_instead(encoder)}")
    return what[0] if what[0] in ("audio", "video") else "image"


def _instead(part: Part) -> str:
    """What else to begin with: graphs that have the part."""
    have = [name for name, path in catalog.graphs().items() if f"use: {part.name}" in path.read_text(encoding="utf-8")]
    if have:
        return f"start from a graph that has it: --from {have[0]}"
    return "write the graph by hand: docs/howto/compose-your-own.md shows how"


def _tower(name: str, encoder: Part) -> Iterator[str]:
    yield f"  {name}:"
    yield f"    use: {encoder.name} # any key beside `use` overrides the part"
    yield f"    inputs: {_wires({port: INPUTS[end.what] for port, end in encoder.needed.items()})}"
    if encoder.settings.get("type") == "vit" and encoder.settings.get("class_token"):
        yield CLASS_TOKEN


def _projector(tower: str, encoder: Part, projector: str) -> Iterator[str]:
    yield "  projector:"
    if projector:
        yield f"    use: {projector} # its widths are inferred from its neighbours"
    elif int(encoder.settings.get("patch", "group", default=1)) > 1:
        yield "    kind: projector"
        yield "    type: patch_merger # patches that stand together become one token; its widths are inferred"
    else:
        yield "    use: projector/llava_mlp # its widths are inferred from its neighbours"
    yield f"    inputs: {tower}"


def _placeholder(decoder: Part) -> int:
    return int(decoder.settings.get("vocab", default=1)) - 1


def _wires(given: Mapping[str, str]) -> str:
    """`inputs` of a node: one name, or a name for each port."""
    names: Iterable[str] = given.values()
    if len(given) == 1:
        return next(iter(names))
    return f"{{{', '.join(f'{port}: {name}' for port, name in given.items())}}}"
