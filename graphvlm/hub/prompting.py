"""The processor of the profile, from `prompt:` of the graph: what stands for an image, and how it becomes pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..code import quoted
from ..components.encoder.token_embedding import TokenEmbedding
from ..ir import Graph, Ref
from ..names import class_name
from ..pages.package import Page
from ..problems import Problems
from ..prompts import Pictures, Sounds, pictures, sounds
from ..prompts.processors import preprocessor
from ..prompts.sound_views import sound_prompt_view, sound_tokens_view
from ..prompts.sounds import extractor
from ..prompts.views import CUT, tokens_views
from ..settings import Settings

# What a graph may call its images so that a processor gives them under the names of transformers.
_INPUTS = "the inputs of images have the names that processors of transformers give"


@dataclass(frozen=True, slots=True)
class ProcessorView:
    """One processor: the placeholder in texts, the token that features take the places of, and the module that counts.

    `token` is a literal of Python. With `counted`, the text for an image depends on how many its request has. `pieces`
    is an expression: into how many each image is cut. So many images stand `before` each text; none, if they stand
    where the text has them. An encoder may read the text in words of its `own`. With `counts`, the
    image processor says how many tiles it made.
    """

    class_name: str
    module: str
    token: str
    token_id: int
    counted: bool
    pieces: str
    before: int
    own: OwnWords | None = None
    counts: bool = False


@dataclass(frozen=True, slots=True)
class OwnWords:
    """The input of a text in words of its own, its mask (empty if it has none), and what has these words."""

    ids: str
    mask: str
    tokenizer: str


def processor(graph: Graph, before: int = 0) -> tuple[dict[str, Page], dict[str, Any]]:
    """The pages of the processor of a graph in the profile, and its JSON files; nothing if no images stand in texts.
    So many images stand `before` each text.

    Raises GraphError if the inputs of images have names of their own.
    """
    given, heard = pictures(graph), sounds(graph)
    if heard:
        return _heard(graph, heard)
    if given is None or given.token_id is None:
        return {}, {}  # what layers attend to stands in no text: such images have the processor beside the weights
    odd = [ours for ours, theirs in given.inputs if ours != theirs]
    if odd:
        _refuse(graph, f"`{odd[0]}` is none")
    name, module = f"{class_name(graph.name)}Processor", f"tokens_{graph.name}"
    view = ProcessorView(
        class_name=name,
        module=module,
        token=quoted(given.prompt.token),
        token_id=given.token_id,
        counted=given.alone,
        pieces=_pieces(given),
        before=before,
        own=_own_words(graph),
        counts="min_patches" in preprocessor(given),
    )
    auto = {"AutoProcessor": f"processing_{graph.name}.{name}"}
    pages = {
        f"processing_{graph.name}.py": Page("processing.py.j2", {"processor": view}),
        f"{module}.py": Page("plain/prompt/tokens.py.j2", tokens_views(given, None)),
    }
    return pages, {
        "processor_config.json": {"processor_class": name, "auto_map": auto},
        "preprocessor_config.json": preprocessor(given),
    }


def _heard(graph: Graph, given: Sounds) -> tuple[dict[str, Page], dict[str, Any]]:
    """Pages and files of a processor of sounds."""
    name, module = f"{class_name(graph.name)}Processor", f"tokens_{graph.name}"
    view = ProcessorView(name, module, quoted(given.prompt.token), given.token_id, False, "", 0)
    views = {"processor": view, "sounds": sound_prompt_view(graph, given, "input_ids", "attention_mask")}
    pages = {
        f"processing_{graph.name}.py": Page("processing_sounds.py.j2", views),
        f"{module}.py": Page("plain/prompt/sound_tokens.py.j2", {"page": sound_tokens_view(given)}),
    }
    auto = {"AutoProcessor": f"processing_{graph.name}.{name}"}
    return pages, {
        "processor_config.json": {"processor_class": name, "auto_map": auto},
        "preprocessor_config.json": extractor(given),
    }


def _own_words(graph: Graph) -> OwnWords | None:
    """The text that an encoder of images reads, if its words are not those of the prompt."""
    for node in graph.nodes.values():
        ids = node.inputs.get("ids") if isinstance(node.spec, TokenEmbedding) else None
        if ids is None or ids.port or ids.name in ("input_ids", "decoder_input_ids"):
            continue
        readers = [each for each in graph.nodes.values() if Ref(node.name, "features") in each.inputs.values()]
        masks = (each for reader in readers for each in reader.inputs.values() if not each.port)
        mask = next((each.name for each in masks if graph.inputs[each.name].port.what == "mask"), "")
        return OwnWords(ids.name, mask, f"{ids.name.removesuffix('_input_ids')}_tokenizer")
    return None


def _pieces(given: Pictures) -> str:
    """How many tiles or patches images come to, where they lie side by side for all images; else 1 an image."""
    if given.tiling.type in CUT:
        return "[each // TOKENS for each in tokens]"
    if given.patch and not given.padded:
        return f"[each * {given.merge**2} for each in tokens]" if given.merge > 1 else "tokens"
    return "[1] * len(image_sizes)"


def _refuse(graph: Graph, why: str) -> None:
    problems = Problems()
    problems.error(
        "outside-profile",
        f"the profile `hf` has no form for `prompt.image` of this graph: {_INPUTS}, and {why}",
        Settings(graph.tree).span("prompt", "image"),
        help="remove `prompt.image`, and put a processor beside the weights",
    )
    problems.stop()
