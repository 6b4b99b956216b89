"""The `[model]` section as one decoder."""

from __future__ import annotations

import math
from typing import Any

from ..section import Section
from .tables import MODEL_HARMLESS

QK_NORM_EPS = 1e-5  # whatever `norm_eps` says
_WIDTH_STEP = 256


def read_decoder(model: Section) -> dict[str, Any]:
    """The decoder node, without its inputs."""
    model.check_names(MODEL_HARMLESS, "a `[model]` section")
    model.neutral({"model_type": ("transformer",), "moe_capacity_factor": (0, 0.0)})
    heads, layers = model.integer("n_heads"), model.integer("n_layers")
    mlp, where = _mlp(model, layers)
    norm = {"rmsnorm": "rms", "layernorm": "layer"}[model.choice("norm_type", ("rmsnorm", "layernorm"))]
    return {
        "kind": "decoder",
        "type": "transformer",
        "vocab": model.integer("vocab_size"),
        "dim": model.integer("dim"),
        "max_tokens": model.integer("max_seq_len"),
        "layers": {"count": layers, "where": where} if where else layers,
        "norm": {"type": norm, "eps": model.number("norm_eps")},
        "attention": _attention(model, heads),
        "mlp": mlp,
        "position": {"type": "rope", "theta": model.number("rope_theta")},
        "head": {"tied": model.boolean("tie_embeddings"), "bias": False},
        "checkpoint": {"use": "checkpoint/kempnerforge"},
    }


def _attention(model: Section, heads: int) -> dict[str, Any]:
    kv_heads = model.integer_or_none("n_kv_heads") or heads
    dim = model.integer("dim")
    if dim % heads:
        message = f"`model.dim`: a width of {dim} is not a multiple of {heads} heads"
        model.problems.conflict(message, model.span("dim"))
    if heads % kv_heads:
        message = f"`model.n_kv_heads`: {heads} heads cannot share {kv_heads} heads of keys and values"
        model.problems.conflict(message, model.span("n_kv_heads"))
    setting: dict[str, Any] = {"heads": heads}
    if kv_heads != heads:
        setting["kv_heads"] = kv_heads
    setting["bias"] = False
    if model.boolean("qk_norm"):
        setting["qk_norm"] = {"type": "rms", "eps": QK_NORM_EPS}
    return setting


def _mlp(model: Section, layers: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The feed-forward, and the layers that have another one: only every `moe_frequency`-th has experts."""
    activation = model.choice("activation", ("silu", "gelu", "relu"))
    hidden = model.integer_or_none("ffn_hidden_dim") or _usual_width(model)
    mlp = {"hidden": hidden, "activation": activation, "gated": activation == "silu", "bias": False}
    experts = model.integer("num_experts", least=0)
    if not experts:
        return mlp, []
    moe = _moe(model, experts, hidden)
    step = model.integer("moe_frequency")
    if step == 1:
        return {**mlp, "moe": moe}, []
    if step > layers:
        message = f"`model.moe_frequency` is {step}, and there are {layers} layers: none would have experts"
        model.problems.conflict(message, model.span("moe_frequency"))
    return mlp, [{"name": "sparse", "every": step, "from": step - 1, "mlp": {"moe": moe}}]


def _moe(model: Section, experts: int, hidden: int) -> dict[str, Any]:
    top = model.integer("moe_top_k")
    if top > experts:
        message = f"`model.moe_top_k` is {top}, and there are {experts} experts"
        model.problems.conflict(message, model.span("moe_top_k"))
    if model.choice("moe_router", ("softmax_topk", "sigmoid_topk")) == "sigmoid_topk":
        model.unsupported(
            "moe_router",
            "`model.moe_router` is `sigmoid_topk`, whose balancing bias stands inside the sigmoid: weights of experts "
            "with such a bias are not in the language",
            'the language has "softmax_topk"',
        )
    moe: dict[str, Any] = {"experts": experts, "top": top, "router": {"score": "softmax", "normalize": True}}
    shared = model.integer("moe_shared_experts", least=0)
    return {**moe, "shared": {"hidden": shared * hidden}} if shared else moe


def _usual_width(model: Section) -> int:
    """Two thirds of four times the width, stretched, and rounded up."""
    raw = int(4 * model.integer("dim") * (2 / 3) * model.number("ffn_dim_multiplier"))
    return _WIDTH_STEP * math.ceil(raw / _WIDTH_STEP)
