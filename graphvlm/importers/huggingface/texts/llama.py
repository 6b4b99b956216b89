"""Pre-norm decoders of the first kind: what differs is where a bias or a window is."""

from __future__ import annotations

from ..tables import ConfigTable
from ..text_fields import QKV, ROPE
from ..text_kind import TextKind

LLAMA = ConfigTable(
    "llama",
    {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "head_dim": None,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim"}),
    # how many slices training computed a projection in; the length in configs that version 4.28 converted
    harmless=frozenset({"pretraining_tp", "max_sequence_length"}),
)

MISTRAL = ConfigTable(
    "mistral",
    {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "hidden_act": "silu",
        "max_position_embeddings": 4096 * 32,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "head_dim": None,
        "sliding_window": 4096,
        **ROPE,
    },
    nullable=frozenset({"head_dim", "sliding_window"}),
    # with layer types, transformers reads the file as another model (ministral)
    neutral={"layer_types": None},
)

QWEN2 = ConfigTable(
    "qwen2",
    {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "layer_types": None,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim", "sliding_window", "layer_types"}),
)

QWEN3 = ConfigTable(
    "qwen3",
    {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "layer_types": None,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "sliding_window", "layer_types"}),
)

KINDS = (
    TextKind(LLAMA, bias="attention_bias", mlp_bias="mlp_bias"),
    TextKind(MISTRAL, window="all"),
    TextKind(QWEN2, bias=QKV, window="some"),
    TextKind(QWEN3, bias="attention_bias", qk_norm="head", window="some"),
)
