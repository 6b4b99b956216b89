"""A LLaVA config as a graph: tower, projector, embedded text with image features in place of placeholders, decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...diagnostics import Label
from ...tree import Tree, mapping
from .fields import Fields, shown
from .tables import LLAVA_TEXT_DEFAULT, LLAVA_VISION_DEFAULT, VISION_TABLES, ConfigTable, Values
from .text import read_decoder, read_embedding
from .text_tables import TEXT_TABLES
from .vision import Vision, read_vision

UNSAID_TOKENS = 576  # transformers writes this class default of `image_seq_length` whatever the images are


@dataclass(frozen=True, slots=True)
class Llava:
    """`nodes`, `outputs` and `checkpoint` of the graph, and the text config, which may hold special tokens."""

    body: dict[str, Any]
    text: Fields


def read_llava(config: Fields) -> Llava | None:
    """The graph of a LLaVA config; None where a part is of an unknown type."""
    config.check_names()
    text = _part(config, "text_config", TEXT_TABLES, LLAVA_TEXT_DEFAULT)
    vision_fields = _part(config, "vision_config", VISION_TABLES, LLAVA_VISION_DEFAULT)
    if text is None or vision_fields is None:
        return None
    # either place ties the embedding; LlavaConfig copies the text's word when its own is false
    tied = config.boolean("tie_word_embeddings") | text.boolean("tie_word_embeddings")
    llm = read_decoder(text, "fused", tied=tied)
    llm["head"].pop("softcap", None)  # the head of this class is its own, and does not bound its logits
    vision = read_vision(vision_fields)
    node = vision.node | {"output": _output(config, vision), "checkpoint": {"use": f"checkpoint/{vision.checkpoint}"}}
    language = _language(_placeholder(config, llm["vocab"]), read_embedding(text), llm)
    body = {
        "nodes": {"vision": node, "projector": _projector(config), **language},
        "outputs": {"logits": "llm.logits"},
        "checkpoint": {"use": "checkpoint/llava"},
    }
    return Llava(body, text)


def _part(config: Fields, key: str, tables: Mapping[str, ConfigTable], default: Values) -> Fields | None:
    tree = config.tree.get(key)
    if tree is None or tree.value is None:
        tree = _default_part(config, default)
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


def _default_part(config: Fields, default: Values) -> Tree:
    span = config.tree.span
    return mapping({key: Tree(value, span) for key, value in default.items()}, span, {})


def _projector(config: Fields) -> dict[str, Any]:
    projector = {
        "kind": "projector",
        "type": "mlp",
        "layers": 2,
        "activation": config.activation("projector_hidden_act"),
        "inputs": "vision",
    }
    return projector if config.boolean("multimodal_projector_bias") else projector | {"bias": False}


def _language(placeholder: int, embedding: dict[str, Any], llm: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": embedding,
        "fused": {
            "kind": "fusion",
            "type": "scatter",
            "inputs": {"text": "text", "image": "projector", "ids": "input_ids"},
            "placeholder": {"image": placeholder},
        },
        "llm": llm,
    }


def _placeholder(config: Fields, vocab: int) -> int:
    """The image token: `image_token_id` is another name for `image_token_index`."""
    key = "image_token_id" if config.has("image_token_id") else "image_token_index"
    token = config.integer(key, least=0)
    if (
        config.has("image_token_id")
        and config.has("image_token_index")
        and token != config.tree.plain()["image_token_index"]
    ):
        config.problems.conflict(
            "`image_token_id` and `image_token_index` are two names of one field, with two values",
            config.span("image_token_id"),
            labels=(Label(config.span("image_token_index"), "the other value"),),
            help="keep the one that the tokenizer has for its image token",
        )
    if token >= vocab:
        config.problems.conflict(
            f"`{key}` is {token}, but the vocabulary has {vocab} tokens, 0 to {vocab - 1}",
            config.span(key),
            help="correct the token, or `text_config.vocab_size`",
        )
    return token


def _output(config: Fields, vision: Vision) -> dict[str, Any]:
    """Which hidden states the projector reads, and whether without the class token."""
    drop = config.choice("vision_feature_select_strategy", ("default", "full")) == "default"
    if drop and not vision.class_token:
        config.unsupported(
            "vision_feature_select_strategy",
            "`vision_feature_select_strategy` is `default`, which drops the first token of each image; this tower has "
            "no class token, so that transformers loses the first patch in silence",
            'write "vision_feature_select_strategy": "full", unless the weights were trained without the first patch',
        )
    tokens = vision.patches + (vision.class_token and not drop)
    _check_tokens(config, tokens)
    output: dict[str, Any] = {"layer": _feature_layer(config, vision.layers)}
    return output | {"drop_cls": True} if drop else output


def _check_tokens(config: Fields, tokens: int) -> None:
    said = config.integer("image_seq_length")
    if said not in (tokens, UNSAID_TOKENS):
        config.problems.conflict(
            f"`image_seq_length` is {said}, but the tower makes {tokens} tokens of an image",
            config.span("image_seq_length"),
            help=f"write {tokens} or leave the field out; or correct the sizes of the tower",
        )


def _feature_layer(config: Fields, layers: int) -> int:
    key = "vision_feature_layer"
    tree = config.tree.get(key)
    if tree is not None and tree.is_sequence:
        message = f"`{key}` is a list: features of several layers side by side are not in the language yet"
        config.unsupported(key, message, "only one layer can be imported")
        return 0
    value = config.table.understood[key] if tree is None else tree.plain()
    if not isinstance(value, int) or isinstance(value, bool):
        config.problems.error("invalid-config", f"`{key}` must be a whole number, not {shown(value)}", config.span(key))
        return 0
    if not -layers - 1 <= value <= layers:
        config.problems.conflict(
            f"`{key}` is {value}, but {layers} layers have the hidden states {-layers - 1} to {layers}",
            config.span(key),
        )
    return value
