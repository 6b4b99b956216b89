"""More decoders of the first kind: other defaults, biases, activations, pairs; layers that know no positions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..fields import Fields
from ..rope import check_names, read_position, rotary_object
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, Position, TextKind, Variant

SEED_OSS = ConfigTable(
    "seed_oss",
    {
        "vocab_size": 155136,
        "hidden_size": 4096,
        "intermediate_size": 27648,
        "num_hidden_layers": 64,
        "num_attention_heads": 80,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 524288,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "attention_bias": True,
        "attention_out_bias": False,
        "mlp_bias": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim"}),
    harmless=frozenset({"pretraining_tp", "residual_dropout"}),
)

ARCEE = ConfigTable(
    "arcee",
    {
        "vocab_size": 32000,
        "hidden_size": 2560,
        "intermediate_size": 18432,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "hidden_act": "relu2",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim"}),
)

ERNIE4_5 = ConfigTable(
    "ernie4_5",
    {
        "vocab_size": 103424,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 18,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
        "use_bias": False,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"num_key_value_heads", "use_bias", "head_dim"}),
)

HELIUM = ConfigTable(
    "helium",
    {
        "vocab_size": 48000,
        "hidden_size": 2560,
        "intermediate_size": 7040,
        "num_hidden_layers": 24,
        "num_attention_heads": 20,
        "num_key_value_heads": 20,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-8,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        **ROPE,
        "rope_theta": 100000.0,
    },
)

MINISTRAL = ConfigTable(
    "ministral",
    {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": None,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "sliding_window": 4096,
        "layer_types": None,
        **ROPE,
    },
    nullable=frozenset({"head_dim", "sliding_window", "layer_types"}),
)

SMOLLM3 = ConfigTable(
    "smollm3",
    {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "use_sliding_window": False,
        "sliding_window": None,
        "no_rope_layers": None,
        "no_rope_layer_interval": 4,
        "layer_types": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        **ROPE,
        "rope_theta": 2000000.0,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim", "sliding_window", "no_rope_layers", "layer_types"}),
    harmless=frozenset({"max_window_layers", "pretraining_tp"}),
)


HUNYUAN_DENSE = ConfigTable(
    "hunyuan_v1_dense",
    {
        "vocab_size": 290943,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "attention_bias": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim"}),
    harmless=frozenset({"eod_token_id", "pretraining_tp"}),
)


# What published files have beside `alpha`; only the latter is read then.
_BESIDE_ALPHA = frozenset({"alpha", "factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"})


def _named(rope: Fields) -> object:
    fields = rope.tree.plain()
    return fields.get("rope_type", fields.get("type", "dynamic"))


def _stretched_base(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Positions called `dynamic` that have an `alpha` are ordinary ones, of a larger base."""
    rope = rotary_object(text)
    if rope is None or not rope.has("alpha") or _named(rope) != "dynamic":
        return read_position(text, kind, head_dim)
    check_names(rope, "dynamic", 0, _BESIDE_ALPHA)
    theta = rope.number("rope_theta") if rope.has("rope_theta") else text.number("rope_theta")
    base = theta * rope.number("alpha") ** (head_dim / (head_dim - 2))
    return Position({"type": "rope", "theta": base}, text.integer("max_position_embeddings"))


def _turned_norm(text: Fields, node: Node) -> None:
    node["attention"]["qk_norm"]["after_rope"] = True


def layers_without_positions(text: Fields) -> tuple[int, ...]:
    """Those whose flag (of having positions) is 0, else every `no_rope_layer_interval`-th."""
    count, step = text.integer("num_hidden_layers"), text.integer("no_rope_layer_interval")
    flags = text.integers("no_rope_layers") or [int((layer + 1) % step != 0) for layer in range(count)]
    if len(flags) < count:
        message = f"`{text.name('no_rope_layers')}` has {len(flags)} flags for {count} layers"
        text.problems.conflict(message, text.span("no_rope_layers"))
    return tuple(layer for layer, flag in enumerate(flags[:count]) if not flag)


def _nope(text: Fields) -> tuple[Variant, ...]:
    layers = layers_without_positions(text)
    return (Variant("nope", layers, {"position": "none"}),) if layers else ()


def _adapt_smollm3(text: Fields, node: Node) -> None:
    if text.boolean("use_sliding_window") and text.has("sliding_window") and not text.has("layer_types"):
        text.unsupported(
            "use_sliding_window",
            f"`{text.name('use_sliding_window')}` without `layer_types`: which layers have a window is not said",
            "write `layer_types`, one word a layer",
        )


_SEED_BIAS: Mapping[str, bool | str] = MappingProxyType(
    dict.fromkeys("qkv", "attention_bias") | {"o": "attention_out_bias"}
)
_QKV_BIAS: Mapping[str, bool | str] = MappingProxyType(dict.fromkeys("qkv", "attention_bias") | {"o": False})

KINDS = (
    TextKind(SEED_OSS, bias=_SEED_BIAS, mlp_bias="mlp_bias"),
    TextKind(ARCEE, bias="attention_bias", mlp_bias="mlp_bias", gated=False),
    TextKind(ERNIE4_5, bias="use_bias", mlp_bias="use_bias", style="interleaved"),
    TextKind(HELIUM, bias=_QKV_BIAS, mlp_bias="mlp_bias", style="interleaved"),
    TextKind(
        HUNYUAN_DENSE,
        bias="attention_bias",
        qk_norm="head",
        position=_stretched_base,
        adapt=_turned_norm,
        checkpoint="checkpoint/hunyuan",
    ),
    TextKind(MINISTRAL, window="listed"),
    TextKind(
        SMOLLM3,
        bias="attention_bias",
        mlp_bias="mlp_bias",
        window="some",
        variants=_nope,
        adapt=_adapt_smollm3,
    ),
)
