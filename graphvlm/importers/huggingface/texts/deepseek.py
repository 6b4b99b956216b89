"""Decoders with latent attention, and experts in all but the first layers."""

from __future__ import annotations

from typing import Any

from ..fields import Fields
from ..rope import read_position, rotary_object, yarn_scale
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import Experts, Node, Position, TextKind, Variant
from ..text_layers import layers_of_type

DEEPSEEK_V2 = ConfigTable(
    "deepseek_v2",
    {
        "vocab_size": 102400,
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
        "first_k_dense_replace": 0,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "n_group": None,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "routed_scaling_factor": 1.0,
        "topk_group": None,
        "topk_method": "greedy",
        "v_head_dim": 128,
        "num_experts_per_tok": None,
        "moe_intermediate_size": 1407,
        **ROPE,
    },
    nullable=frozenset(
        {"num_key_value_heads", "q_lora_rank", "n_group", "topk_group", "topk_method", "num_experts_per_tok"}
    ),
    # the class makes the widths of a head itself; the rest is of training
    harmless=frozenset(
        {"head_dim", "qk_head_dim", "pretraining_tp", "output_router_logits", "ep_size", "aux_loss_alpha", "seq_aux"}
    ),
    neutral={"mlp_bias": False, "norm_topk_prob": False, "moe_layer_freq": 1, "scoring_func": "softmax"},
)

DEEPSEEK_V3 = ConfigTable(
    "deepseek_v3",
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
        "first_k_dense_replace": 3,
        "norm_topk_prob": True,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
        "rope_interleave": True,
        "attention_bias": False,
        **ROPE,
    },
    nullable=frozenset(
        {
            "num_key_value_heads",
            "q_lora_rank",
            "v_head_dim",
            "n_group",
            "topk_group",
            "num_experts_per_tok",
            "first_k_dense_replace",
            "norm_topk_prob",
            "rope_interleave",
        }
    ),
    # layers that predict further tokens stand outside the model, and what they are called changed
    harmless=frozenset(
        {
            *(
                "head_dim",
                "qk_head_dim",
                "pretraining_tp",
                "output_router_logits",
                "ep_size",
                "aux_loss_alpha",
                "seq_aux",
            ),
            *("num_mtp_layers", "num_nextn_predict_layers"),
        }
    ),
    neutral={"moe_layer_freq": 1, "scoring_func": "sigmoid", "topk_method": "noaux_tc"},
)

GLM4_MOE = ConfigTable(
    "glm4_moe",
    {
        "vocab_size": 151552,
        "hidden_size": 4096,
        "intermediate_size": 10944,
        "num_hidden_layers": 46,
        "num_attention_heads": 96,
        "num_key_value_heads": 8,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "moe_intermediate_size": 1408,
        "num_experts_per_tok": 8,
        "n_shared_experts": 1,
        "n_routed_experts": 128,
        "routed_scaling_factor": 1.0,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "norm_topk_prob": True,
        "use_qk_norm": False,
        "bos_token_id": None,
        "eos_token_id": None,
        **ROPE,
        "partial_rotary_factor": 0.5,
    },
    nullable=frozenset({"head_dim"}),
    harmless=frozenset({"output_router_logits", "num_mtp_layers", "num_nextn_predict_layers"}),
)

# The text of GLM-4.5V: GLM-4.5 without norms of queries and keys, positions of three numbers.
GLM4V_MOE = ConfigTable(
    "glm4v_moe_text",
    {
        **{name: value for name, value in GLM4_MOE.understood.items() if name != "use_qk_norm"},
        "vocab_size": 151424,
        "max_position_embeddings": 65536,
        "attention_bias": True,
    },
    nullable=GLM4_MOE.nullable,
    harmless=ROUTER_LOSS | GLM4_MOE.harmless,
    neutral={"use_qk_norm": False},
)

DOTS1 = ConfigTable(
    "dots1",
    {
        "vocab_size": 152064,
        "hidden_size": 4608,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_hidden_layers": 62,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "n_shared_experts": None,
        "n_routed_experts": None,
        "n_group": 1,
        "topk_group": 1,
        "num_experts_per_tok": None,
        "first_k_dense_replace": 0,
        "norm_topk_prob": False,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "routed_scaling_factor": 1.0,
        "sliding_window": 4096,
        "max_window_layers": 62,
        "layer_types": None,
        "bos_token_id": None,
        "eos_token_id": None,
        **ROPE,
    },
    nullable=frozenset(
        {
            *("num_key_value_heads", "head_dim", "n_shared_experts", "n_routed_experts", "n_group", "topk_group"),
            *("num_experts_per_tok", "first_k_dense_replace", "norm_topk_prob", "sliding_window", "max_window_layers"),
            "layer_types",
        }
    ),
    harmless=frozenset({"output_router_logits", "pretraining_tp"}),
    neutral={"moe_layer_freq": 1, "scoring_func": "noaux_tc", "topk_method": "noaux_tc"},
)

_LATENT = {
    "kv_lora_rank": "kv_rank",
    "qk_nope_head_dim": "nope_dim",
    "qk_rope_head_dim": "rope_dim",
    "v_head_dim": "value_dim",
}
_EPS = 1e-6  # of the norms of the narrow vectors, whatever the config says


