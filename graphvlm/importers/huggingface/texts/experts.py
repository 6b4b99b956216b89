"""The same with a mixture of experts in most layers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..experts import balanced, everywhere, some_dense
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import TextKind

MIXTRAL = ConfigTable(
    "mixtral",
    {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": None,
        "hidden_act": "silu",
        "max_position_embeddings": 4096 * 32,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "sliding_window": None,
        "num_experts_per_tok": 2,
        "num_local_experts": 8,
        **ROPE,
        "rope_theta": 1000000.0,
    },
    nullable=frozenset({"head_dim", "sliding_window"}),
    harmless=ROUTER_LOSS | {"router_jitter_noise"},  # noise of training
)

QWEN2_MOE = ConfigTable(
    "qwen2_moe",
    {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "qkv_bias": True,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "layer_types": None,
        "decoder_sparse_step": 1,
        "mlp_only_layers": None,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "num_experts_per_tok": 4,
        "num_experts": 60,
        "norm_topk_prob": False,
        **ROPE,
    },
    nullable=frozenset({"num_key_value_heads", "head_dim", "sliding_window", "layer_types", "mlp_only_layers"}),
    harmless=ROUTER_LOSS,
)

QWEN3_MOE = ConfigTable(
    "qwen3_moe",
    {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "decoder_sparse_step": 1,
        "mlp_only_layers": None,
        "moe_intermediate_size": 768,
        "num_experts_per_tok": 8,
        "num_experts": 128,
        "num_local_experts": None,
        "norm_topk_prob": False,
        **ROPE,
    },
    nullable=frozenset({"head_dim", "sliding_window", "mlp_only_layers", "num_local_experts"}),
    harmless=ROUTER_LOSS | {"max_window_layers"},  # which the class does not read
)

MINIMAX_M2 = ConfigTable(
    "minimax_m2",
    {
        "vocab_size": 200064,
        "hidden_size": 3072,
        "intermediate_size": 1536,
        "num_hidden_layers": 62,
        "num_attention_heads": 48,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 196608,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 200034,
        "eos_token_id": 200020,
        "tie_word_embeddings": False,
        "num_experts_per_tok": 8,
        "num_local_experts": 256,
        **ROPE,
        "rope_theta": 5000000.0,
        "rotary_dim": None,  # not a field of the class, which takes it from the file
    },
    nullable=frozenset({"rotary_dim"}),
    # the last are of layers that predict further tokens, and of kinds of attention and experts that M2 has none of
    harmless=ROUTER_LOSS
    | {"router_jitter_noise", "use_mtp", "num_mtp_modules", "mtp_transformer_layers"}
    | {"attn_type_list", "mlp_intermediate_size", "shared_moe_mode"},
    neutral={
        "use_qk_norm": True,
        "qk_norm_type": "per_layer",
        "scoring_func": "sigmoid",
        "use_routing_bias": True,
        "shared_intermediate_size": 0,
        "layernorm_full_attention_beta": 1.0,
        "layernorm_linear_attention_beta": 1.0,
        "layernorm_mlp_beta": 1.0,
    },
)

_BIAS: Mapping[str, bool | str] = MappingProxyType({"q": "qkv_bias", "k": "qkv_bias", "v": "qkv_bias"})

KINDS = (
    TextKind(MIXTRAL, window="all", experts=everywhere, checkpoint="checkpoint/mixtral"),
    TextKind(QWEN2_MOE, bias=_BIAS, window="even", experts=some_dense, checkpoint="checkpoint/qwen_moe"),
    TextKind(MINIMAX_M2, qk_norm="all", partial=True, experts=balanced, checkpoint="checkpoint/minimax_m2"),
    TextKind(
        QWEN3_MOE,
        bias="attention_bias",
        qk_norm="head",
        window="all",
        experts=some_dense,
        checkpoint="checkpoint/qwen_moe",
    ),
)
