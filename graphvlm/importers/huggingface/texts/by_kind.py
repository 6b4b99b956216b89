"""Decoders whose text and images go through experts of their own, beside a feed-forward for both."""

from __future__ import annotations

from ..fields import Fields
from ..rope import read_position
from ..tables import ConfigTable
from ..text_fields import ROPE, ROUTER_LOSS
from ..text_kind import Experts, Node, Position, TextKind, Variant
from ..text_layers import layers_of_type

ERNIE_VL = ConfigTable(
    "ernie4_5_vl_moe_text",
    {
        "vocab_size": 103424,
        "hidden_size": 2560,
        "intermediate_size": 12288,
        "num_hidden_layers": 28,
        "num_attention_heads": 20,
        "num_key_value_heads": 4,
        "head_dim": None,  # not a field of the class, but its attention takes it from the file
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": True,
        "use_bias": False,
        "moe_intermediate_size": None,
        "moe_k": 6,
        "moe_num_experts": 64,
        "moe_num_shared_experts": 2,
        "mlp_layer_types": None,
        **ROPE,
        "rope_theta": 500000.0,
    },
    nullable=frozenset(
        {
            *("num_key_value_heads", "head_dim", "use_bias", "moe_intermediate_size", "moe_k", "moe_num_experts"),
            *("moe_num_shared_experts", "mlp_layer_types"),
        }
    ),
    harmless=ROUTER_LOSS,
    neutral={"moe_norm_min": 1e-12},
)

_MAPS = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
_SHARED = {"norm": {"place": "shared"}}
_ROUTER = {"score": "softmax", "bias": True, "normalize": True}


def _position(text: Fields, kind: TextKind, head_dim: int) -> Position:
    """Rotary positions, which the class does not scale."""
    found = read_position(text, kind, head_dim)
    if "scaling" in found.setting:
        key = "rope_scaling" if text.has("rope_scaling") else "rope_parameters"
        message = f"`{text.name(key)}`: the `{text.table.model_type}` of transformers does not scale positions"
        text.unsupported(key, message, "remove it")
    return found


def _experts(text: Fields, mlp: Node) -> Experts:
    """The feed-forward of text in most layers, and the layers that have one for all tokens."""
    count, dense = text.integer("num_hidden_layers"), _dense(text)
    if len(dense) == count:
        return Experts(mlp)
    sparse = _routed(text, mlp, 0) | {"scope": "text"}
    changes: Node = {"each": ["attn", "mlp"], "mlp": {"hidden": mlp["hidden"], "scope": None, "moe": None}}
    if mlp["bias"]:
        changes["mlp"]["bias"] = True
    return Experts(sparse, (Variant("dense", tuple(dense), changes),) if dense else ())


def _dense(text: Fields) -> list[int]:
    """The layers without experts: the first, unless the file lists types."""
    found = layers_of_type(text, text.integer("num_hidden_layers"), {"dense": True, "sparse": False}, "mlp_layer_types")
    return [0] if found is None else found


def _routed(text: Fields, mlp: Node, kind: int) -> Node:
    """Experts of one kind of token; none of them has a bias."""
    widths = text.integers("moe_intermediate_size") if text.has("moe_intermediate_size") else [1536, 512]
    if len(widths) != 2:
        message = f"`{text.name('moe_intermediate_size')}` has {len(widths)} widths: one is of text and one of images"
        text.problems.conflict(message, text.span("moe_intermediate_size"))
        widths = [1, 1]
    experts, top = text.integer("moe_num_experts"), text.integer("moe_k")
    if top > experts:
        message = f"`{text.name('moe_k')}`: a token cannot go through {top} of {experts} experts"
        text.problems.conflict(message, text.span("moe_k"))
    moe = {"experts": experts, "top": top, "router": dict(_ROUTER)}
    return {**mlp, "hidden": widths[kind], "bias": False, "moe": moe}


def _by_kind(text: Fields, node: Node) -> None:
    """The feed-forwards beside that of text, in the layers that have experts."""
    if "scope" not in node["mlp"]:
        node["checkpoint"] = {"use": "checkpoint/llama"}
        return
    dense = {**node["mlp"], "bias": text.boolean("use_bias")}
    dense.pop("scope"), dense.pop("moe")
    node["segments"] = {"text": {}, "vision": {"where": "vision_tokens"}}
    node["sublayers"] = {
        "vision_mlp": {"op": "mlp", **_routed(text, dense, 1), "scope": "vision", **_SHARED},
    }
    several = text.integer("moe_num_shared_experts", least=0)
    if several:
        hidden = node["mlp"]["hidden"] * several
        node["sublayers"]["shared"] = {"op": "mlp", **dense, "hidden": hidden, **_SHARED}
    layers = node["layers"] if isinstance(node["layers"], dict) else {"count": node["layers"]}
    node["layers"] = {"count": layers["count"], "each": ["attn", ["mlp", *node["sublayers"]]], **layers}
    # the experts of images are numbered on from those of text
    places = {"vision_mlp.experts.*": f"experts.*+{node['mlp']['moe']['experts']}"}
    places |= {"shared": "shared_experts"} if several else {}
    node["checkpoint"]["names"] = {
        f"layers.*.{ours}.{part}": f"model.layers.*.mlp.{theirs}.{name}"
        for ours, theirs in places.items()
        for part, name in _MAPS.items()
    }


KINDS = (
    TextKind(
        ERNIE_VL,
        bias="use_bias",
        mlp_bias="use_bias",
        style="interleaved",
        sections=(22, 22, 20),
        layout="turns",
        position=_position,
        experts=_experts,
        adapt=_by_kind,
        checkpoint="checkpoint/ernie4_5_vl_text",
    ),
)
