"""What readers of multimodal configs share: their record, parts, placeholder tokens, the language side of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...diagnostics import Label
from ...tree import Tree, mapping
from .fields import Fields, shown
from .tables import ConfigTable, Values
from .text import read_decoder, read_embedding
from .vision import Vision

IMAGE_INPUTS: Mapping[str, Any] = MappingProxyType({"pixel_values": "image", "input_ids": "tokens"})


@dataclass(frozen=True, slots=True)
class Imported:
    """`nodes`, `outputs` and `checkpoint` of a graph, the text config, which may hold special tokens, the inputs."""

    body: dict[str, Any]
    text: Fields
    inputs: Mapping[str, Any] = field(default_factory=lambda: IMAGE_INPUTS)


@dataclass(frozen=True, slots=True)
class Family:
    """A multimodal model type: the fields of its config, the function that reads one, and the parts it may leave out.

    `read` returns None where a part cannot be read, and has noted why. `parts` maps the name of a part to what the
    config class takes for it when the file lacks it or has null there.
    """

    table: ConfigTable
    read: Callable[[Fields], Imported | None]
    parts: Mapping[str, Values] = field(default_factory=dict)


def read_part(config: Fields, key: str, tables: Mapping[str, ConfigTable], default: Values) -> Fields | None:
    """The object of a part (`vision_config`, ...); None, and a problem, where it is none or of a type without table.

    `default` is what an absent part is; one that is there but empty takes the values of its own class.
    """
    tree = config.tree.get(key)
    if tree is None or tree.value is None:
        span = config.tree.span
        tree = mapping({name: Tree(value, span) for name, value in default.items()}, span, {})
    if not tree.is_mapping:
        config.problems.error("invalid-config", f"`{key}` must be an object, not {shown(tree.plain())}", tree.span)
        return None
    model_type = tree.get("model_type")
    name = default["model_type"] if model_type is None else model_type.plain()
    if isinstance(name, str) and name in tables:
        return Fields(tree, tables[name], config.problems, f"{key}.")
    config.problems.error(
        "unsupported-config",
        f"`{key}.model_type` is `{shown(name)}`, which cannot be imported here",
        (model_type or tree).span,
        help=_part_help(name, tables),
    )
    return None


def _part_help(name: object, tables: Mapping[str, ConfigTable]) -> str:
    if name == "siglip2_vision_model":
        return "this is SigLIP 2 with a variable resolution; the fixed ones are of type `siglip_vision_model`"
    return "it can be one of " + ", ".join(tables)


def read_placeholder(config: Fields, vocab: int, key: str, other: str = "") -> int:
    """The token that images replace, from `key`, else from `other`, which is an older name of the same field."""
    names = [name for name in (key, other) if name and config.has(name)]
    token = config.integer(names[0] if names else other or key, least=0)
    if len(names) == 2 and token != config.tree.plain()[other]:
        config.problems.conflict(
            f"`{key}` and `{other}` are two names of one field, with two values",
            config.span(key),
            labels=(Label(config.span(other), "the other value"),),
            help="keep the one that the tokenizer has for its image token",
        )
    if token >= vocab:
        name = names[0] if names else other or key
        config.problems.conflict(
            f"`{name}` is {token}, but the vocabulary has {vocab} tokens, 0 to {vocab - 1}",
            config.span(name),
            help="correct the token, or `text_config.vocab_size`",
        )
    return token


def check_tokens(config: Fields, key: str, tokens: int, unsaid: int) -> None:
    """That the tokens of one image are as many as a field says, if it is not the default of its class, `unsaid`."""
    said = config.integer(key)
    if said not in (tokens, unsaid):
        config.problems.conflict(
            f"`{key}` is {said}, but the tower makes {tokens} tokens of an image",
            config.span(key),
            help=f"write {tokens} or leave the field out; or correct the sizes of the tower",
        )


def drops_class(config: Fields, vision: Vision) -> bool:
    """Whether the features leave out the class token, as `vision_feature_select_strategy` says; they do without it."""
    key = "vision_feature_select_strategy"
    chosen = key in config.table.understood
    drop = not chosen or config.choice(key, ("default", "full")) == "default"
    if drop and not vision.class_token:
        config.unsupported(
            key if chosen else "vision_config",
            f"{f'`{key}` is `default`, which' if chosen else 'this model'} drops the first token of each image; "
            "this tower has no class token, so that transformers loses the first patch in silence",
            f'write "{key}": "full", unless the weights were trained without the first patch'
            if chosen
            else "use a tower with a class token",
        )
    return drop


def read_output(config: Fields, vision: Vision, *, drop: bool, key: str = "vision_feature_layer") -> dict[str, Any]:
    """The `output` of the tower: hidden states of the layers that the field `key` names, without the class token or
    with it."""
    tree = config.tree.get(key)
    value = config.table.understood[key] if tree is None else tree.plain()
    layers = list(value) if isinstance(value, (list, tuple)) else [value]
    if not layers or not all(type(layer) is int for layer in layers):
        what = "a whole number" if tree is None or not tree.is_sequence else "a list of whole numbers"
        config.problems.error("invalid-config", f"`{key}` must be {what}, not {shown(value)}", config.span(key))
        return {}
    for layer in layers:
        if not -vision.layers - 1 <= layer <= vision.layers:
            states = f"{-vision.layers - 1} to {vision.layers}"
            config.problems.conflict(
                f"`{key}` is {shown(value)}, but {vision.layers} layers have the hidden states {states}",
                config.span(key),
            )
    output: dict[str, Any] = {"layer": layers[0]} if len(layers) == 1 else {"layers": layers}
    return output | {"drop_cls": True} if drop else output


def read_tied(config: Fields, text: Fields) -> bool:
    """Whether the head is the token embedding: the outer word, else that of the text, else what the class takes.

    transformers asks the outer config alone, and leaves a head untied that the file has all the same.
    """
    if config.has("tie_word_embeddings") or not text.has("tie_word_embeddings"):
        return config.boolean("tie_word_embeddings")
    return text.boolean("tie_word_embeddings")


def read_llm(text: Fields, *, tied: bool, bounds: bool = False) -> dict[str, Any]:
    """The decoder under a head of the multimodal class, which does not scale its logits; it `bounds` them, or not."""
    llm = read_decoder(text, "fused", tied=tied)
    for key in ("scale",) if bounds else ("softcap", "scale"):
        llm["head"].pop(key, None)
    return llm


def image_text(text: Fields, vision: dict[str, Any], last: str, llm: dict[str, Any], token: int) -> dict[str, Any]:
    """The nodes of a model whose images, seen by the nodes `vision`, replace `token`; `last` of these gives them."""
    return {**vision, **fused_language(read_embedding(text), llm, {"image": last}, {"image": token})}


def mlp_projector(inputs: str, **settings: Any) -> dict[str, Any]:
    """A node of type `projector/mlp`."""
    return {"kind": "projector", "type": "mlp", **settings, "inputs": inputs}


def fused_language(
    embedding: dict[str, Any], llm: dict[str, Any], features: Mapping[str, str], tokens: Mapping[str, int]
) -> dict[str, Any]:
    """Nodes `text`, `fused` and `llm`: features take the places of their tokens in the embedded text.

    `features` maps an input port of `fused` to the node that gives it, `tokens` the same port to its token. A factor
    that a text model has on embeddings is in these classes one on all that comes in.
    """
    if isinstance(embedding.get("scale"), float):
        embedding, scale = {key: value for key, value in embedding.items() if key != "scale"}, embedding["scale"]
        llm = {"input_scale": scale, **llm}
    return {
        "text": embedding,
        "fused": {
            "kind": "fusion",
            "type": "scatter",
            "inputs": {"text": "text", **features, "ids": "input_ids"},
            "placeholder": dict(tokens),
        },
        "llm": llm,
    }


def called_again(nodes: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    """Calls of nodes for videos, each named after its node; `inputs` maps the inputs of images to those of videos."""

    def again(reference: str) -> str:
        name, dot, port = reference.partition(".")
        return (f"video_{name}" if name in nodes else inputs.get(name, name)) + dot + port

    def of(given: Any) -> Any:
        return {port: again(each) for port, each in given.items()} if isinstance(given, Mapping) else again(given)

    return {f"video_{name}": {"module": name, "inputs": of(node["inputs"])} for name, node in nodes.items()}
