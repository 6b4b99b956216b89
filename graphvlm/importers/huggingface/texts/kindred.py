"""Decoders that put together what others have: their attention, their experts, their norms."""

from __future__ import annotations

from ..experts import plain_experts
from ..fields import Fields
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import Node, TextKind
from .deepseek import DEEPSEEK_V3, experts_by_sigmoid, ignore_further, make_latent, rope_part
from .gemma import GEMMA2
from .indexed import DEEPSEEK_V32
from .olmo import OLMO2

_OF_INDEXERS = ("index_topk", "index_head_dim", "index_n_heads", "layer_types")

GLM4_MOE_LITE = ConfigTable(
    "glm4_moe_lite",
    {
        **{name: value for name, value in DEEPSEEK_V32.understood.items() if name not in _OF_INDEXERS},
        "vocab_size": 154880,
        "hidden_size": 2048,
        "intermediate_size": 10240,
        "moe_intermediate_size": 1536,
        "num_hidden_layers": 47,
        "num_attention_heads": 20,
        "num_key_value_heads": 20,
        "n_routed_experts": 64,
        "routed_scaling_factor": 1.8,
        "q_lora_rank": 768,
        "v_head_dim": 256,
        "qk_nope_head_dim": 192,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": 4,
        "max_position_embeddings": 202752,
        "rms_norm_eps": 1e-5,
        "rope_interleave": True,
        "first_k_dense_replace": 1,  # no field of the class, whose first layer alone is dense unless a list says more
    },
    nullable=frozenset({"q_lora_rank", "mlp_layer_types"}),
    harmless=DEEPSEEK_V3.harmless,
    neutral=DEEPSEEK_V3.neutral,
)

YOUTU = ConfigTable(
    "youtu",
    {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "qk_nope_head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "tie_word_embeddings": True,
        "rope_interleave": True,
        "attention_bias": False,
        **ROPE,
    },
    nullable=frozenset({"q_lora_rank", "v_head_dim", "rope_interleave"}),
    harmless=frozenset({"embedding_initializer_range", "head_dim", "qk_head_dim"}),
    neutral={"mlp_bias": False},
)

SOLAR_OPEN = ConfigTable(
    "solar_open",
    {
        "vocab_size": 196608,
        "hidden_size": 4096,
        "num_hidden_layers": 48,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "moe_intermediate_size": 1280,
        "num_experts_per_tok": 8,
        "n_shared_experts": 1,
        "n_routed_experts": 128,
        "routed_scaling_factor": 1.0,
        "n_group": 1,
        "topk_group": 1,
        "norm_topk_prob": True,
        "bos_token_id": None,
        "eos_token_id": None,
        **ROPE,
        "rope_theta": 1000000.0,
    },
    harmless=frozenset({"output_router_logits", "intermediate_size"}),  # no layer without experts
    neutral={"first_k_dense_replace": 0, "use_qk_norm": False},
    called={"intermediate_size": "moe_intermediate_size"},
)

VAULT_GEMMA = ConfigTable(
    "vaultgemma",
    GEMMA2.understood,
    nullable=GEMMA2.nullable,
    harmless=GEMMA2.harmless,
    called=GEMMA2.called,
)

FLEX_OLMO = ConfigTable(
    "flex_olmo",
    {
        **OLMO2.understood,
        "vocab_size": 100352,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "eos_token_id": 100257,
        "num_experts_per_tok": 5,
        "num_experts": 7,
        "norm_topk_prob": False,
        "rope_theta": 500000.0,
    },
    nullable=OLMO2.nullable,
    harmless=ROUTER_LOSS,
)


def _latent(text: Fields, node: Node) -> None:
    make_latent(text, node)
    if not text.boolean("rope_interleave"):
        del node["position"]["style"]
    ignore_further(text, node)


KINDS = (
    TextKind(
        GLM4_MOE_LITE,
        bias="attention_bias",
        style="interleaved",
        position=rope_part,
        experts=experts_by_sigmoid,
        adapt=_latent,
        checkpoint="checkpoint/deepseek",
    ),
    TextKind(
        YOUTU,
        bias="attention_bias",
        style="interleaved",
        position=rope_part,
        adapt=_latent,
        checkpoint="checkpoint/deepseek",
    ),
    TextKind(
        SOLAR_OPEN,
        bias={"q": "attention_bias", "k": "attention_bias", "v": "attention_bias", "o": False},
        experts=experts_by_sigmoid,
        checkpoint="checkpoint/deepseek",
    ),
    TextKind(
        VAULT_GEMMA,
        bias="attention_bias",
        window="even",
        norm={"type": "rms", "unit_offset": True},
        embedding={"scale": "sqrt_dim"},
        checkpoint="checkpoint/vaultgemma",
    ),
    TextKind(
        FLEX_OLMO,
        bias="attention_bias",
        qk_norm="all",
        norm={"type": "rms", "place": "branch"},
        experts=plain_experts,
        checkpoint="checkpoint/flex_olmo",
    ),
)
