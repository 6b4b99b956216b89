"""Models whose image tokens are weighted sums of the rows of a table, as words are rows of another: Ovis 2."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .fields import Fields
from .multimodal import Family, Imported, fused_language, read_llm, read_part, read_placeholder, read_tied
from .tables import ConfigTable, Values
from .text import read_embedding
from .text_tables import TEXT_TABLES
from .vision import Vision, check_sizes, read_square

OVIS2 = ConfigTable(
    "ovis2",
    {
        "vision_config": None,
        "text_config": None,
        "image_token_id": 151665,
        "visual_indicator_token_ids": (151666, 151667, 151668, 151669, 151670),
        "vocab_size": 151643,
        "hidden_size": 1536,
        "tie_word_embeddings": True,
    },
)

VISION_TABLES: Mapping[str, ConfigTable] = MappingProxyType(
    {
        "ovis2_vision": ConfigTable(
            "ovis2_vision",
            {
                "hidden_size": 1024,
                "intermediate_size": 2816,
                "num_hidden_layers": 24,
                "num_attention_heads": 8,
                "num_channels": 3,
                "image_size": 224,
                "patch_size": 14,
                "rms_norm_eps": 1e-5,
                "qkv_bias": False,
                "mlp_bias": False,
                "hidden_act": "silu",
                "vocab_size": 16384,
                "hidden_stride": 1,
                "num_visual_indicator_tokens": 5,
                "tokenize_function": "softmax",
            },
        )
    }
)

PARTS: Mapping[str, Values] = MappingProxyType(
    {"vision_config": {"model_type": "ovis2_vision"}, "text_config": {"model_type": "qwen2"}}
)


def read_ovis2(config: Fields) -> Imported | None:
    """The tower, its tokens put together, scores of the rows of a table, and tokens around images from that table."""
    config.check_names()
    text = read_part(config, "text_config", TEXT_TABLES, PARTS["text_config"])
    vision = read_part(config, "vision_config", VISION_TABLES, PARTS["vision_config"])
    if text is None or vision is None:
        return None
    llm = read_llm(text, tied=read_tied(config, text))
    for key, size in (("vocab_size", llm["vocab"]), ("hidden_size", llm["dim"])):
        if config.integer(key) != size:
            config.problems.conflict(
                f"`{key}` is {config.integer(key)}, and `text_config.{key}` is {size}: the head and the table of "
                "images are made for the one, and the text for the other",
                config.span(key),
                help="write the same number twice",
            )
    tower = _tower(vision)
    seen = {"vision": tower.tower({}), **_words(vision, tower)}
    token = read_placeholder(config, llm["vocab"], "image_token_id")
    features, marks = {"image": "words"}, _marks(config, vision, llm["vocab"])
    nodes = fused_language(
        read_embedding(text), llm, {**features, **({"around": "words.marks"} if marks else {})}, {"image": token}
    )
    if marks:
        nodes["fused"]["marks"] = {"around": marks}
    body = {"nodes": {**seen, **nodes}, "outputs": {"logits": "llm.logits"}, "checkpoint": {"use": "checkpoint/ovis2"}}
    return Imported(body, text)


def _tower(vision: Fields) -> Vision:
    """AIMv2: patches are normalised before their positions are added, and feed-forwards have gates."""
    vision.check_names()
    size, patch = read_square(vision, "image_size"), read_square(vision, "patch_size")
    heads, dim = vision.integer("num_attention_heads"), vision.integer("hidden_size")
    check_sizes(vision, size, patch, dim, heads)
    layers = vision.integer("num_hidden_layers")
    node: dict[str, Any] = {
        "kind": "encoder",
        "type": "vit",
        "inputs": "pixel_values",
        "image": {"size": size, "channels": vision.integer("num_channels")},
        "patch": {"size": patch, "bias": True, "norm": True, **({"remainder": "crop"} if size % patch else {})},
        "position": "learned",
        "dim": dim,
        "layers": layers,
        "norm": {"type": "rms", "eps": vision.number("rms_norm_eps")},
        "attention": {"heads": heads, "bias": vision.boolean("qkv_bias")},
        "mlp": {
            "hidden": vision.integer("intermediate_size"),
            "activation": vision.activation("hidden_act"),
            "gated": True,
            "bias": vision.boolean("mlp_bias"),
        },
    }
    return Vision(node, layers, (size // patch) ** 2, False, "aimv2_vision")


def _words(vision: Fields, tower: Vision) -> dict[str, Any]:
    """The nodes behind the tower; tokens that fill no square are filled up with zeros."""
    stride, side = vision.integer("hidden_stride"), round(tower.patches**0.5)
    marks, rows = _count(vision), vision.integer("vocab_size")
    if rows <= marks:
        vision.problems.conflict(
            f"`{vision.name('vocab_size')}`: of {rows} rows, none is left beside {marks} for tokens around images",
            vision.span("vocab_size"),
        )
    choose = _choice(vision)
    shuffled = {"kind": "projector", "type": "pixel_shuffle", "factor": stride, "inputs": "vision"}
    if side % stride:
        shuffled |= {"remainder": "pad", "grid": [side, side]}
    return {
        **({"shuffled": shuffled} if stride > 1 else {}),
        "scores": {
            "kind": "projector",
            "type": "linear",
            "inputs": "shuffled" if stride > 1 else "vision",
            "out": max(rows - marks, 1),
            "bias": False,
            "out_norm": {"type": "layer", "eps": 1e-5},
            "checkpoint": {"names": {"linear": "head_linear", "norm": "head_norm"}},
        },
        "words": {
            "kind": "projector",
            "type": "codebook",
            "inputs": "scores",
            **({"marks": marks} if marks else {}),
            **({"choose": choose} if choose != "softmax" else {}),
            "checkpoint": {"names": {"table": "visual_embeddings_table.weight"}},
        },
    }


def _count(vision: Fields) -> int:
    """How many tokens around images have a row; none where it is 0."""
    key = "num_visual_indicator_tokens"
    return 0 if vision.tree.get(key) and vision.tree.plain()[key] == 0 else vision.integer(key)


def _choice(vision: Fields) -> str:
    """How scores become weights; drawing rows by chance is for training alone, and the class does it always."""
    chosen = vision.choice("tokenize_function", ("softmax", "st_argmax", "gumbel_argmax"))
    if chosen == "gumbel_argmax":
        vision.unsupported(
            "tokenize_function",
            f"`{vision.name('tokenize_function')}` is `gumbel_argmax`, which draws the row of a token by chance",
            'write "st_argmax", which takes the likeliest row',
        )
    return "argmax" if chosen == "st_argmax" else "softmax"


def _marks(config: Fields, vision: Fields, vocab: int) -> list[int]:
    """The tokens whose rows stand behind those of images; their number is that of the tower's class."""
    key = "visual_indicator_token_ids"
    tree, count = config.tree.get(key), _count(vision)
    marks = list(config.table.understood[key]) if tree is None else config.integers(key)
    if marks and len(marks) != count:
        config.problems.conflict(
            f"`{key}` has {len(marks)} tokens, and the table {count} rows for them",
            config.span(key),
            help="name as many tokens as `vision_config.num_visual_indicator_tokens` says",
        )
    if any(token >= vocab for token in marks):
        config.problems.conflict(
            f"`{key}` goes up to {max(marks)}, but the vocabulary has {vocab} tokens, 0 to {vocab - 1}",
            config.span(key),
            help="correct the tokens, or `text_config.vocab_size`",
        )
    return marks


FAMILIES: Mapping[str, Family] = MappingProxyType({"ovis2": Family(OVIS2, read_ovis2, PARTS)})