def rope_part(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Only a part of each head knows positions, and all of that part is turned."""
    return read_position(text, kind, text.integer("qk_rope_head_dim"))


def _experts_v2(text: Fields, mlp: Node) -> Experts:
    router = {"scale": text.number("routed_scaling_factor")} if text.number("routed_scaling_factor") != 1 else {}
    if text.choice("topk_method", ("greedy", "group_limited_greedy")) == "group_limited_greedy":
        router = {**_groups(text), **router}
    return _experts(text, mlp, router)


def experts_by_sigmoid(text: Fields, mlp: Node) -> Experts:
    groups = _groups(text)
    router: Node = {"score": "sigmoid", "bias": True, **groups} | ({"group_score": "top2"} if groups else {})
    router |= {"normalize": True} if text.boolean("norm_topk_prob") else {}
    return _experts(text, mlp, {**router, "scale": text.number("routed_scaling_factor")})


def _groups(text: Fields) -> Node:
    """Groups of experts, where a token chooses among them."""
    groups, top = text.integer_or_none("n_group") or 1, text.integer_or_none("topk_group") or 1
    return {"groups": groups, "top_groups": top} if top < groups else {}


def _experts(text: Fields, mlp: Node, router: Node) -> Experts:
    layers = _sparse_layers(text)
    hidden = text.integer("moe_intermediate_size")
    moe: Node = {"experts": text.integer("n_routed_experts"), "top": text.integer("num_experts_per_tok")}
    moe["shared"] = {"hidden": hidden * text.integer("n_shared_experts")}
    sparse: Node = {"hidden": hidden, "moe": moe | ({"router": router} if router else {})}
    if not layers:
        return Experts(mlp)
    every = len(layers) == text.integer("num_hidden_layers")
    return Experts({**mlp, **sparse}) if every else Experts(mlp, (Variant("sparse", layers, {"mlp": sparse}),))


def _sparse_layers(text: Fields) -> tuple[int, ...]:
    """The layers with experts: those that a list names, or all behind the first few."""
    count = text.integer("num_hidden_layers")
    named = layers_of_type(text, count, _MLP_TYPES, "mlp_layer_types") if text.knows("mlp_layer_types") else None
    first = text.integer("first_k_dense_replace", least=0) if text.knows("first_k_dense_replace") else 0
    return tuple(range(first, count)) if named is None else tuple(named)


_MLP_TYPES = {"dense": False, "sparse": True}


def make_latent(text: Fields, node: Node) -> None:
    """Latent attention in place of the usual one."""
    usual = node["attention"]
    if "kv_heads" in usual:
        message = f"`{text.name('num_key_value_heads')}`: latent attention has as many heads of keys as of queries"
        text.problems.conflict(message, text.span("num_key_value_heads"))
    latent: Node = {ours: text.integer(theirs) for theirs, ours in _LATENT.items()}
    rank = text.integer_or_none("q_lora_rank")
    latent = {"q_rank": rank, **latent} if rank else latent
    if node["norm"]["eps"] != _EPS:
        latent["norm"] = {"eps": _EPS}
    width = latent["nope_dim"] + latent["rope_dim"]
    node["attention"] = {"heads": usual["heads"], "bias": usual["bias"], **_scale(text, width), "latent": latent}


def _scale(text: Fields, width: int) -> dict[str, Any]:
    """Stretched positions sharpen the scores, where the config says by how much."""
    rope = rotary_object(text)
    every = rope.number("mscale_all_dim") if rope and rope.has("mscale_all_dim") else 0.0
    if not rope or not every:
        return {}
    sharper = yarn_scale(rope.number("factor"), every)
    return {"scale": width**-0.5 * sharper * sharper}


def _adapt_glm(text: Fields, node: Node) -> None:
    if text.boolean("use_qk_norm"):
        node["attention"]["qk_norm"] = {"type": "rms", "eps": node["norm"]["eps"]}
    ignore_further(text, node)


def _adapt_v3(text: Fields, node: Node) -> None:
    make_latent(text, node)
    if not text.boolean("rope_interleave"):
        del node["position"]["style"]
    ignore_further(text, node)


def ignore_further(text: Fields, node: Node) -> None:
    """Layers behind the last predict further tokens, and are no part of the model."""
    further = next((name for name in ("num_nextn_predict_layers", "num_mtp_layers") if text.has(name)), "")
    if further:
        count = text.integer("num_hidden_layers")
        more = range(count, count + text.integer(further, least=0))
        node["checkpoint"] |= {"ignore": [f"model.layers.{layer}.*" for layer in more]} if more else {}


KINDS = (
    TextKind(
        DEEPSEEK_V2,
        bias="attention_bias",
        style="interleaved",
        position=rope_part,
        experts=_experts_v2,
        adapt=make_latent,
        checkpoint="checkpoint/deepseek",
    ),
    TextKind(
        DEEPSEEK_V3,
        bias="attention_bias",
        style="interleaved",
        position=rope_part,
        experts=experts_by_sigmoid,
        adapt=_adapt_v3,
        checkpoint="checkpoint/deepseek",
    ),
    TextKind(
        GLM4_MOE,
        bias={"q": "attention_bias", "k": "attention_bias", "v": "attention_bias", "o": False},
        partial=True,
        experts=experts_by_sigmoid,
        adapt=_adapt_glm,
        checkpoint="checkpoint/deepseek",
    ),
    TextKind(
        GLM4V_MOE,
        bias={"q": "attention_bias", "k": "attention_bias", "v": "attention_bias", "o": False},
        partial=True,
        sections=(8, 12, 12),
        experts=experts_by_sigmoid,
        adapt=ignore_further,
        checkpoint="checkpoint/deepseek",
    ),
    TextKind(
        DOTS1,
        bias="attention_bias",
        qk_norm="head",
        window="some",
        experts=experts_by_sigmoid,
        checkpoint="checkpoint/deepseek",
    ),
)
