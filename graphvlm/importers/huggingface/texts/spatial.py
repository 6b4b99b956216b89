"""Decoders whose positions have three numbers: frame, row and column."""

from __future__ import annotations

from ..experts import some_dense
from ..tables import ConfigTable
from ..text_fields import QKV, ROPE, ROUTER_LOSS
from ..text_kind import TextKind

_QWEN2 = {
    "vocab_size": 152064,
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 80,
    "layer_types": None,
    **ROPE,
    "rope_theta": 1000000.0,
}
_NULLABLE = frozenset(
    {"num_key_value_heads", "use_sliding_window", "sliding_window", "max_window_layers", "layer_types"}
)

QWEN2_VL = ConfigTable("qwen2_vl_text", _QWEN2, nullable=_NULLABLE)
QWEN2_5_VL = ConfigTable("qwen2_5_vl_text", _QWEN2, nullable=_NULLABLE)

QWEN3_VL = ConfigTable(
    "qwen3_vl_text",
    {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "attention_bias": False,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"num_key_value_heads"}),
)

QWEN3_VL_MOE = ConfigTable(
    "qwen3_vl_moe_text",
    {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": None,
        "hidden_act": "silu",
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": None,
        "moe_intermediate_size": 1408,
        "num_experts_per_tok": 4,
        "num_experts": 60,
        "num_local_experts": None,  # how version 5 writes `num_experts`
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset({"head_dim", "mlp_only_layers", "num_local_experts"}),
    # the class always makes the weights of the chosen experts sum to one
    harmless=ROUTER_LOSS | {"norm_topk_prob"},
)

GLM4V = ConfigTable(
    "glm4v_text",
    {
        "vocab_size": 151552,
        "hidden_size": 4096,
        "intermediate_size": 13696,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads"}),
    neutral={"attention_bias": True},
)

GLM_OCR = ConfigTable(
    "glm_ocr_text",
    {
        "vocab_size": 59392,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        **ROPE,
    },
    nullable=frozenset({"head_dim"}),
    neutral={"attention_bias": False},
)

PADDLE = ConfigTable(
    "paddleocr_vl_text",
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
    nullable=frozenset({"num_key_value_heads", "head_dim", "use_bias"}),
)

KINDS = (
    TextKind(QWEN2_VL, bias=QKV, window="some", sections=(16, 24, 24)),
    TextKind(QWEN2_5_VL, bias=QKV, window="some", sections=(16, 24, 24)),
    TextKind(
        QWEN3_VL,
        bias="attention_bias",
        qk_norm="head",
        sections=(24, 20, 20),
        layout="interleaved",
        checkpoint="checkpoint/qwen3_vl_text",
    ),
    TextKind(
        QWEN3_VL_MOE,
        bias="attention_bias",
        qk_norm="head",
        experts=some_dense,
        sections=(24, 20, 20),
        layout="interleaved",
        checkpoint="checkpoint/qwen3_vl_moe_text",
    ),
    TextKind(PADDLE, bias="use_bias", mlp_bias="use_bias", sections=(16, 24, 24)),
    TextKind(
        GLM_OCR,
        norm={"type": "rms", "place": "sandwich"},
        style="interleaved",
        partial=True,
        sections=(8, 12, 12),
        checkpoint="checkpoint/glm4v_text",
    ),
    TextKind(
        GLM4V,
        bias=QKV,
        norm={"type": "rms", "place": "sandwich"},
        style="interleaved",
        partial=True,
        sections=(8, 12, 12),
        checkpoint="checkpoint/glm4v_text",
    ),
)
