"""Decoders with latent attention whose queries look at the keys that an indexer chooses."""

from __future__ import annotations

from ..fields import Fields, shown
from ..tables import ConfigTable
from ..text_fields import ROPE
from ..text_kind import Node, TextKind, Variant
from ..text_layers import layers_of_type
from .deepseek import DEEPSEEK_V3, experts_by_sigmoid, ignore_further, make_latent, rope_part

_HARMLESS = DEEPSEEK_V3.harmless
_NEUTRAL = {**DEEPSEEK_V3.neutral, "mlp_bias": False}

DEEPSEEK_V32 = ConfigTable(
    "deepseek_v32",
    {
        "vocab_size": 129280,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "n_shared_experts": 1,
        "n_routed_experts": 256,
        "routed_scaling_factor": 2.5,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "qk_nope_head_dim": 128,
        "n_group": 8,
        "topk_group": 4,
        "num_experts_per_tok": 8,
        "norm_topk_prob": True,
        "hidden_act": "silu",
        "max_position_embeddings": 163840,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
        "mlp_layer_types": None,
        "first_k_dense_replace": 3,
        "attention_bias": False,
        "index_topk": 2048,
        "index_head_dim": 128,
        "index_n_heads": 64,
        "layer_types": None,
        **ROPE,
    },
    nullable=frozenset({"mlp_layer_types", "layer_types"}),
    harmless=_HARMLESS,
    # the class turns pairs (2 i, 2 i + 1) whatever this says
    neutral={**_NEUTRAL, "rope_interleave": True},
)

GLM_MOE_DSA = ConfigTable(
    "glm_moe_dsa",
    {
        **DEEPSEEK_V32.understood,
        "vocab_size": 154880,
        "hidden_size": 6144,
        "intermediate_size": 12288,
        "num_hidden_layers": 78,
        "num_attention_heads": 64,
        "num_key_value_heads": 64,
        "q_lora_rank": 2048,
        "v_head_dim": 256,
        "qk_nope_head_dim": 192,
        "n_group": 1,
        "topk_group": 1,
        "max_position_embeddings": 202752,
        "rms_norm_eps": 1e-5,
        "index_n_heads": 32,
        "indexer_types": None,
        # no fields of the class, which makes the list above of them
        "index_topk_freq": 1,
        "index_skip_topk_offset": 2,
        "index_topk_pattern": None,
    },
    nullable=DEEPSEEK_V32.nullable | {"indexer_types", "index_topk_pattern"},
    harmless=_HARMLESS,
    neutral={**_NEUTRAL, "rope_interleave": True, "indexer_rope_interleave": True},
)


def _adapt(text: Fields, node: Node) -> None:
    """Latent attention, with an indexer whose numbers are paired half a width apart."""
    _check_layers(text)
    make_latent(text, node)
    node["attention"]["indexer"] = {**_indexer(text), "style": "half"}
    ignore_further(text, node)


def _adapt_glm(text: Fields, node: Node) -> None:
    """The same with pairs side by side, as in the attention; the choice of a layer may be that of the next ones."""
    _check_layers(text)
    make_latent(text, node)
    node["attention"]["indexer"] = _indexer(text)
    ignore_further(text, node)


def _indexer(text: Fields) -> Node:
    return {
        "heads": text.integer("index_n_heads"),
        "head_dim": text.integer("index_head_dim"),
        "top": text.integer("index_topk"),
    }


def _check_layers(text: Fields) -> None:
    """All layers look at chosen keys."""
    layers_of_type(text, text.integer("num_hidden_layers"), {"indexed_attention": True})


_TYPES = {"full": False, "shared": True}
_LETTERS = {"F": False, "S": True}


def _shared(text: Fields) -> tuple[Variant, ...]:
    """The layers that share a choice: a list names them, or one in so many behind the first few makes one."""
    count = text.integer("num_hidden_layers")
    shared = layers_of_type(text, count, _TYPES, "indexer_types")
    if shared is None:
        shared = _by_pattern(text, count)
    if shared is None:
        step, first = text.integer("index_topk_freq"), text.integer("index_skip_topk_offset", least=0)
        shared = [layer for layer in range(count) if max(layer - first + 1, 0) % step]
    return (Variant("sharing", tuple(shared), {"attention": {"indexer": "shared"}}),) if shared else ()


def _by_pattern(text: Fields, count: int) -> list[int] | None:
    """The same from a letter a layer, or a list; None where the file has neither."""
    key = "index_topk_pattern"
    tree = text.get(key)
    if tree is None or tree.value is None:
        return None
    if isinstance(tree.value, str) and set(tree.value) <= _LETTERS.keys() and len(tree.value) == count:
        return [layer for layer, letter in enumerate(tree.value) if _LETTERS[letter]]
    if isinstance(tree.value, str):
        message = f"`{text.name(key)}` is `{shown(tree.value)}`, and must have an F or an S for each of {count} layers"
        text.problems.error("invalid-config", message, text.span(key))
        return []
    return layers_of_type(text, count, _TYPES, key)


KINDS = (
    TextKind(
        DEEPSEEK_V32,
        bias="attention_bias",
        style="interleaved",
        position=rope_part,
        experts=experts_by_sigmoid,
        adapt=_adapt,
        checkpoint="checkpoint/deepseek_indexed",
    ),
    TextKind(
        GLM_MOE_DSA,
        bias="attention_bias",
        style="interleaved",
        position=rope_part,
        experts=experts_by_sigmoid,
        variants=_shared,
        adapt=_adapt_glm,
        checkpoint="checkpoint/deepseek_indexed",
    ),
)
