"""Latent attention of LoongForge's foundations: its widths, its long positions, and the indexer that chooses keys."""

from __future__ import annotations

import math
from typing import Any

from .component import Component

LATENT = frozenset({"DeepseekConfig", "GlmConfig"})
INDEXED = "dsa"  # the attention variant with an indexer


def read_latent(config: Component, heads: int, *, indexed: bool) -> dict[str, Any]:
    """Latent attention. Its scores are scaled with the square of what stretched positions are sharpened with."""
    config.neutral({"multi_latent_attention": (True,), "qk_layernorm": (True,)})
    nope, rope = config.integer("qk_head_dim"), config.integer("qk_pos_emb_head_dim")
    widths = {
        "q_rank": config.integer_or_none("q_lora_rank"),
        "kv_rank": config.integer("kv_lora_rank"),
        "nope_dim": nope,
        "rope_dim": rope,
        "value_dim": config.integer("v_head_dim"),
    }
    attention: dict[str, Any] = {"heads": heads, "bias": False}
    if _stretched(config):
        sharper = _sharpened(config.number("rotary_scaling_factor"), config.number("mscale_all_dim"))
        attention["scale"] = sharper**2 * (nope + rope) ** -0.5
    attention["latent"] = {name: width for name, width in widths.items() if width is not None}
    return attention | ({"indexer": _indexer(config)} if indexed else {})


def read_latent_position(config: Component) -> dict[str, Any]:
    """Rotary positions, stretched or not."""
    position = {"type": "rope", "theta": config.number("rotary_base"), "style": "interleaved"}
    if not _stretched(config):
        return position
    scaling = {
        "type": "yarn",
        "factor": config.number("rotary_scaling_factor"),
        "original_max_tokens": config.integer("original_max_position_embeddings"),
        "beta_fast": config.number("beta_fast"),
        "beta_slow": config.number("beta_slow"),
        "mscale": config.number("mscale"),
        "mscale_all_dim": config.number("mscale_all_dim"),
    }
    return {**position, "scaling": scaling}


def share_choices(config: Component, layers: int | dict[str, Any]) -> int | dict[str, Any]:
    """The layers, of which those behind the first few have an indexer once in so many, and share its choice else."""
    count, step = config.integer("num_layers"), config.integer("dsa_indexer_topk_freq")
    first = config.integer("dsa_indexer_skip_topk_offset", least=0)
    shared = [layer for layer in range(count) if max(layer - first + 1, 0) % step]
    if not shared:
        return layers
    known: dict[str, Any] = layers if isinstance(layers, dict) else {"count": layers}
    entry = {"name": "sharing", "at": shared, "attention": {"indexer": "shared"}}
    return {**known, "where": [*known.get("where", []), entry]}


def _indexer(config: Component) -> dict[str, Any]:
    interleaved = config.boolean("dsa_indexer_rope_interleaved")
    return {
        "heads": config.integer("dsa_indexer_n_heads"),
        "head_dim": config.integer("dsa_indexer_head_dim"),
        "top": config.integer("dsa_indexer_topk"),
        "style": "interleaved" if interleaved else "half",
        "norm": {"type": "layer", "eps": config.number("dsa_indexer_k_norm_epsilon")},
    }


def _stretched(config: Component) -> bool:
    return config.choice("rope_type", ("yarn", "rope")) == "yarn"


def _sharpened(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0
