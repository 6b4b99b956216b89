"""Decoders whose attention and feed-forward stand side by side behind one norm without bias, with scaled logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..fields import Fields, shown
from ..rope import read_position, read_rotary_of
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, Position, TextKind
from ..text_layers import parallel

COHERE = ConfigTable(
    "cohere",
    {
        "vocab_size": 256000,
        "hidden_size": 8192,
        "intermediate_size": 22528,
        "logit_scale": 0.0625,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "num_key_value_heads": None,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 5,
        "eos_token_id": 255001,
        "tie_word_embeddings": True,
        "attention_bias": False,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"logit_scale", "num_key_value_heads", "head_dim", "layer_norm_eps"}),
    neutral={"use_qk_norm": False},
    called={"rms_norm_eps": "layer_norm_eps"},
)

COHERE2 = ConfigTable(
    "cohere2",
    {
        "vocab_size": 256000,
        "hidden_size": 8192,
        "intermediate_size": 22528,
        "logit_scale": 0.0625,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "num_key_value_heads": None,
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 5,
        "eos_token_id": 255001,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "sliding_window": 4096,
        "sliding_window_pattern": 4,  # not a field of the class, which makes layer types of it
        "layer_types": None,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "sliding_window", "layer_types"}),
    # the class makes the width of a head itself; the rest says in other words what is read from other fields
    harmless=frozenset({"head_dim", "cache_implementation", "layer_switch", "use_embedding_sharing"}),
    neutral={
        "order_of_interleaved_layers": "local_attn_first",
        "position_embedding_type": "rope_gptj",
        "rotary_pct": 1.0,
        "use_gated_activation": True,
        "use_parallel_block": True,
        "use_parallel_embedding": False,
    },
    called={"rms_norm_eps": "layer_norm_eps"},
)

COHERE_COMPASS = ConfigTable(
    "cohere_compass_text",
    {
        "vocab_size": 256000,
        "hidden_size": 8192,
        "intermediate_size": 22528,
        "logit_scale": None,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "num_key_value_heads": None,
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 5,
        "eos_token_id": 255001,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "sliding_window": 4096,
        "layer_types": None,
        "rope_parameters": None,
    },
    nullable=frozenset({"logit_scale", "num_key_value_heads", "sliding_window", "layer_types"}),
    # the class makes the width of a head itself, and pools for a head of another kind
    harmless=frozenset({"head_dim", "pooling"}),
    called={"rms_norm_eps": "layer_norm_eps"},
)


def _nope(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Layers that see everything know no positions."""
    found = read_position(text, kind, head_dim)
    return replace(found, full="none", sliding=found.setting)


_TYPES = ("full_attention", "sliding_attention")
# Files have the other two as well, which the class throws away
_READ = frozenset({*_TYPES, "rope_theta", "rope_type"})


def _by_type(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Each type of layers has an object of its own, or null: these know no positions."""
    key = "rope_parameters"
    tree, types = text.tree.get(key), text.tree.get("layer_types")
    names = types.plain() if types is not None and types.value is not None else [_TYPES[0]]
    written = tree.keys if tree is not None and tree.is_mapping else {}
    for name, span in written.items():
        if name not in _READ:
            message = f"`{text.name(key)}.{shown(name)}` is not a field that a `{text.table.model_type}` config has"
            text.problems.error("unknown-config-field", message, span, help="remove it")
    found: dict[str, Any] = {}
    most = text.integer("max_position_embeddings")
    for name in _TYPES:
        if not isinstance(names, list) or name not in names:
            continue
        if name not in written:
            message = f"`{text.name(key)}` has nothing for the layers of type `{name}`"
            help = f"write `{name}` into it: an object with `rope_theta`, or null for layers without positions"
            text.problems.error("invalid-config", message, tree.span if tree else text.tree.span, help=help)
            continue
        setting, longest = read_rotary_of(text, kind, name, head_dim)
        found[name], most = setting, max(most, longest)
    if found and all(setting == "none" for setting in found.values()):
        what = "gives no layer any positions, which leaves images without rows and columns"
        text.unsupported(key, f"`{text.name(key)}` {what}", "give one type of layers an object with `rope_theta`")
    full = found.get("full_attention", "none")
    sliding = found.get("sliding_attention", full)
    return Position(full, most, full=full, sliding=sliding)


def _adapt(text: Fields, node: Node) -> None:
    parallel(node, shared=True)
    node["head"]["scale"] = text.number("logit_scale")


def _adapt_compass(text: Fields, node: Node) -> None:
    parallel(node, shared=True)
    if (scale := text.number_or_none("logit_scale")) is not None:
        node["head"]["scale"] = scale


_NORM = {"type": "layer", "bias": False}

KINDS = (
    TextKind(
        COHERE, bias="attention_bias", norm=_NORM, style="interleaved", adapt=_adapt, checkpoint="checkpoint/llama"
    ),
    TextKind(
        COHERE2,
        bias="attention_bias",
        window="pattern",
        norm=_NORM,
        style="interleaved",
        position=_nope,
        adapt=_adapt,
        checkpoint="checkpoint/llama",
    ),
    TextKind(
        COHERE_COMPASS,
        bias="attention_bias",
        window="some",
        norm=_NORM,
        sections=(24, 20, 20),
        layout="interleaved",
        position=_by_type,
        adapt=_adapt_compass,
        checkpoint="checkpoint/qwen3_vl_text",
    ),
)
