"""A foundation (language model) of LoongForge as one decoder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..findings import shown
from .by_kind import read_by_kind
from .component import Component, Path
from .latent import INDEXED, LATENT, read_latent, read_latent_position, share_choices
from .tables import HARMLESS, NEUTRAL

_CHECKPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "LLaMAConfig": "checkpoint/llama",
        "Qwen2Config": "checkpoint/llama",
        "Qwen3Config": "checkpoint/qwen_moe",
        "MimoConfig": "checkpoint/llama",
        "Qwen3NextConfig": "checkpoint/qwen3_next",
        "Qwen35Config": "checkpoint/qwen3_5",
        "DeepseekConfig": "checkpoint/deepseek",
        "GlmConfig": "checkpoint/deepseek",
    }
)

# Positions of three numbers, and which pairs of a head turn by which.
THREE_AXES: Mapping[str, str] = MappingProxyType(
    {
        "Qwen2VLRotaryEmbedding": "contiguous",
        "Qwen3VLRotaryEmbedding": "interleaved",
        "Qwen35RotaryEmbedding": "interleaved",
    }
)

# Setting of the decoder -> the fields that say it.
ABOUT: Mapping[Path, tuple[str, ...]] = MappingProxyType(
    {
        ("vocab",): ("vocab_size", "vocab_size_in_config_file"),
        ("max_tokens",): ("max_position_embeddings",),
        ("norm", "eps"): ("norm_epsilon", "layernorm_epsilon"),
        ("position", "theta"): ("rotary_base",),
        ("position", "dim"): ("rotary_percent",),
        ("position", "scaling", "factor"): ("rotary_scaling_factor", "rope_scaling_factor"),
        ("position", "scaling", "original_max_tokens"): ("original_max_position_embeddings",),
        ("position", "scaling", "mscale"): ("mscale",),
        ("position", "scaling", "mscale_all_dim"): ("mscale_all_dim",),
        ("attention", "indexer", "style"): ("dsa_indexer_rope_interleaved",),
        ("attention", "indexer", "norm", "eps"): ("dsa_indexer_k_norm_epsilon",),
        ("mlp", "moe", "top"): ("moe_router_topk",),
        ("mlp", "moe", "router", "score"): ("moe_router_score_function",),
        ("mlp", "moe", "router", "bias"): ("moe_router_enable_expert_bias",),
        ("mlp", "moe", "router", "groups"): ("moe_router_num_groups",),
        ("mlp", "moe", "router", "top_groups"): ("moe_router_group_topk",),
        ("mlp", "moe", "router", "scale"): ("moe_router_topk_scaling_factor",),
        ("mlp", "moe", "shared"): ("moe_shared_expert_intermediate_size",),
    }
)


def read_foundation(config: Component, inputs: str, *, grid: bool = False) -> dict[str, Any]:
    """The decoder node, which reads the node `inputs`; with a `grid`, images have rows and columns as positions."""
    if config.stem == "ErnieMoeConfig":
        dim, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
        attention = _attention(config, heads, config.integer_or_none("kv_channels") or dim // heads, 1.0)
        return read_by_kind(config, inputs, read_vocab(config), attention, grid=grid)
    config.check_names(HARMLESS, f"a `{config.stem}`")
    latent = config.stem in LATENT
    config.neutral({**NEUTRAL, **({"experimental_attention_variant": (INDEXED,)} if latent else {})})
    indexed = latent and config.has("experimental_attention_variant")
    dim, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    head_dim = config.integer_or_none("kv_channels") or dim // heads
    eps = config.number("layernorm_epsilon" if config.has("layernorm_epsilon") else "norm_epsilon")
    mlp, layers = _mlp(config)
    hybrid = "full_attention_interval" in config.defaults
    if indexed:
        layers = share_choices(config, layers)
    if hybrid:
        layers = _hybrid_layers(config)
    node = {
        "kind": "decoder",
        "type": "transformer",
        "inputs": inputs,
        "vocab": read_vocab(config),
        "dim": dim,
        "max_tokens": config.integer("max_position_embeddings"),
        "layers": layers,
        "norm": {"type": "rms", "eps": eps} | ({"unit_offset": True} if hybrid else {}),
        "attention": read_latent(config, heads, indexed=indexed)
        if latent
        else _attention(config, heads, head_dim, eps),
        "mlp": mlp,
        "position": read_latent_position(config) if latent else _position(config, head_dim, grid),
        "head": {"tied": not config.boolean("untie_embeddings_and_output_weights"), "bias": False},
    }
    names = "checkpoint/deepseek_indexed" if indexed else _CHECKPOINTS.get(config.stem)
    return node | ({"checkpoint": {"use": names}} if names else {})


def read_vocab(config: Component) -> int:
    """The rows of the embedding, before they are padded for tensor parallelism."""
    said = "vocab_size_in_config_file" if config.has("vocab_size_in_config_file") else "vocab_size"
    return config.integer(said)


def _hybrid_layers(config: Component) -> int | dict[str, Any]:
    """Linear attention in most layers, and attention to every token in each so many-th."""
    count, step = config.integer("num_layers"), config.integer("full_attention_interval")
    if step > count:
        return count
    whole = {"name": "full", "every": step, "from": step - 1, "attention": {"linear": None}}
    return {"count": count, "where": [whole]} if step > 1 else count


def _linear(config: Component) -> dict[str, Any]:
    return {
        "key_heads": config.integer("linear_num_key_heads"),
        "value_heads": config.integer("linear_num_value_heads"),
        "key_dim": config.integer("linear_key_head_dim"),
        "value_dim": config.integer("linear_value_head_dim"),
        "conv": config.integer("linear_conv_kernel_dim"),
    }


def _attention(config: Component, heads: int, head_dim: int, eps: float) -> dict[str, Any]:
    grouped = config.boolean("group_query_attention")
    kv_heads = (config.integer_or_none("num_query_groups") if grouped else None) or heads
    if heads % kv_heads:
        message = f"`{config.name('num_query_groups')}`: {heads} heads cannot share {kv_heads} heads of keys and values"
        config.problems.conflict(message, config.span("num_query_groups"))
    setting: dict[str, Any] = {"heads": heads}
    if kv_heads != heads:
        setting["kv_heads"] = kv_heads
    if head_dim * heads != config.integer("hidden_size"):
        setting["head_dim"] = head_dim
    bias = config.boolean("add_qkv_bias")
    setting["bias"] = {"q": True, "k": True, "v": True, "o": False} if bias else False
    if config.boolean("qk_layernorm"):
        setting["qk_norm"] = {"type": "rms", "eps": eps} | ({"over": "all"} if config.stem == "MinimaxConfig" else {})
    if "full_attention_interval" in config.defaults:
        setting["gate"] = "sigmoid"
        if config.integer("full_attention_interval") > 1:
            setting["linear"] = _linear(config)
    return setting


def _position(config: Component, head_dim: int, grid: bool) -> dict[str, Any]:
    """Rotary positions. Of a text alone, the three numbers of a position are one."""
    position: dict[str, Any] = {"type": "rope", "theta": config.number("rotary_base")}
    turned = int(head_dim * config.number("rotary_percent"))
    if turned != head_dim:
        position["dim"] = turned
    function = config.text("rotary_emb_func")
    if function == "DynamicRotaryEmbedding":
        factor, most = config.number("rope_scaling_factor"), config.integer("max_position_embeddings")
        position["scaling"] = {"type": "dynamic", "factor": factor, "original_max_tokens": most}
    elif function in THREE_AXES and grid:
        position |= {"type": "mrope", "sections": _sections(config), "layout": THREE_AXES[function]}
    elif function not in {"RotaryEmbedding", *THREE_AXES}:
        known = ", ".join(f"`{name}`" for name in ("RotaryEmbedding", "DynamicRotaryEmbedding", *THREE_AXES))
        message = f"`{config.name('rotary_emb_func')}` is `{shown(function)}`, which is not known"
        config.unsupported("rotary_emb_func", message, f"known are {known}")
    return position


def _sections(config: Component) -> list[int]:
    """How many pairs turn by the frame, the row and the column."""
    sections = config.listed("mrope_section")
    if len(sections) == 3 and all(isinstance(pairs, int) for pairs in sections):
        return sections
    config.wrong("mrope_section", "three whole numbers")
    return [0, 0, 0]


def _mlp(config: Component) -> tuple[dict[str, Any], int | dict[str, Any]]:
    """The feed-forward of most layers, and the layers: those without experts are an exception."""
    count = config.integer("num_layers")
    dense = {"hidden": config.integer("ffn_hidden_size"), "activation": "silu", "gated": True, "bias": False}
    if config.value("num_experts") is None:
        return dense, count
    sparse = {**dense, "hidden": config.integer("moe_ffn_hidden_size"), "moe": _moe(config)}
    without = _layers_without_experts(config, count)
    if not without:
        return sparse, count
    place = {"range": [without[0], without[-1] + 1]} if len(without) > 1 else {"at": without}
    if without != list(range(without[0], without[-1] + 1)):
        place = {"at": without}
    change = {"hidden": dense["hidden"], "moe": None}
    return sparse, {"count": count, "where": [{"name": "dense", **place, "mlp": change}]}


def _layers_without_experts(config: Component, count: int) -> list[int]:
    flags = config.value("moe_layer_freq")
    if flags is None or flags == 1:
        return []
    if isinstance(flags, int) and flags > 1:
        return [layer for layer in range(count) if layer % flags]
    if not isinstance(flags, list) or not all(flag in (0, 1) for flag in flags):
        config.wrong("moe_layer_freq", "a number, or a list of 0 and 1")
        return []
    if len(flags) != count:
        message = f"`{config.name('moe_layer_freq')}` is about {len(flags)} layers, and there are {count}"
        config.problems.conflict(message, config.span("moe_layer_freq"))
    return [layer for layer, flag in enumerate(flags) if not flag]


def _moe(config: Component) -> dict[str, Any]:
    experts, top = config.integer("num_experts"), config.integer("moe_router_topk")
    moe: dict[str, Any] = {"experts": experts, "top": top, "router": _router(config, top)}
    if config.has("moe_shared_expert_intermediate_size"):
        moe["shared"] = {"hidden": config.integer("moe_shared_expert_intermediate_size")}
        if "full_attention_interval" in config.defaults:
            moe["shared"]["gate"] = "sigmoid"
    return moe


def _router(config: Component, top: int) -> dict[str, Any]:
    """Scores are turned into weights after the choice, so that those of the chosen sum to one, unless before."""
    score = config.choice("moe_router_score_function", ("softmax", "sigmoid"))
    router: dict[str, Any] = {"score": score}
    if config.boolean("moe_router_enable_expert_bias"):
        router["bias"] = True
    groups, chosen = config.integer("moe_router_num_groups"), config.integer("moe_router_group_topk")
    if groups > 1:
        best = {1: "max", 2: "top2"}.get(top // chosen)
        if best is None:
            message = f"a group whose score is the sum of its {top // chosen} best experts is not in the language"
            config.unsupported("moe_router_group_topk", message, "the language has the best one, and the two best")
        router |= {"groups": groups, "top_groups": chosen, "group_score": best}
    router["normalize"] = score == "sigmoid" or not config.boolean("moe_router_pre_softmax")
    if config.has("moe_router_topk_scaling_factor"):
        router["scale"] = config.number("moe_router_topk_scaling_factor")
    return router
